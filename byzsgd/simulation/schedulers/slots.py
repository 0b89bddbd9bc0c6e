"""What is kept of each receiver and slot: few of them, whatever liars talk of."""

from collections.abc import Callable
from typing import Final, Generic, TypeAlias, TypeVar

from byzsgd.cluster import NodeId
from byzsgd.protocol import Message, round_of

Slot: TypeAlias = tuple[type[Message], int, int]
"""What a vector is for: kind, step and round."""
Kept = TypeVar("Kept")

AHEAD: Final = 4
"""Steps ahead of a receiver that are kept an eye on."""
SLOTS_MAX: Final = 32
"""Of one receiver; a liar may speak of any round."""


def slot_of(message: Message) -> Slot:
    return type(message), message.step, round_of(message)


class Slots(Generic[Kept]):
    """Keeps something for each slot that a receiver may be at soon, and forgets it afterwards."""

    def __init__(self) -> None:
        self._kept: dict[NodeId, dict[Slot, Kept]] = {}

    def at(self, receiver: NodeId, slot: Slot, step: int, make: Callable[[], Kept]) -> Kept | None:
        """What is kept for `slot`, None for one that is not near the receiver's own `step`."""
        slots = self._kept.setdefault(receiver, {})
        kept = slots.get(slot)
        if kept is None and step <= slot[1] <= step + AHEAD:
            for old in [old for old in slots if old[1] < step]:
                del slots[old]
            if len(slots) < SLOTS_MAX:
                kept = slots[slot] = make()
        return kept
