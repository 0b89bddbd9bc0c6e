"""What happens to a machine. Each computation effect is answered by the event of its root."""

from dataclasses import dataclass
from typing import TypeAlias

from byzsgd.cluster import NodeId
from byzsgd.protocol.effects import Inputs, Memory, Send
from byzsgd.protocol.messages import Message, Vector


@dataclass(frozen=True, slots=True)
class Started:
    """The node is up and its links are open or opening."""


@dataclass(frozen=True, slots=True)
class Received:
    """`message` arrived over the link of `sender`, whom the transport authenticated."""

    sender: NodeId
    message: Message


@dataclass(frozen=True, slots=True)
class TimerFired:
    name: str
    step: int


@dataclass(frozen=True, slots=True)
class Change:
    """How far a pulled model θ, and the gradient g there, are from those of the step before.

    L2 norms: `model` is ‖θˡ − θ‖, where θˡ = θ′ − η g′ is what the worker's own last gradient would
    have led to; `gradient` is ‖g − g′‖; `stride` is ‖θˡ − θ′‖ = η ‖g′‖.
    """

    model: float
    gradient: float
    stride: float


@dataclass(frozen=True, slots=True)
class GradientComputed:
    """Answers `ComputeGradient`; with the `change` if that was asked for."""

    step: int
    vector: Vector
    change: Change | None = None


@dataclass(frozen=True, slots=True)
class Updated:
    """Answers `Update`: the parameters after the step, and whose gradients made it.

    `memory` is for the next update to have.
    """

    step: int
    params: Vector
    chosen: tuple[NodeId, ...] = ()
    memory: Memory = None


@dataclass(frozen=True, slots=True)
class Contracted:
    """Answers `Contract`: the coordinate-wise median."""

    step: int
    params: Vector


@dataclass(frozen=True, slots=True)
class Forged:
    """Answers `Forge`: the lies, receiver by receiver; `changed` of them differ from the truth."""

    sends: tuple[Send, ...]
    changed: int = 0


@dataclass(frozen=True, slots=True)
class Recomputed:
    """Answers `Recompute`: what those workers submit at `step`."""

    step: int
    gradients: Inputs


@dataclass(frozen=True, slots=True)
class Overheard:
    """What an honest node sends to others: only the omniscient in a simulation are told."""

    sender: NodeId
    send: Send


Event: TypeAlias = (
    Started
    | Received
    | TimerFired
    | GradientComputed
    | Updated
    | Contracted
    | Forged
    | Recomputed
    | Overheard
)
