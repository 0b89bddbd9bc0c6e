"""The protocol as machines without I/O: events in, effects out, standard library only.

A machine never reads a clock, a socket, a random number or a tensor. Whatever it wants done is an
effect; what came of it returns as an event. The same machines run over sockets, in tests with
strings for vectors, and in simulated time.

    from byzsgd.protocol import Server, Worker
    effects = machine.handle(event, now)
"""

from collections import Counter
from typing import Protocol

from byzsgd.cluster import NodeId
from byzsgd.protocol.effects import (
    ComputeGradient,
    Contract,
    Done,
    Effect,
    Forge,
    Prepare,
    Recompute,
    Save,
    Send,
    SetTimer,
    Update,
)
from byzsgd.protocol.events import (
    Change,
    Contracted,
    Event,
    Forged,
    GradientComputed,
    Overheard,
    Received,
    Recomputed,
    Started,
    TimerFired,
    Updated,
)
from byzsgd.protocol.messages import (
    FLAWS,
    Gradient,
    Malformed,
    Message,
    Model,
    Pull,
    Vector,
    Whisper,
    round_of,
    vector_of,
    with_vector,
)
from byzsgd.protocol.quorum import Quorum
from byzsgd.protocol.server import Server
from byzsgd.protocol.worker import Worker


class Machine(Protocol):
    """What a driver, a simulator or a test drives. `now` is in seconds, of any monotonic clock."""

    @property
    def step(self) -> int: ...
    @property
    def phase(self) -> str: ...
    @property
    def refused(self) -> Counter[tuple[NodeId, str]]: ...
    def kept(self, sender: NodeId) -> int: ...
    def handle(self, event: Event, now: float) -> list[Effect]: ...


__all__ = [
    "FLAWS",
    "Change",
    "ComputeGradient",
    "Contract",
    "Contracted",
    "Done",
    "Effect",
    "Event",
    "Forge",
    "Forged",
    "Gradient",
    "GradientComputed",
    "Machine",
    "Malformed",
    "Message",
    "Model",
    "Overheard",
    "Prepare",
    "Pull",
    "Quorum",
    "Received",
    "Recompute",
    "Recomputed",
    "Save",
    "Send",
    "Server",
    "SetTimer",
    "Started",
    "TimerFired",
    "Update",
    "Updated",
    "Vector",
    "Whisper",
    "Worker",
    "round_of",
    "vector_of",
    "with_vector",
]
