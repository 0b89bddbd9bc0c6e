"""What a server keeps from one update to the next: SafeguardSGD's sums, and its momentum.

Named tensors, which nobody ever writes to: the protocol carries them without looking, and a
checkpoint holds them as they are. Each replica has its own, by the gradients that it saw.
"""

from collections.abc import Mapping
from typing import Final, NamedTuple, TypeAlias

from torch import Tensor

from byzsgd.aggregators import Rows, Safeguard, State
from byzsgd.cluster import NodeId
from byzsgd.protocol import Update
from byzsgd.training.momentum import ServerMomentum
from byzsgd.training.schedule import Schedule

Memory: TypeAlias = Mapping[str, Tensor]

SAFEGUARD: Final = "safeguard."
VELOCITY: Final = "velocity"


class Aggregated(NamedTuple):
    """The (d,) aggregate, whose gradients a rule selected for it, and what is remembered of it."""

    vector: Tensor
    chosen: tuple[NodeId, ...]
    memory: Memory
    exact: bool = True


def safeguarded(safeguard: Safeguard, rows: Rows, update: Update, workers: int) -> Aggregated:
    """The `rows` of the update's gradients through the filter. Raises `AggregationError`."""
    memory: Memory = update.memory or {}
    kept = {k.removeprefix(SAFEGUARD): v for k, v in memory.items() if k.startswith(SAFEGUARD)}
    state = State.of(kept) if kept else safeguard.start(workers, rows.dimension)
    senders = [sender.index for sender, _ in update.gradients]
    vector, chosen, after = safeguard(rows, state, senders, update.step)
    named = {SAFEGUARD + name: tensor for name, tensor in after.tensors().items()}
    whose = tuple(NodeId("worker", index) for index in chosen)
    return Aggregated(vector, whose, {**memory, **named})


def excluded(memory: Memory) -> list[str]:
    """The workers that the filter counts no more."""
    good = memory.get(SAFEGUARD + "good")
    lost = [] if good is None else (~good).nonzero().flatten().tolist()
    return [str(NodeId("worker", index)) for index in lost]


def moved(
    momentum: ServerMomentum,
    update: Update,
    aggregate: Tensor | None,
    memory: Memory,
    rate: Schedule,
) -> tuple[Tensor, Memory]:
    """The model after the update, or after one that was refused, and what is remembered then."""
    before = memory.get(VELOCITY)
    params, velocity = momentum.step(update.params, aggregate, before, update.step, rate)
    return params, {**memory, VELOCITY: velocity}
