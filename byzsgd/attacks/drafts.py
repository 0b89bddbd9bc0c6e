"""Lies that are made of what a liar knows: which of them wait, are computed, or were told lately.

What it knows changes all the time. So that it does not contradict itself by accident, a word that
is repeated, or that somebody else asks for, is the same lie again.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, TypeAlias

from byzsgd.attacks.knowledge import Slot, slot_of
from byzsgd.cluster import NodeId
from byzsgd.protocol import Message, Send, Vector

Key: TypeAlias = tuple[type[Message], Slot]

TOLD_MAX: Final = 4
"""So many lies are remembered: nobody repeats more words than that, and each holds a vector."""


@dataclass
class Draft:
    """An honest word that is to become a lie, with what the liar computed it from."""

    send: Send
    to: tuple[NodeId, ...]
    """The receivers of the word, and those who asked for it since."""
    gradients: tuple[Vector, ...]
    params: Vector | None
    begun: bool = False

    @property
    def slot(self) -> Slot:
        return slot_of(self.send)


class Drafts:
    """One lie for each kind of word and slot."""

    def __init__(self) -> None:
        self._open: dict[Key, Draft] = {}
        self._told: dict[Key, tuple[Message, bool]] = {}

    def told(self, send: Send) -> tuple[Message, bool] | None:
        """What was said in place of this word, and whether that differed from it."""
        return self._told.get(key_of(send))

    def add(self, draft: Draft) -> None:
        """Whose receivers are told with the others, if there is one already."""
        known = self._open.setdefault(key_of(draft.send), draft)
        known.to += tuple(node for node in draft.to if node not in known.to)

    def waiting(self) -> list[Draft]:
        """Those that nobody has begun to compute, the oldest first."""
        return sorted((d for d in self._open.values() if not d.begun), key=lambda d: d.slot)

    def finished(self, sends: Iterable[Send], changed: bool) -> list[Send]:
        """What is to be said, now that lies were computed: to everybody who waits for them."""
        said = []
        for send in sends:
            draft = self._open.pop(key_of(send), None)
            if draft:
                self._told[key_of(send)] = (send.message, changed)
            said.append(Send(draft.to, send.message) if draft else send)
        while len(self._told) > TOLD_MAX:
            del self._told[min(self._told, key=lambda key: key[1])]
        return said


def key_of(send: Send) -> Key:
    return type(send.message), slot_of(send)
