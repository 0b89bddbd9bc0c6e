"""A vector as a transport takes it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

Body: TypeAlias = Any
"""A chunk as the socket takes it. One body serves all receivers."""


@dataclass(frozen=True, slots=True)
class Parcel:
    """A vector ready to be sent, the same object to every receiver; or a pull, without bodies.

    With a `flaw` it is neither, but one wire message that a liar wants refused: see `flawed`.
    """

    kind: int
    step: int
    round: int
    bodies: Sequence[Body]
    flaw: str = ""

    @property
    def key(self) -> tuple[int, int, int]:
        return self.kind, self.step, self.round
