"""The schedulers by name: an asynchronous network is as bad as who decides the order of delivery.

    make = scheduler({"name": "starve", "node": "server-2"}, seed, cluster, liars, unit_s)

None of them blocks a letter for ever, and none holds back what liars are told: the sooner they
know, the sooner they lie. `unit_s` is a typical delay. Each is a function of the seed and of what
it is asked.
"""

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from byzsgd.cluster import Cluster, NodeId
from byzsgd.errors import ConfigError, unknown_name
from byzsgd.simulation.scheduler import Scheduler
from byzsgd.simulation.schedulers import liars_first, shuffle, split, starve
from byzsgd.simulation.schedulers.gathering import UNITS_MAX as GREEDY_UNITS_MAX


@dataclass(frozen=True)
class Order:
    """One way to order letters. No letter is held for longer than `units_max` typical delays."""

    name: str
    summary: str
    units_max: float
    make: Callable[..., Scheduler | None]

    @property
    def options(self) -> tuple[str, ...]:
        """The names of what an experiment may set."""
        parameters = inspect.signature(self.make).parameters.values()
        return tuple(p.name for p in parameters if p.kind is p.KEYWORD_ONLY)

    def __call__(
        self, seed: int, cluster: Cluster, liars: frozenset[NodeId], unit_s: float, **options: Any
    ) -> Scheduler | None:
        """Raises `ConfigError` for an option that it does not have or that cannot be."""
        for option in options:
            if option not in self.options:
                raise unknown_name(f"option of scheduler {self.name}", option, self.options)
        return self.make(seed, cluster, liars, unit_s, **options)


def _network(seed: int, cluster: Cluster, liars: frozenset[NodeId], unit_s: float) -> None:
    """Nobody interferes."""


def _greedy(
    seed: int, cluster: Cluster, liars: frozenset[NodeId], unit_s: float, *, rate: float = 0.1
) -> Scheduler:
    """Imported when it is wanted: it looks into vectors, and torch takes seconds."""
    from byzsgd.simulation.schedulers.greedy import Greedy

    return Greedy(seed, cluster, liars, unit_s, rate=rate)


SCHEDULERS: Final = {
    order.name: order
    for order in (
        Order("network", "the order that the network gives", 0, _network),
        Order("random", "no order: each letter is held for a random time", shuffle.UNITS_MAX,
              shuffle.Shuffle),
        Order("liars_first", "every quorum begins with all lies", liars_first.UNITS_MAX,
              liars_first.LiarsFirst),
        Order("starve", "one replica hears and is heard late", starve.UNITS_MAX, starve.Starve),
        Order("split", "two camps, whose quorums differ as much as they can", split.UNITS_MAX,
              split.Split),
        Order("greedy", "looks into the letters for what keeps replicas farthest apart",
              GREEDY_UNITS_MAX, _greedy),
    )
}  # fmt: skip


def scheduler(
    named: str | Mapping[str, Any],
    seed: int,
    cluster: Cluster,
    liars: frozenset[NodeId],
    unit_s: float,
) -> Scheduler | None:
    """That of a name, or of a table with a `name` and options. Raises `ConfigError`."""
    options = {"name": named} if isinstance(named, str) else dict(named)
    name = options.pop("name", None)
    if not isinstance(name, str):
        raise ConfigError(f'scheduler = {named!r}: must be a name, or {{ name = "starve" }}')
    if name not in SCHEDULERS:
        raise unknown_name("scheduler", name, SCHEDULERS)
    return SCHEDULERS[name](seed, cluster, liars, unit_s, **options)
