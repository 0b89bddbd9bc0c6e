"""The fault plan: one value that says what goes wrong, between whom, and when.

Of several delays, or of several chances of one kind, the last in its list that is for a link and a
time holds there. A fault is there from `from_s` on, and at `until_s` no more.
"""

import math
from dataclasses import dataclass
from functools import cached_property
from itertools import chain
from typing import Final, Literal

from byzsgd.cluster import NodeId
from byzsgd.faults.delays import Distribution

DELAY_UNIT_S: Final = 0.001
"""Taken for a typical delay where messages have none."""


@dataclass(frozen=True, kw_only=True)
class _Timed:
    from_s: float = 0.0
    until_s: float = math.inf

    def __post_init__(self) -> None:
        assert 0 <= self.from_s < self.until_s, self

    @property
    def lasts(self) -> bool:
        """Whether it is there all the time."""
        return self.from_s == 0 and self.until_s == math.inf

    def at(self, now_s: float) -> bool:
        return self.lasts or self.from_s <= now_s < self.until_s


@dataclass(frozen=True, kw_only=True)
class _OnLinks(_Timed):
    """For messages between these; None stands for everybody."""

    senders: tuple[NodeId, ...] | None = None
    receivers: tuple[NodeId, ...] | None = None

    @property
    def general(self) -> bool:
        return self.lasts and self.senders is None and self.receivers is None

    def covers(self, sender: NodeId, receiver: NodeId) -> bool:
        return (self.senders is None or sender in self.senders) and (
            self.receivers is None or receiver in self.receivers
        )


@dataclass(frozen=True)
class Delay(_OnLinks):
    """How long messages take that are sent while it is there."""

    distribution: Distribution


@dataclass(frozen=True)
class Chance(_OnLinks):
    """How likely it is that something becomes of a message."""

    probability: float

    def __post_init__(self) -> None:
        super().__post_init__()
        assert 0 <= self.probability <= 1, self


@dataclass(frozen=True)
class Partition(_Timed):
    """`nodes` are cut off from all others, among themselves and the others among them not.

    "in" cuts off what would reach them, "out" what they send. A message that is sent meanwhile is
    lost, or with "hold" it is as if it were sent at the end; one that was under way arrives. Where
    two partitions cut a link at once and one of them loses, the message is lost. To hold for ever
    is to lose.
    """

    nodes: tuple[NodeId, ...]
    direction: Literal["both", "in", "out"] = "both"
    kind: Literal["hold", "lose"] = "hold"

    def cuts(self, sender: NodeId, receiver: NodeId) -> bool:
        if (sender in self.nodes) == (receiver in self.nodes):
            return False
        return self.direction == "both" or (self.direction == "in") == (receiver in self.nodes)


@dataclass(frozen=True)
class Slow(_Timed):
    """What these nodes begin to compute meanwhile takes `factor` times as long."""

    nodes: tuple[NodeId, ...]
    factor: float

    def __post_init__(self) -> None:
        super().__post_init__()
        assert 1 <= self.factor < math.inf, self


@dataclass(frozen=True, slots=True)
class Crash:
    """Down from `at_s`, up again at `until_s` from what was saved last; None: it stays down."""

    node: NodeId
    at_s: float
    until_s: float | None = None

    def __post_init__(self) -> None:
        assert 0 <= self.at_s < self.ends_s, self

    @property
    def ends_s(self) -> float:
        return math.inf if self.until_s is None else self.until_s


@dataclass(frozen=True)
class FaultPlan:
    """All faults of a run. A message that no delay is for takes no time."""

    delays: tuple[Delay, ...] = ()
    losses: tuple[Chance, ...] = ()
    duplicates: tuple[Chance, ...] = ()
    reorders: tuple[Chance, ...] = ()
    partitions: tuple[Partition, ...] = ()
    slow: tuple[Slow, ...] = ()
    crashes: tuple[Crash, ...] = ()

    def stretch(self, now_s: float, node: NodeId) -> float:
        """How many times as long as usual a computation takes that `node` begins now."""
        for slow in self._slow.get(node, ()):
            if slow.at(now_s):
                return slow.factor
        return 1.0

    @cached_property
    def on_messages(self) -> bool:
        """Whether anything can become of a message but that it arrives at once."""
        return any((self.delays, self.losses, self.duplicates, self.reorders, self.partitions))

    @cached_property
    def ends_s(self) -> float:
        """When the last fault is over of those that ever are; 0 if there is none."""
        timed: tuple[tuple[_Timed, ...], ...] = (
            self.delays,
            self.losses,
            self.duplicates,
            self.reorders,
            self.partitions,
            self.slow,
        )
        ends = [fault.until_s for fault in chain(*timed)] + [c.ends_s for c in self.crashes]
        return max((end for end in ends if end < math.inf), default=0.0)

    @cached_property
    def delay_unit_s(self) -> float:
        """A typical delay, never 0: the mean of the one that is for all links at all times."""
        general = [delay.distribution.mean_s for delay in self.delays if delay.general]
        return (general or [0.0])[-1] or DELAY_UNIT_S

    @cached_property
    def _slow(self) -> dict[NodeId, list[Slow]]:
        """Of each node the last one first, as with all faults."""
        found: dict[NodeId, list[Slow]] = {}
        for slow in reversed(self.slow):
            for node in slow.nodes:
                found.setdefault(node, []).append(slow)
        return found
