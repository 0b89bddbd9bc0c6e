"""What a machine wants done. A driver performs them in order and answers with events."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

from byzsgd.cluster import NodeId
from byzsgd.protocol.messages import Message, Vector

Inputs: TypeAlias = tuple[tuple[NodeId, Vector], ...]
"""Vectors with their authenticated senders, in sender order."""


@dataclass(frozen=True, slots=True)
class Send:
    """One message for many receivers: it is encoded once."""

    to: tuple[NodeId, ...]
    message: Message


@dataclass(frozen=True, slots=True)
class SetTimer:
    """Answer with `TimerFired(name, step)` at time `at`, in place of an earlier timer `name`."""

    name: str
    step: int
    at: float


@dataclass(frozen=True, slots=True)
class Save:
    step: int
    params: Vector


@dataclass(frozen=True, slots=True)
class Done:
    """The last step is over. A server's `params` are its result; a worker has none."""

    params: Vector | None


@dataclass(frozen=True, slots=True)
class ComputeGradient:
    """The gradient at `params` on the batch of `step`; `last` is the vector submitted before.

    With `last_params`, where `last` was computed one step before, the change since is measured.
    """

    step: int
    params: Vector
    last: Vector | None = None
    last_params: Vector | None = None


@dataclass(frozen=True, slots=True)
class Prepare:
    """A gradient that will most likely be in the `Update` of `step`: work on it may begin.

    Nothing answers, and an `Update` must not depend on what was prepared.
    """

    step: int
    sender: NodeId
    gradient: Vector


@dataclass(frozen=True, slots=True)
class Update:
    """Aggregate the gradients and apply the learning rate of `step`."""

    step: int
    params: Vector
    gradients: Inputs


@dataclass(frozen=True, slots=True)
class Contract:
    """The coordinate-wise median of models of `step`."""

    step: int
    models: Inputs


@dataclass(frozen=True, slots=True)
class Forge:
    """Turn honest sends into lies.

    `known` are the vectors of the same kind that the liar knows of, its own first; `gradients` are
    those that a lying server aggregated last.
    """

    sends: tuple[Send, ...]
    attack: str
    options: Mapping[str, object] = field(default_factory=dict)
    known: tuple[Vector, ...] = ()
    gradients: tuple[Vector, ...] = ()


Computation: TypeAlias = ComputeGradient | Update | Contract | Forge
Effect: TypeAlias = Send | SetTimer | Save | Done | Prepare | Computation
