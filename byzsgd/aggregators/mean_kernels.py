"""The compiled weighted mean; imported when first needed, since numba takes a while."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from byzsgd.aggregators.compiled import for_each_type, summing_kernel
from byzsgd.aggregators.prefetching import LINE, prefetch

BLOCK = 256
STREAMS, PAGE = 16, 1024
"""Processors follow about 32 rows at a time, and lose all of them at one more: of more than STREAMS
rows read a page of each."""


@for_each_type(summing_kernel)
def fill_mean(
    x: NDArray[Any],
    rows: NDArray[np.int64],
    weights: NDArray[np.float64],
    divisor: float,
    out: NDArray[Any],
) -> None:
    """out[c] = Σ weights[k] · x[rows[k], c] / divisor, summed in float64 and rounded once."""
    block = BLOCK if len(rows) <= STREAMS else PAGE
    sums, last = np.empty(block), len(rows) - 1
    for begin in range(0, len(out), block):
        end = min(begin + block, len(out))
        total, result = sums[: end - begin], out[begin:end]
        # Processors read what they are going to overwrite, and do not see that coming.
        for at in range(end, end + block, LINE // out.itemsize):
            prefetch(out, at)
        total[:] = 0
        # Four rows at a time, so that `total` is read and written a quarter as often; where they
        # run out, the last row again with weight 0.
        for k in range(0, len(rows), 4):
            k1, k2, k3 = min(k + 1, last), min(k + 2, last), min(k + 3, last)
            a, b = x[rows[k], begin:end], x[rows[k1], begin:end]
            c, d = x[rows[k2], begin:end], x[rows[k3], begin:end]
            u, v = weights[k], weights[k1] * (k1 == k + 1)
            w, z = weights[k2] * (k2 == k + 2), weights[k3] * (k3 == k + 3)
            for at in range(len(total)):
                total[at] += u * a[at] + v * b[at] + w * c[at] + z * d[at]
        if divisor != 1:
            for at in range(len(total)):
                total[at] /= divisor
        for at in range(len(total)):
            result[at] = total[at]
