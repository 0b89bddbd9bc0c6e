"""Lies come first: every quorum begins with all of them, and honest vectors share what is left."""

from typing import TYPE_CHECKING, Final

from byzsgd.cluster import Cluster, NodeId
from byzsgd.protocol import Gradient, Model
from byzsgd.simulation.scheduler import Letter
from byzsgd.simulation.schedulers.holding import Held
from byzsgd.simulation.schedulers.slots import Slots, slot_of

if TYPE_CHECKING:
    from byzsgd.simulation.world import World

STRETCHES: Final = (1, 1, 2, 4, 8)
UNITS_MAX: Final = sum(STRETCHES)


class LiarsFirst:
    """The honest are held until the receiver has heard all liars of that side, but not for ever."""

    def __init__(
        self, seed: int, cluster: Cluster, liars: frozenset[NodeId], unit_s: float
    ) -> None:
        self._liars = liars
        self._held = Held(unit_s, *STRETCHES)
        self._expected = {
            Model: sum(server in liars for server in cluster.server_ids),
            Gradient: sum(worker in liars for worker in cluster.worker_ids),
        }
        self._heard: Slots[dict[NodeId, None]] = Slots()

    def postpone(self, letter: Letter, world: "World") -> float:
        if letter.receiver in self._liars:
            return 0.0
        step = world.machines[letter.receiver].step
        heard = self._heard.at(letter.receiver, slot_of(letter.message), step, dict)
        if letter.sender in self._liars:
            if heard is not None:
                heard[letter.sender] = None
            return 0.0
        if len(heard or ()) >= self._expected.get(type(letter.message), 0):
            return 0.0
        return self._held.longer_s(letter, world)
