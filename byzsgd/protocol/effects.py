"""What a machine wants done. A driver performs them in order and answers with events."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from byzsgd.cluster import NodeId
from byzsgd.protocol.messages import Message, Vector

Inputs: TypeAlias = tuple[tuple[NodeId, Vector], ...]
"""Vectors with their authenticated senders, in sender order."""
Memory: TypeAlias = Any
"""What one update of a server leaves to the next; None where there was none, or it left nothing."""


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
    """What a server is to be given again after a crash."""

    step: int
    params: Vector
    memory: Memory = None


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
    """Aggregate the gradients and apply the learning rate of `step`.

    `memory` is what the last update left, which need not be that of the step before.
    """

    step: int
    params: Vector
    gradients: Inputs
    memory: Memory = None


@dataclass(frozen=True, slots=True)
class Contract:
    """The coordinate-wise median of models of `step`."""

    step: int
    models: Inputs


@dataclass(frozen=True, slots=True)
class Forge:
    """Turn honest sends into lies.

    `known` are the vectors of the same kind that the liar knows of; its own is the first, unless
    they are of honest nodes. `gradients` are those that a lying server aggregated last, `params`
    is the model at which a lying worker computed its gradient.
    """

    sends: tuple[Send, ...]
    attack: str
    options: Mapping[str, object] = field(default_factory=dict)
    known: tuple[Vector, ...] = ()
    gradients: tuple[Vector, ...] = ()
    params: Vector | None = None


@dataclass(frozen=True, slots=True)
class Recompute:
    """What other workers submit at `step`, computed by one who knows their data and seeds.

    As though their models were `params` as well; `last` are their vectors of the step before, as
    far as there are any.
    """

    step: int
    params: Vector
    workers: tuple[NodeId, ...]
    last: Inputs = ()


Computation: TypeAlias = ComputeGradient | Update | Contract | Forge | Recompute
Effect: TypeAlias = Send | SetTimer | Save | Done | Prepare | Computation
