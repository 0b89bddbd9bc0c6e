"""Watching a world from outside: nobody who watches can change what happens."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

from byzsgd.cluster import NodeId
from byzsgd.observe import Outcome
from byzsgd.protocol import Effect, Event, Machine, Vector
from byzsgd.protocol.effects import Computation
from byzsgd.simulation.parts import Checkpoint, Rest

if TYPE_CHECKING:
    from byzsgd.simulation.world import World


class Stage(Protocol):
    """What there is to be seen at any time: of a world, and of a run that is followed."""

    now: float
    honest: tuple[NodeId, ...]
    machines: dict[NodeId, Machine]
    saved: dict[NodeId, Checkpoint]
    done: dict[NodeId, Vector]
    down: dict[NodeId, float]


class Watcher:
    """Hears of all that happens. Override what you want to hear: the rest costs nothing."""

    def began(self, stage: Stage) -> None:
        """Before anything happens; the stage stays to be looked at."""

    def handled(self, now: float, node: NodeId, event: Event, effects: Sequence[Effect]) -> None:
        """A machine took in an event, and this is what it wants done."""

    def answered(self, now: float, node: NodeId, effect: Computation, outcome: Outcome) -> None:
        """What came of a computation, just before the machine hears it."""

    def crashed(self, now: float, node: NodeId) -> None: ...

    def restarted(self, now: float, node: NodeId, step: int, params: Vector) -> None:
        """It begins anew at `step`: a server with what it had saved, or with the initial model."""

    def ended(self, world: "World", rest: Rest) -> None:
        """It is done, or it has stalled; not called where it was only stopped."""


class Watchers:
    """Several, each called only for what it overrides."""

    def __init__(self, watchers: Sequence[Watcher]) -> None:
        def listening(name: str) -> list[Watcher]:
            return [one for one in watchers if getattr(type(one), name) is not _silent(name)]

        self.began = [one.began for one in listening("began")]
        self.handled = [one.handled for one in listening("handled")]
        self.answered = [one.answered for one in listening("answered")]
        self.crashed = [one.crashed for one in listening("crashed")]
        self.restarted = [one.restarted for one in listening("restarted")]
        self.ended = [one.ended for one in listening("ended")]


def _silent(name: str) -> object:
    return getattr(Watcher, name)
