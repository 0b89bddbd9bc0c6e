"""What happens to a machine. Each computation effect is answered by the event of its root."""

from dataclasses import dataclass
from typing import TypeAlias

from byzsgd.cluster import NodeId
from byzsgd.protocol.effects import Send
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
class GradientComputed:
    """Answers `ComputeGradient`."""

    step: int
    vector: Vector


@dataclass(frozen=True, slots=True)
class Updated:
    """Answers `Update`: the parameters after the step, and whose gradients made it."""

    step: int
    params: Vector
    chosen: tuple[NodeId, ...] = ()


@dataclass(frozen=True, slots=True)
class Contracted:
    """Answers `Contract`: the coordinate-wise median."""

    step: int
    params: Vector


@dataclass(frozen=True, slots=True)
class Forged:
    """Answers `Forge`: the lies, receiver by receiver."""

    sends: tuple[Send, ...]


Event: TypeAlias = (
    Started | Received | TimerFired | GradientComputed | Updated | Contracted | Forged
)
