"""Weighted means of rows in one pass: the last step of every rule that looks at distances."""

import math
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from byzsgd.aggregators.blocks import blocks
from byzsgd.aggregators.compiled import compiles

WIDTH = 16_384


def weighted_mean(
    store: Tensor, order: Sequence[int], weights: Sequence[float], out: Tensor
) -> None:
    """Fill contiguous (d,) `out` with Σ weights[k] · store[order[k]]; the weights sum to 1.

    Rows of weight 0 are not read, so that Inf and NaN there do not matter. The result is finite
    wherever the weighted rows are and no weight is negative, even if their sum is not. Summed in
    float64 and rounded once: the mean of equal rows of a narrower type is that row. Of float64 rows
    equal weights give the plain mean, a sum that is divided once, within about as many units in the
    last place as there are rows.
    """
    used = [(row, weight) for row, weight in zip(order, weights, strict=True) if weight != 0]
    rows, shares = [row for row, _ in used], [weight for _, weight in used]
    divisor = 1.0
    if store.dtype == torch.float64 and len(set(shares)) == 1:
        shares, divisor = [1.0] * len(rows), 1 / shares[0]
    fill = _fill_by_kernel if compiles(store) else _fill_in_torch
    fill(store, rows, shares, divisor, out)
    if store.dtype == torch.float64 and not math.isfinite(float(out.sum())):
        _fill_scaled(store, rows, [share / divisor for share in shares], out)


def _fill_by_kernel(
    store: Tensor, rows: Sequence[int], shares: Sequence[float], divisor: float, out: Tensor
) -> None:
    from byzsgd.aggregators.mean_kernels import fill_mean

    if not store.is_contiguous():
        store, rows = store[list(rows)], range(len(rows))
    indices, weights = np.array(rows, dtype=np.int64), np.array(shares)
    fill_mean(store.numpy(), indices, weights, divisor, out.numpy())


def _fill_in_torch(
    store: Tensor, rows: Sequence[int], shares: Sequence[float], divisor: float, out: Tensor
) -> None:
    for block in blocks(store, WIDTH):
        total = store[rows[0], block].double() * shares[0]
        for row, share in zip(rows[1:], shares[1:], strict=True):
            total.add_(store[row, block].double(), alpha=share)
        out[block] = total.div_(divisor)


def _fill_scaled(store: Tensor, rows: Sequence[int], shares: Sequence[float], out: Tensor) -> None:
    """For finite float64 rows whose sum overflows: smaller by a power of two, which is exact."""
    scale = 2.0 ** -len(rows).bit_length()
    weights = store.new_tensor(shares)
    for block in blocks(store, WIDTH):
        out[block] = weights @ store[list(rows), block].mul_(scale) / scale
