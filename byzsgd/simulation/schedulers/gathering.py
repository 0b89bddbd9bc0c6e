"""The letters for one receiver and slot, held until it is decided which of them go first."""

from collections.abc import Collection
from typing import TYPE_CHECKING, Final

from byzsgd.cluster import NodeId

if TYPE_CHECKING:
    from byzsgd.simulation.schedulers.sight import Seen

FIRST_UNITS: Final = 4
MORE_UNITS: Final = 2
LAST_UNITS: Final = 8
UNITS_MAX: Final = 16


class Gathering:
    """`hand` has what each sender said first; `first` is whom the receiver hears in time.

    It is decided some units after the first letter. Where there is nothing to choose from yet, it
    waits for more, but not for ever; and nobody is held beyond `UNITS_MAX` of them.
    """

    def __init__(self, now_s: float, unit_s: float) -> None:
        self.hand: dict[NodeId, Seen] = {}
        self.first: Collection[NodeId] | None = None
        self._opens_s = now_s + FIRST_UNITS * unit_s
        self._more_s = MORE_UNITS * unit_s
        self._last_s = now_s + LAST_UNITS * unit_s
        self._late_s = now_s + UNITS_MAX * unit_s

    def due(self, now_s: float, need: int) -> bool:
        """Whether it is time to decide on `need` of those in hand."""
        while self._opens_s <= now_s < self._last_s and len(self.hand) <= need:
            self._opens_s = min(self._opens_s + self._more_s, self._last_s)
        return self._opens_s <= now_s

    def held_s(self, now_s: float, sender: NodeId) -> float:
        """For how much longer its letter is held."""
        if self.first is None:
            return self._opens_s - now_s
        return 0.0 if sender in self.first else max(0.0, self._late_s - now_s)
