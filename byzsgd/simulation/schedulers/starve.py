"""One replica hears everything late and is heard late: it lags, and quorums close without it."""

import math
from random import Random
from typing import TYPE_CHECKING, Final

from byzsgd.cluster import Cluster, NodeId
from byzsgd.errors import ConfigError
from byzsgd.simulation.scheduler import Letter
from byzsgd.simulation.schedulers.holding import Held

if TYPE_CHECKING:
    from byzsgd.simulation.world import World

STRETCHES: Final = (4, 4, 8)
UNITS_MAX: Final = sum(STRETCHES)


class Starve:
    """`node` is starved, by default an honest server that the seed picks.

    With `every_s` it is another honest server after every so many seconds, beginning with `node`.
    """

    def __init__(
        self,
        seed: int,
        cluster: Cluster,
        liars: frozenset[NodeId],
        unit_s: float,
        *,
        node: str | None = None,
        every_s: float = math.inf,
    ) -> None:
        if type(every_s) not in (int, float) or not every_s > 0:
            raise ConfigError(f"every_s = {every_s!r}: must be a positive time in seconds")
        self._liars = liars
        self._held = Held(unit_s, *STRETCHES)
        self._every_s = every_s
        honest = [server for server in cluster.server_ids if server not in liars]
        victims = honest or list(cluster.server_ids)
        first = _first(node, seed, cluster, victims)
        rest = victims[victims.index(first) + 1 :] + victims if first in victims else victims
        self._victims = [first, *(victim for victim in rest[: len(victims)] if victim != first)]

    def postpone(self, letter: Letter, world: "World") -> float:
        victim = self._victims[int(world.now / self._every_s) % len(self._victims)]
        if victim not in (letter.sender, letter.receiver) or letter.receiver in self._liars:
            return 0.0
        return self._held.longer_s(letter, world)


def _first(node: object, seed: int, cluster: Cluster, victims: list[NodeId]) -> NodeId:
    if node is None:
        return Random(f"{seed}/scheduler/starve").choice(victims)  # noqa: S311 - repeatable
    first = NodeId.parse(str(node))
    if first not in cluster.nodes:
        known = ", ".join(map(str, cluster.nodes))
        raise ConfigError(f"node = {node!r}: is not in this cluster, which has {known}")
    return first
