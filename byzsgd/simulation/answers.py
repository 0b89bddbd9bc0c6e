"""Computing for all nodes of a world in one process, and gradients for several workers at once."""

from collections.abc import Callable, Mapping, Sequence
from itertools import islice
from typing import Any, Final, TypeAlias

from torch import Tensor

from byzsgd.cluster import NodeId
from byzsgd.compute import Compute
from byzsgd.observe import Outcome
from byzsgd.protocol import ComputeGradient
from byzsgd.protocol.effects import Computation
from byzsgd.training.together import Asked

AT_ONCE: Final = 32
"""Gradients computed together at most: what is computed early only fills the memory."""
Gradients: TypeAlias = Callable[[Sequence[Asked]], Sequence[tuple[Tensor, float]]]
"""Gradients and losses of several workers, in order."""


class Together:
    """Nothing is computed before it is due; then many gradients that are asked for are, at once.

    What comes out is a function of what went in, so it does not matter when. A world asks and is
    answered in the same order every time: so whose gradients are computed together does not change
    from run to run either.
    """

    def __init__(self, computes: Mapping[NodeId, Compute], gradients: Gradients) -> None:
        self._computes = computes
        self._gradients = gradients
        self._open: dict[int, tuple[NodeId, Any]] = {}
        self._ready: dict[int, Outcome] = {}

    def ask(self, ticket: int, node: NodeId, effect: Computation) -> None:
        self._open[ticket] = (node, effect)

    def answer(self, ticket: int) -> Outcome:
        if ticket in self._open and self._is_gradient(ticket):
            self._gradients_from(ticket)
        if ticket in self._ready:
            return self._ready.pop(ticket)
        node, effect = self._open.pop(ticket)
        return self._computes[node].run(effect)

    def forget(self, ticket: int) -> None:
        self._open.pop(ticket, None)
        self._ready.pop(ticket, None)

    def _gradients_from(self, due: int) -> None:
        """That of the ticket which is due, and others that were asked for."""
        others = (ticket for ticket in self._open if ticket != due)
        tickets = [due, *islice(filter(self._is_gradient, others), AT_ONCE - 1)]
        pairs = [self._open.pop(ticket) for ticket in tickets]
        asked = [self._computes[node].asked(effect) for node, effect in pairs]
        computed = self._gradients(asked)
        for ticket, (node, effect), (vector, loss) in zip(tickets, pairs, computed, strict=True):
            compute = self._computes[node]
            self._ready[ticket] = compute.submitted(effect, vector, loss, since=0.0)

    def _is_gradient(self, ticket: int) -> bool:
        return isinstance(self._open[ticket][1], ComputeGradient)
