"""What a world is made of, beside its machines, and what it says of its end."""

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol, TypeAlias

from byzsgd.cluster import NodeId
from byzsgd.faults import FaultPlan
from byzsgd.observe import Outcome
from byzsgd.protocol import Machine, Message, Vector
from byzsgd.protocol.effects import Computation, Memory
from byzsgd.simulation.cost import FREE, Cost
from byzsgd.simulation.scheduler import Scheduler


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """What a server saved last, or the initial model at step 0."""

    step: int
    params: Vector
    memory: Memory = None


Make: TypeAlias = Callable[[NodeId, Checkpoint | None], Machine]
"""A node's machine: from nothing, or after a crash from what it saved."""
Carry: TypeAlias = Callable[[NodeId, NodeId, Message], Message | None]
"""What a receiver gets of a message: the same, or a copy that has been through the wire.

Nothing of what its link refuses.
"""


class Answers(Protocol):
    """Computes what machines ask for; it may wait until an answer is due and do several at once."""

    def ask(self, ticket: int, node: NodeId, effect: Computation) -> None: ...

    def answer(self, ticket: int) -> Outcome:
        """What came of it. Asked for once, when it is due."""

    def forget(self, ticket: int) -> None:
        """Nobody will want the answer: the node crashed."""


@dataclass(frozen=True, slots=True)
class Conditions:
    """What machines have to live with.

    A scheduler may hold letters back until `peace_s`. A world stalls when no honest node has made a
    step for `stall_s`, although the last fault is over and nobody is computing.
    """

    faults: FaultPlan = field(default_factory=FaultPlan)
    seed: int = 0
    cost: Cost = FREE
    scheduler: Scheduler | None = None
    peace_s: float = math.inf
    stall_s: float = 600.0


@dataclass(frozen=True, slots=True)
class Rest:
    """How it ended: "done", "stalled", or "stopped" before either.

    A world in which nobody honest is left to arrive has stalled, too.
    """

    why: str
    at_s: float
    events: int
