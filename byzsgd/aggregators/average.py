"""The plain mean: the unprotected parameter server's rule and the end of rules that select."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from byzsgd.aggregators.blocks import blocks
from byzsgd.aggregators.rule import Rule

WIDTH = 65_536


def mean_of_rows(vectors: Tensor, rows: Sequence[int], out: Tensor) -> None:
    """Fill (d,) `out` with the mean of these rows; finite whenever all of them are.

    Half-precision rows are summed in float32.
    """
    for block in blocks(vectors, WIDTH):
        columns, mean = vectors[:, block], out[block]
        _quick_mean(columns, rows, mean)
        # A sum is finite only if all its terms are: one number tells for the whole block.
        if not math.isfinite(float(mean.sum())):
            mean.copy_(_wide_mean(columns, rows))


def _quick_mean(columns: Tensor, rows: Sequence[int], mean: Tensor) -> None:
    if len(rows) == len(columns):
        torch.mean(columns, 0, out=mean)
    elif mean.dtype in (torch.float32, torch.float64):
        mean.copy_(columns[rows[0]])
        for row in rows[1:]:
            mean += columns[row]
        mean /= len(rows)
    else:
        torch.mean(columns[list(rows)], 0, out=mean)


def _wide_mean(columns: Tensor, rows: Sequence[int]) -> Tensor:
    """For finite rows whose sum overflows: in float64, and below its limit by a power of two."""
    scale = 2.0 ** -len(rows).bit_length()
    scaled = columns[list(rows)].double().mul_(scale)
    return scaled.sum(0).div_(len(rows) * scale)


def _fill(vectors: Tensor, f: int, out: Tensor) -> None:
    mean_of_rows(vectors, range(len(vectors)), out)


AVERAGE = Rule(name="average", aliases=("mean",), bound="n ≥ 1", minimum_n=lambda f: 1, fill=_fill)
"""The mean of all rows. It takes any f and tolerates none: one liar sets the result, and NaN or Inf
in a row is in the result as well."""
