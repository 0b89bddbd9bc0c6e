"""Inputs and targets, kept as they were stored and converted batch by batch."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from byzsgd.errors import ConfigError


@dataclass(frozen=True)
class Examples:
    """N inputs (N, …) with N targets (N,), and how inputs become what the model reads.

    Where `scale` is given the model reads inputs·scale + shift, both broadcast against one input.
    So images stay uint8 (47 MB for MNIST, 188 as float32, in each of a dozen processes), and an
    attack that draws on images can do so in pixels. Without a scale, inputs of any floating type
    are read as float32 and integers (tokens) as they are.

    Raises ConfigError for no examples or unequal numbers of inputs and targets.
    """

    inputs: Tensor
    targets: Tensor
    scale: Tensor | None = None
    shift: Tensor | None = None

    def __post_init__(self) -> None:
        if len(self.inputs) != len(self.targets):
            raise ConfigError(f"{len(self.inputs)} inputs but {len(self.targets)} targets")
        if len(self.inputs) == 0:
            raise ConfigError("there are no examples")
        assert (self.scale is None) == (self.shift is None)

    def __len__(self) -> int:
        return len(self.inputs)

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of one input."""
        return tuple(self.inputs.shape[1:])

    @cached_property
    def largest(self) -> float:
        """The largest number in the inputs, as they are stored."""
        return float(self.inputs.max())

    def batch(self, indices: Tensor) -> tuple[Tensor, Tensor]:
        """The inputs, as the model reads them, and the targets at `indices`; fresh tensors."""
        inputs = self.inputs[indices]
        if self.scale is not None and self.shift is not None:
            inputs = inputs.float().mul_(self.scale).add_(self.shift)
        elif inputs.is_floating_point():
            inputs = inputs.float()
        return inputs, self.targets[indices]


def images(
    pixels: Tensor,
    labels: Tensor,
    mean: Sequence[float],
    deviation: Sequence[float],
    largest: int = 255,
) -> Examples:
    """Examples of uint8 `pixels` (N, C, H, W), read as (pixel/largest − mean)/deviation.

    One mean and deviation per channel; `largest` is the pixel value that stands for 1.
    """
    means, deviations = torch.tensor(mean), torch.tensor(deviation)
    scale, shift = 1 / (largest * deviations), -means / deviations
    return Examples(pixels, labels.long(), scale.view(-1, 1, 1), shift.view(-1, 1, 1))
