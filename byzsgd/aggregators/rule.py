"""What a rule is."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, TypeAlias

import torch
from torch import Tensor

from byzsgd.aggregators.inputs import (
    AggregationError,
    check_count,
    check_f,
    check_out,
    rows_of,
)
from byzsgd.aggregators.rows import Rows, uniform


class Choice(NamedTuple):
    """Ascending indices of the rows that a rule selected.

    `exact` is false where a search gave up after its budget of steps and took the best that it had.
    """

    rows: tuple[int, ...]
    exact: bool = True


Choose: TypeAlias = Callable[[Rows, int], Choice]
Fill: TypeAlias = Callable[[Rows, int, Tensor], Choice | None]


def mean_of(choose: Choose) -> Fill:
    """The `fill` of a rule whose result is the mean of the rows that it selects."""

    def fill(rows: Rows, f: int, out: Tensor) -> Choice:
        choice = choose(rows, f)
        rows.mean(uniform(len(rows), choice.rows), out)
        return choice

    return fill


class Aggregate(NamedTuple):
    """The (d,) result, and what the rule selected if it selects rows."""

    vector: Tensor
    choice: Choice | None


@dataclass(frozen=True)
class Rule:
    """An aggregation rule: call it on (n, d) vectors of which at most f are lies.

    Every rule is deterministic, never changes or aliases its input, and is total: a row with NaN or
    Inf in it is one more lie, infinitely far away; with at most f such rows the result is finite,
    with more it is an error (the plain average alone tolerates none). The rules' own files say how
    they treat ties.
    """

    name: str
    aliases: tuple[str, ...]
    bound: str
    """`minimum_n` in words, for messages."""
    minimum_n: Callable[[int], int]
    """The least number of rows with which the rule tolerates f of them."""
    fill: Fill
    """(rows, f, out): writes the aggregate and returns what it selected, if it selects. All are
    checked and carry no gradient."""
    choose: Choose | None = None
    """(rows, f) → what it selects, for rules that select. The input has been checked."""
    by_distance: bool = False
    """Whether it looks at the distances of its rows, which can be had before the last row is in."""
    variance_bound: Callable[[int, int], float] | None = None
    """(n, f) → the ratio of the honest vectors' standard deviation to the norm of their expectation
    up to which the rule is proven to point the right way."""
    options: Mapping[str, object] = field(default_factory=dict)
    """What it was made with, by the names that its maker takes."""

    def __call__(
        self, vectors: Tensor | Sequence[Tensor], f: int = 0, *, out: Tensor | None = None
    ) -> Tensor:
        """The (d,) aggregate of (n, d) floating-point `vectors`, in their type and on their device.

        Also of a sequence of n vectors, which are stacked first. A given `out` must be a contiguous
        (d,) tensor of the same type and device that shares no memory with `vectors`; it is filled
        and returned. Raises `AggregationError`.
        """
        return self.apply(vectors, f, out=out).vector

    def apply(
        self, vectors: Tensor | Sequence[Tensor] | Rows, f: int = 0, *, out: Tensor | None = None
    ) -> Aggregate:
        """The aggregate as from a call, with the rows that it selected."""
        rows = self._checked(vectors, f)
        if out is None:
            out = rows.store.new_empty(rows.dimension)
        else:
            check_out(self.name, rows.store, out)
        return Aggregate(out, self.fill(rows, f, out.detach()))

    def select(self, vectors: Tensor | Sequence[Tensor] | Rows, f: int = 0) -> tuple[int, ...]:
        """Ascending indices of the rows it selects, or `AggregationError` if it selects none."""
        if self.choose is None:
            raise AggregationError(f"{self.name} selects no rows: it has a result, but no indices")
        return self.choose(self._checked(vectors, f), f).rows

    def tolerable(self, n: int, f: int) -> int:
        """How many of n rows may be lies: f, or fewer where it wants more rows for that."""
        return max((k for k in range(f + 1) if self.minimum_n(k) <= n), default=0)

    def warm(self, counts: Iterable[int], f: int, dtype: torch.dtype = torch.float32) -> None:
        """Compile and load what aggregating these numbers of rows needs, ahead of time."""
        for n in counts:
            if n >= self.minimum_n(f):
                ramp = torch.arange(64, dtype=dtype)
                self(torch.stack([ramp * row for row in range(n)]), f)

    def _checked(self, vectors: Tensor | Sequence[Tensor] | Rows, f: int) -> Rows:
        rows = rows_of(self.name, vectors)
        check_f(self.name, f)
        check_count(self.name, self.bound, self.minimum_n(f), len(rows), f)
        return rows
