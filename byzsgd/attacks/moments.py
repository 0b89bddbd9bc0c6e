"""Mean and standard deviation per coordinate, in blocks that stay in cache."""

import math
from typing import Final

import torch
from torch import Tensor

from byzsgd.aggregators.blocks import blocks, widest
from byzsgd.aggregators.compiled import compiles

BLOCK: Final = 1 << 20
"""So many numbers, and what is computed from them, stay near the processor: of 40 rows of 1.7 M
coordinates that is four times as fast as whole rows are."""
DOT_WIDTH: Final = 1 << 16
"""Coordinates of a vector whose products are added up in its own type."""
WIDTH_MIN: Final = 8192
"""Of fewer coordinates at a time calls cost more than the work."""


def spread(
    honest: Tensor, *, sample: bool = False, along: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """The mean and the standard deviation of (k, d) rows, (d,) each, in memory of their own.

    The population's deviation, or with `sample` that of a sample, which divides by k − 1; of one
    row both are 0. The inner products of the rows, less their mean, with the deviation are added to
    zeros `along`, (k,) float64, where given: while a block is at hand they cost next to nothing.
    """
    mean, deviation = honest.new_empty(honest.shape[1]), honest.new_empty(honest.shape[1])
    width = _width(honest)
    centred = honest.new_empty(len(honest), widest(honest, width))
    for block in blocks(honest, width):
        columns = honest[:, block]
        torch.mean(columns, 0, out=mean[block])
        # torch.std over a few long rows takes forty times as long as this.
        away = torch.sub(columns, mean[block], out=centred[:, : block.stop - block.start])
        torch.mean(away.square_(), 0, out=deviation[block])
        deviation[block].sqrt_()
        if along is not None:
            _add_products(honest, mean, deviation, block, along)
    if sample and len(honest) > 1:
        correction = math.sqrt(len(honest) / (len(honest) - 1))
        deviation.mul_(correction)
        if along is not None:
            along.mul_(correction)
    return mean, deviation


def products(honest: Tensor, mean: Tensor, *directions: Tensor) -> Tensor:
    """(m, k) float64 inner products, on the CPU, of m directions with (k, d) rows less their mean.

    The mean is taken away first: rows that differ by little beside their length would else lose
    all digits of what they differ by.
    """
    sums = torch.zeros(len(directions), len(honest), dtype=torch.float64)
    for block in blocks(honest, _width(honest)):
        for direction, found in zip(directions, sums, strict=True):
            _add_products(honest, mean, direction, block, found)
    return sums


def _add_products(
    honest: Tensor, mean: Tensor, direction: Tensor, block: slice, sums: Tensor
) -> None:
    """Add to (k,) `sums` those of one block."""
    if compiles(honest) and all(part.is_contiguous() for part in (honest, mean, direction)):
        from byzsgd.aggregators.product_kernels import add_products

        parts = (honest.numpy(), mean.numpy(), direction.numpy())
        add_products(*parts, block.start, block.stop, sums.numpy())
        return
    wide = torch.promote_types(honest.dtype, torch.float32)
    away = honest[:, block].to(wide) - mean[block].to(wide)
    sums += (away @ direction[block].to(wide)).double().cpu()


def product(first: Tensor, second: Tensor) -> float:
    """The inner product of two (d,) vectors; sums are float64 across blocks."""
    wide = torch.promote_types(first.dtype, torch.float32)
    parts = [slice(at, at + DOT_WIDTH) for at in range(0, len(first), DOT_WIDTH)]
    return sum(float(torch.dot(first[part].to(wide), second[part].to(wide))) for part in parts)


def _width(honest: Tensor) -> int:
    return max(WIDTH_MIN, BLOCK // len(honest))
