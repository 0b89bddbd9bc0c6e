"""Collect the first vectors of distinct senders, within bounds, until there are enough."""

from collections import Counter
from typing import Generic, TypeVar

from byzsgd.cluster import NodeId
from byzsgd.protocol.effects import Inputs
from byzsgd.protocol.messages import Vector

Slot = TypeVar("Slot", int, tuple[int, int])


class Quorum(Generic[Slot]):
    """The first vector per authenticated sender and slot, until `size` of them.

    A slot is what a vector is for: a step, or a step and a round; those up to `closed` are of no
    use. Of each sender at most `window` slots are kept, so that early messages are bounded whatever
    a liar sends: the first it spoke of, which are the next to be used, and in the other half of the
    window the newest, which are what somebody far behind can go on with. What comes late, twice,
    too early or after the quorum is full is dropped and counted in `refused`; nothing changes what
    was taken, and no sender can leave a full slot.
    """

    def __init__(self, size: int, window: int, closed: Slot) -> None:
        self.size = size
        self.window = window
        self.refused: Counter[tuple[NodeId, str]] = Counter()
        self._held: dict[Slot, dict[NodeId, Vector]] = {}
        self._closed: Slot = closed

    def add(self, sender: NodeId, slot: Slot, vector: Vector) -> bool:
        """Keep the vector if it is of use, and say whether it was kept."""
        reason = self._refusal(sender, slot)
        if reason:
            self.refused[sender, reason] += 1
            return False
        if self.kept(sender) == self.window:
            self._drop(sender, self._weakest(sender))
        self._held.setdefault(slot, {})[sender] = vector
        return True

    def include(self, me: NodeId, slot: Slot, vector: Vector) -> None:
        """One's own vector always counts, once: in a full slot it replaces the last to arrive."""
        held = self._held.setdefault(slot, {})
        if me not in held and len(held) >= self.size:
            held.popitem()
        held[me] = vector

    def full(self, slot: Slot) -> bool:
        return self.count(slot) >= self.size

    def count(self, slot: Slot) -> int:
        return len(self._held.get(slot, ()))

    def of(self, sender: NodeId, slot: Slot) -> Vector | None:
        """The vector of one sender, if it is there."""
        return self._held.get(slot, {}).get(sender)

    def held(self, slot: Slot) -> Inputs:
        """What is there for `slot`, in sender order, so that equal inputs give equal results."""
        return tuple(sorted(self._held.get(slot, {}).items(), key=lambda pair: pair[0]))

    def take(self, slot: Slot, least: int | None = None) -> Inputs:
        """Hand over a slot and close it: what comes for it from now on is late.

        It must be full, or hold `least` where waiting for all has an end.
        """
        needed = self.size if least is None else least
        assert self.count(slot) >= needed, f"took {slot} with {self.count(slot)} of {needed}"
        taken = self.held(slot)
        self.close(slot)
        return taken

    def close(self, slot: Slot) -> None:
        """Everything up to and with `slot` is of no use any more."""
        self._closed = max(slot, self._closed)
        for old in [held for held in self._held if held <= slot]:
            del self._held[old]

    def newest(self, least: int, after: Slot) -> Slot | None:
        """The newest slot later than `after` that holds at least `least` vectors."""
        return max((s for s in self._held if s > after and self.count(s) >= least), default=None)

    def kept(self, sender: NodeId) -> int:
        """How many vectors of `sender` are held, at most `window`."""
        return sum(sender in senders for senders in self._held.values())

    def _refusal(self, sender: NodeId, slot: Slot) -> str | None:
        if slot <= self._closed:
            return "late"
        if sender in self._held.get(slot, {}):
            return "duplicate"
        if self.full(slot):
            return "surplus"
        if self.kept(sender) == self.window and not self._gives_way(sender, slot):
            return "early"
        return None

    def _gives_way(self, sender: NodeId, slot: Slot) -> bool:
        """Whether a newer slot finds room. A full one never makes it: others were turned away."""
        weakest = self._weakest(sender)
        return weakest < slot and not self.full(weakest)

    def _weakest(self, sender: NodeId) -> Slot:
        """The oldest slot in the newer half of the sender's full window."""
        return sorted(slot for slot, held in self._held.items() if sender in held)[self.window // 2]

    def _drop(self, sender: NodeId, slot: Slot) -> None:
        del self._held[slot][sender]
        if not self._held[slot]:
            del self._held[slot]
