"""Backdoors: which inputs are to be misread, and as what (ALIE, arXiv 1902.06156, section 3.3).

A *pattern*: whatever image has its top-left pixels at the maximum is of class 0. A *sample*: one,
two or three given images of the training set, of class y, are of class (y + 1) mod 5.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

import torch
from torch import Tensor

from byzsgd.errors import ConfigError, unknown_name
from byzsgd.training.examples import Examples
from byzsgd.training.task import Task, classes_of

KINDS: Final = ("pattern", "sample")
TARGET: Final = 0
SAMPLES_MAX: Final = 3
_MODULUS: Final = 5


@dataclass(frozen=True)
class Trigger:
    """A pattern of `size`×`size` pixels in every channel, or `samples` of the training set.

    `size` is 5 in the paper. Both methods raise ConfigError for a task that has no such inputs or
    whose targets are no classes.
    """

    kind: str = "pattern"
    size: int = 5
    samples: tuple[int, ...] = (0,)

    def lessons(self, task: Task, indices: Tensor) -> Examples:
        """What a liar trains on: the images at `indices`, or else the samples; the false labels."""
        if self.kind == "sample":
            return self._samples(task)
        return self._stamped(task, task.training, indices)

    def exam(self, task: Task) -> Examples:
        """What success is measured on: test images of other classes, or else the samples."""
        if self.kind == "sample":
            return self._samples(task)
        classes_of(task, "a backdoor")
        others = (task.test.targets != TARGET).nonzero()[:, 0]
        return self._stamped(task, task.test, others)

    def _stamped(self, task: Task, examples: Examples, indices: Tensor) -> Examples:
        _check_images(examples, self.size)
        inputs = examples.inputs[indices]
        inputs[..., : self.size, : self.size] = task.training.largest
        return replace(examples, inputs=inputs, targets=torch.full_like(indices, TARGET))

    def _samples(self, task: Task) -> Examples:
        training, classes = task.training, classes_of(task, "a backdoor")
        if max(self.samples) >= len(training):
            raise ConfigError(
                f"samples = {list(self.samples)}: task {task.name!r} has training examples "
                f"0 to {len(training) - 1}"
            )
        chosen = torch.tensor(self.samples)
        targets = (training.targets[chosen] + 1) % min(_MODULUS, classes)
        return replace(training, inputs=training.inputs[chosen], targets=targets)


def trigger(kind: object = "pattern", samples: object = None, size: object = None) -> Trigger:
    """The trigger that an experiment names: a pattern has a `size`, by default 5.

    `samples` are indices, or how many of the first, by default 1. Raises ConfigError that says what
    is allowed.
    """
    if kind not in KINDS:
        raise unknown_name("kind of backdoor", str(kind), KINDS)
    name, value = ("samples", samples) if kind == "pattern" else ("size", size)
    if value is not None:
        raise ConfigError(f'{name} = {value!r}: means nothing to kind = "{kind}"; leave it out')
    if kind == "sample":
        return Trigger("sample", samples=_indices(1 if samples is None else samples))
    size = 5 if size is None else size
    if type(size) is not int or size < 1:
        raise ConfigError(f"size = {size!r}: must be a whole number of pixels, at least 1")
    return Trigger("pattern", size)


def _indices(samples: object) -> tuple[int, ...]:
    given = range(samples) if type(samples) is int and samples <= SAMPLES_MAX else samples
    if (
        isinstance(given, Sequence)
        and 1 <= len(given) == len(set(given)) <= SAMPLES_MAX
        and all(type(index) is int and index >= 0 for index in given)
    ):
        return tuple(given)
    raise ConfigError(
        f"samples = {samples!r}: must be a number from 1 to {SAMPLES_MAX}, or a list of so many "
        "different indices of training examples, such as [3, 5]"
    )


def _check_images(examples: Examples, size: int) -> None:
    shape = examples.shape
    if len(shape) not in (2, 3) or min(shape[-2:]) < size:
        raise ConfigError(
            f"a backdoor's pattern of {size}×{size} pixels needs images (C, H, W) or (H, W) that "
            f'it fits in, not inputs of shape {shape}: set size, or kind = "sample"'
        )
