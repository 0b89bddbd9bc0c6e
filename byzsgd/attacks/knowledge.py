"""What a liar knows of the vectors of others, and whether that is all it waits for."""

from typing import Final, Literal, TypeAlias, get_args

from byzsgd.cluster import NodeId, Role
from byzsgd.protocol import Send, Vector, round_of

Reach: TypeAlias = Literal["own", "colluders", "omniscient"]
"""Whose vectors a liar knows beside its own.

- "own": what its fellows, the other liars of its side, honestly computed.
- "colluders": also what lying servers were sent by honest workers.
- "omniscient": also what honest nodes of its side say to whomever.
"""
REACHES: Final = get_args(Reach)

Slot: TypeAlias = tuple[int, int, Role]
"""A step, of models the round of a gather, and of which side those are who are told."""

SLOTS_MAX: Final = 8
"""Of each node so many vectors are kept: a liar may be some steps before or behind others."""


class Knowledge:
    """Of fellows the newest vector, of honest nodes those of the last few slots.

    The `rushing` liar speaks when it knows what `needed` honest nodes say at the same step; any
    other speaks at once, and of honest nodes it knows nothing newer than the step before.
    """

    def __init__(self, rushing: bool = False, needed: int = 1) -> None:
        self.rushing = rushing
        self.needed = needed
        self._fellows: dict[NodeId, Vector] = {}
        self._honest: dict[NodeId, dict[Slot, Vector]] = {}

    def told(self, fellow: NodeId, vector: Vector) -> None:
        """What another liar would honestly have said: the last word counts."""
        self._fellows[fellow] = vector

    def learned(self, node: NodeId, slot: Slot, vector: Vector) -> None:
        """What an honest node says."""
        words = self._honest.setdefault(node, {})
        words[slot] = vector
        if len(words) > SLOTS_MAX:
            del words[min(words)]

    def of_fellows(self) -> tuple[Vector, ...]:
        return tuple(self._fellows[fellow] for fellow in sorted(self._fellows))

    def of_honest(self, slot: Slot) -> tuple[Vector, ...]:
        """What honest nodes say at this slot, or said at the last before it, in node order."""
        usable = (self._usable(self._honest[node], slot) for node in sorted(self._honest))
        return tuple(vector for vector in usable if vector is not None)

    def enough(self, slot: Slot) -> bool:
        """Whether there is nothing to wait for."""
        if not self.rushing:
            return True
        return sum(slot in words for words in self._honest.values()) >= self.needed

    def _usable(self, words: dict[Slot, Vector], slot: Slot) -> Vector | None:
        if self.rushing and slot in words:
            return words[slot]
        before = [known for known in words if known < slot]
        return words[max(before)] if before else None


def slot_of(send: Send) -> Slot:
    """Who is told tells a scatter from the gather before it: both may be of round 0."""
    return send.message.step, round_of(send.message), send.to[0].role
