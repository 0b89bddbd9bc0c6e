"""The compiled sums around a mean; imported when first needed, since numba takes a while."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from byzsgd.aggregators.compiled import for_each_type, summing_kernel

BLOCK = 512


@for_each_type(summing_kernel)
def add_sums(
    x: NDArray[Any],
    counted: NDArray[np.int64],
    others: NDArray[np.int64],
    aggregate: NDArray[Any],
    sums: NDArray[np.float64],
    norms: NDArray[np.float64],
    along: NDArray[np.float64],
) -> None:
    """With the mean m of x[counted]: sums += (‖m‖², ‖aggregate − m‖², Σ ‖x[counted]‖²), and of
    x[others] norms += ‖x‖² and along += ⟨x, m⟩; all of it in float64.
    """
    whole, last = np.empty(BLOCK), len(counted) - 1
    for begin in range(0, x.shape[1], BLOCK):
        end = min(begin + BLOCK, x.shape[1])
        mean, result = whole[: end - begin], aggregate[begin:end]
        mean[:] = 0
        squares = 0.0
        # Two rows at a time, so that `mean` is read and written half as often; where they run out,
        # the last row again with weight 0.
        for k in range(0, len(counted), 2):
            a, b = x[counted[k], begin:end], x[counted[min(k + 1, last)], begin:end]
            weight = np.float64(k < last)
            for at in range(len(mean)):
                u, v = np.float64(a[at]), weight * b[at]
                mean[at] += u + v
                squares += u * u + v * v
        center = moved = 0.0
        for at in range(len(mean)):
            mean[at] /= len(counted)
            center += mean[at] * mean[at]
            apart = result[at] - mean[at]
            moved += apart * apart
        sums[0] += center
        sums[1] += moved
        sums[2] += squares
        for k in range(len(others)):
            part = x[others[k], begin:end]
            norm = inner = 0.0
            for at in range(len(mean)):
                norm += np.float64(part[at]) * part[at]
                inner += part[at] * mean[at]
            norms[k] += norm
            along[k] += inner
