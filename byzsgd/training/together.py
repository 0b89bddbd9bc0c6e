"""The gradients of many workers in one process, faster than one after the other."""

import math
import os
from collections.abc import Sequence
from itertools import pairwise
from typing import Final, Literal, NamedTuple, TypeAlias

import torch
from torch import Tensor

from byzsgd.training.crew import Crew
from byzsgd.training.flat import FlatModel, Loss
from byzsgd.training.stacked import Stacked, stacked
from byzsgd.training.task import Task

How: TypeAlias = Literal["auto", "loop", "threads", "stacked"]

STACK_BYTES: Final = 5_000_000
"""Of the parameters in one stack: more do not stay in a processor's cache."""
STACK_MIN, STACK_MAX = 4, 32
"""Gradients in one stack: fewer do not pay, more gain nothing."""
THREADS_MAX: Final = 8
"""More would wait for the interpreter's lock."""


class Asked(NamedTuple):
    """A gradient to compute: at `params` (d,), on one batch, with the seed of what is drawn."""

    params: Tensor
    inputs: Tensor
    targets: Tensor
    seed: int


Computed: TypeAlias = tuple[Tensor, float]
"""A gradient (d,) and the loss."""


class Gradients:
    """Computes the gradients of a list of `Asked`, in its order. One thread at a time.

    `how` it is done follows from the kinds of layers, never from the time that something takes:

    - "stacked": several in one pass, for chains of linear and element-wise layers. Equal to the
      loop up to rounding, 1e-5 of a gradient's length.
    - "threads": by several threads, each as in the loop, and equal to it bit by bit.
    - "loop": one after the other. For models that draw random numbers, as torch has one generator
      for all threads.

    Nobody writes to a gradient later. Those of one stack are rows of one tensor, which stays in
    memory as long as one of them does.
    """

    def __init__(
        self, flat: FlatModel, loss: Loss, how: How, stack: Stacked | None, crew: Crew
    ) -> None:
        self.how = how
        self._flats = [flat]
        self._loss = loss
        self._stacks = [stack] if stack else []
        self._crew = crew

    def __call__(self, asked: Sequence[Asked]) -> list[Computed]:
        if self.how == "loop" or not asked:
            return [self._one(self._flats[0], one, one.seed) for one in asked]
        before = torch.get_rng_state()
        computed = self._fast(asked)
        if torch.equal(torch.get_rng_state(), before):
            return computed
        torch.set_rng_state(before)  # it draws after all, with these parameters or inputs
        self.how = "loop"
        return self(asked)

    def _fast(self, asked: Sequence[Asked]) -> list[Computed]:
        if not self._stacks or not _alike(asked):
            return self._threads(asked)
        chunks = _chunks(asked, room(self._flats[0].dimension))
        while len(self._stacks) < min(self._crew.size, len(chunks)):
            self._stacks.append(self._stacks[0].twin())
        computed = self._crew.map(self._stack, chunks)
        return [one for chunk in computed for one in chunk]

    def _stack(self, member: int, asked: Sequence[Asked]) -> list[Computed]:
        params, inputs, targets, _ = zip(*asked, strict=True)
        stack = self._stacks[member]
        rows, losses = stack.gradients(params, torch.stack(inputs), targets, self._loss)
        return list(zip(rows.unbind(), losses.tolist(), strict=True))

    def _threads(self, asked: Sequence[Asked]) -> list[Computed]:
        while len(self._flats) < min(self._crew.size, len(asked)):
            self._flats.append(self._flats[0].twin())
        return self._crew.map(lambda member, one: self._one(self._flats[member], one), asked)

    def _one(self, flat: FlatModel, asked: Asked, seed: int | None = None) -> Computed:
        return flat.gradient(asked.params, asked.inputs, asked.targets, self._loss, seed)


def gradients_of(
    task: Task, flat: FlatModel, how: How = "auto", threads: int | None = None
) -> Gradients:
    """The gradients of `task`, as fast as its model allows; `how` may ask for less than that.

    `threads` changes no result; without it there are as many as this process may use processors.
    """
    large = room(flat.dimension) < STACK_MIN
    stack = stacked(flat.module) if how == "stacked" or (how == "auto" and not large) else None
    if how != "loop":
        how = "loop" if _draws(task, flat) else "stacked" if stack else "threads"
    return Gradients(flat, task.loss, how, stack, Crew(threads or _processors()))


def _draws(task: Task, flat: FlatModel) -> bool:
    """Whether computing a gradient takes random numbers from torch."""
    inputs, targets = task.training.batch(torch.arange(min(2, len(task.training))))
    before = torch.get_rng_state()
    flat.gradient(flat.vector(), inputs, targets, task.loss)
    drew = not torch.equal(torch.get_rng_state(), before)
    torch.set_rng_state(before)
    return drew


def _alike(asked: Sequence[Asked]) -> bool:
    """Whether the batches can be stacked."""
    shapes = [(one.inputs.shape, one.inputs.dtype, one.targets.shape) for one in asked]
    return len(shapes[0][0]) > 1 and all(shape == shapes[0] for shape in shapes)


def room(dimension: int) -> int:
    """How many gradients go into one stack."""
    return min(STACK_MAX, max(1, STACK_BYTES // (4 * dimension)))


def _chunks(asked: Sequence[Asked], size_max: int) -> list[Sequence[Asked]]:
    """As equal in size as can be, and an even number if several; threads have no say in it."""
    count = math.ceil(len(asked) / size_max)
    if count > 1:
        count = min(len(asked), count + count % 2)
    cuts = [len(asked) * k // count for k in range(count + 1)]
    return [asked[start:end] for start, end in pairwise(cuts)]


def _processors() -> int:
    here = getattr(os, "sched_getaffinity", lambda _: range(os.cpu_count() or 1))
    return min(THREADS_MAX, len(here(0)))
