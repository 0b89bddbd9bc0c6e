"""The subset of least diameter among few rows, by trying all: imported when first needed."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from byzsgd.aggregators.compiled import kernel


@kernel
def least_diameter(distances: NDArray[np.float64], best: NDArray[np.int64]) -> Any:
    """Fill `best` with the rows of the first subset of its size with the least diameter.

    Returns the diameter, and +inf where there is no finite one. Subsets are tried in their order,
    and given up as soon as their first rows lie as far apart as the best ones known.
    """
    n, size = len(distances), len(best)
    rows, reach = np.empty(size, np.int64), np.empty(size + 1)
    least, at, row = np.inf, 0, 0
    reach[0] = -np.inf
    while True:
        if at == size:
            for k in range(size):  # a slice would take seconds to compile
                best[k] = rows[k]
            least = reach[size]
        if at == size or row > n - (size - at):  # no row is left for this place
            if at == 0:
                return least
            at -= 1
            row = rows[at] + 1
            continue
        diameter = reach[at]
        for k in range(at):
            if distances[rows[k], row] > diameter:
                diameter = distances[rows[k], row]
        if diameter < least:
            rows[at] = row
            at += 1
            reach[at] = diameter
        row += 1
