"""No order at all: every letter is held for a random time of its own."""

from random import Random
from typing import TYPE_CHECKING, Final

from byzsgd.cluster import Cluster, NodeId
from byzsgd.simulation.scheduler import Letter

if TYPE_CHECKING:
    from byzsgd.simulation.world import World

UNITS_MAX: Final = 8


class Shuffle:
    """Letters of one link overtake each other like all others do."""

    def __init__(
        self, seed: int, cluster: Cluster, liars: frozenset[NodeId], unit_s: float
    ) -> None:
        self._draw = Random(f"{seed}/scheduler/random").random  # noqa: S311 - repeatable
        self._longest_s = UNITS_MAX * unit_s

    def postpone(self, letter: Letter, world: "World") -> float:
        return 0.0 if letter.postponed else self._draw() * self._longest_s
