"""Compiled inner products; imported when first needed, since numba takes a while."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from byzsgd.aggregators.compiled import for_each_type, summing_kernel

BLOCK = 1024


@for_each_type(summing_kernel)
def add_products(
    x: NDArray[Any],
    mean: NDArray[Any],
    direction: NDArray[Any],
    first: int,
    last: int,
    sums: NDArray[np.float64],
) -> None:
    """sums[k] += Σ (x[k, c] − mean[c]) · direction[c] over the coordinates [first, last)."""
    for begin in range(first, last, BLOCK):
        end = min(begin + BLOCK, last)
        centre, along = mean[begin:end], direction[begin:end]
        for k in range(len(x)):
            row, total = x[k, begin:end], x.dtype.type(0)
            for at in range(len(row)):
                total += (row[at] - centre[at]) * along[at]
            sums[k] += total
