"""The gradients of one step, worked on as they come.

While a server waits for its quorum it has nothing else to do; what can be computed of the gradients
that are there, then need not be computed when the last one is in.
"""

from collections.abc import Iterable, Sequence
from functools import cached_property

import torch
from torch import Tensor

from byzsgd.aggregators import Aggregate, Arrivals, Rows, Rule
from byzsgd.cluster import NodeId
from byzsgd.protocol.effects import Inputs
from byzsgd.wire import Frames, stack

Vector = Tensor | Frames


class Incoming:
    """Rows for `rule` of up to `capacity` senders. The result never depends on what came early."""

    def __init__(self, rule: Rule, capacity: int, dimension: int) -> None:
        self._arrivals = Arrivals(rule, capacity, dimension)
        self._rows: dict[NodeId, tuple[Vector, int]] = {}
        self._step = -1

    def prepare(self, step: int, sender: NodeId, vector: Vector) -> None:
        """Begin with this vector, unless there is no room: `aggregate` then does it all."""
        if step != self._step:
            self._begin(step)
        if not self._arrivals.full:
            self._take([(sender, vector)])

    def complete(self, step: int, inputs: Inputs) -> list[int]:
        """See that all of these are in. Returns their rows, in the order of `inputs`."""
        if step != self._step or self._missing(inputs) > self._room:
            self._begin(step)
        if missing := [pair for pair in inputs if not self._has(*pair)]:
            self._take(missing)
        return [self._rows[sender][1] for sender, _ in inputs]

    def aggregate(self, rows: Iterable[int], f: int) -> Aggregate:
        """The aggregate of these rows, in this order. Raises `AggregationError`."""
        return self._arrivals.aggregate(f, list(rows))

    def rows(self, rows: Sequence[int]) -> Rows:
        """These rows as a rule sees them, to be looked at until the next step."""
        return self._arrivals.rows(rows)

    @property
    def store(self) -> Tensor:
        """(capacity, d): what rows are rows of, to be looked at until the next step."""
        return self._arrivals.store

    @property
    def _room(self) -> int:
        return self._arrivals.capacity - len(self._arrivals)

    def _missing(self, inputs: Inputs) -> int:
        return sum(not self._has(sender, vector) for sender, vector in inputs)

    def _has(self, sender: NodeId, vector: Vector) -> bool:
        return sender in self._rows and self._rows[sender][0] is vector

    def _begin(self, step: int) -> None:
        self._arrivals.clear()
        self._rows.clear()
        self._step = step

    def _take(self, pairs: Sequence[tuple[NodeId, Vector]]) -> None:
        """All at once: one pass over the rows, instead of one for each."""
        stack([vector for _, vector in pairs], self._arrivals.free_rows(len(pairs)))
        first = self._arrivals.added(len(pairs))
        for row, (sender, vector) in enumerate(pairs, first):
            self._rows[sender] = (vector, row)


class Workspace:
    """Memory for rows, one computation at a time.

    A node has its own. In a simulator all nodes share one: what a server aggregates others have
    most of as well, and a distance between two gradients is then computed once for all of them.
    """

    def __init__(self, rule: Rule, capacity: int, dimension: int) -> None:
        self._rule, self._capacity, self._dimension = rule, capacity, dimension
        self._rows: dict[int, Tensor] = {}

    @cached_property
    def incoming(self) -> Incoming:
        """Only servers need it, and its memory."""
        return Incoming(self._rule, self._capacity, self._dimension)

    def stacked(self, vectors: Sequence[Vector]) -> Tensor:
        """(n, d) float32, in memory that the next call for as many reuses."""
        size = len(vectors)
        if size not in self._rows:
            self._rows[size] = torch.empty(size, self._dimension)
        return stack(vectors, self._rows[size])
