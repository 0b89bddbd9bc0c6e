"""Krum again and again, on what it leaves; imported when first needed: numba takes a while."""

import numpy as np
from numpy.typing import NDArray

from byzsgd.aggregators.compiled import kernel


@kernel
def krum_picks(
    distances: NDArray[np.float64], others: NDArray[np.int64], f: int, picks: NDArray[np.int64]
) -> None:
    """Fill `picks` with the rows that Krum takes out one by one, of ties the lowest index.

    Of each of n rows `others[row]` are the n−1 other rows from the nearest on, and
    `distances[row]` how far they are: sorted once for all picks.
    """
    n = len(distances)
    left = np.ones(n, np.bool_)
    for pick in range(len(picks)):
        neighbours = max(1, n - pick - f - 2)
        best, least = -1, np.inf
        for row in range(n):
            if not left[row]:
                continue
            score, counted = 0.0, 0
            for k in range(n - 1):
                if left[others[row, k]]:
                    score += distances[row, k]
                    counted += 1
                    if counted == neighbours:
                        break
            if best < 0 or score < least:
                best, least = row, score
        picks[pick] = best
        left[best] = False
