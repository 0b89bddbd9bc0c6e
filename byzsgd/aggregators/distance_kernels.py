"""Compiled passes over pairs of rows; imported when first needed, since numba takes a while."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from byzsgd.aggregators.compiled import for_each_type, kernel, summing_kernel
from byzsgd.aggregators.distance_tile import BLOCK, SIDE, add_tile

PAIR_BLOCK = 1024

Matrix = NDArray[Any]
Indices = NDArray[np.int64]


@for_each_type(kernel)
def fill_pairs(
    x: Matrix, order: Indices, tiles: Indices, begin: int, least: float, squared: Matrix
) -> bool:
    """squared[i, j] = squared[j, i] = ‖x[order[i]] − x[order[j]]‖² for all begin ≤ i, j < i.

    +inf where that is not finite. Returns whether any is +inf or below `least`. `tiles` are (T, 12)
    rows that make up these pairs, see `add_tile`, which may repeat.
    """
    offsets = np.empty_like(tiles)
    for tile in range(len(tiles)):
        for k in range(3 * SIDE):
            offsets[tile, k] = order[tiles[tile, k]] * x.shape[1]
    sums = np.zeros((len(tiles), SIDE * SIDE))
    # Blocks are on the outside: all rows' block is in cache while the tiles pass over it.
    for first in range(0, x.shape[1], BLOCK):
        end = min(first + BLOCK, x.shape[1])
        for tile in range(len(tiles)):
            add_tile(x, offsets, sums, tile, first, end)
    doubtful = False
    for i in range(begin, len(order)):
        squared[i, i] = 0
    for tile in range(len(tiles)):
        for k in range(SIDE * SIDE):
            i, j = tiles[tile, k // SIDE], tiles[tile, SIDE + k % SIDE]
            if j < i:
                value = sums[tile, k] if sums[tile, k] < np.inf else np.inf  # else also of NaN
                squared[i, j] = squared[j, i] = value
                doubtful |= value < least or value == np.inf
    return doubtful


@for_each_type(summing_kernel)
def add_pairs(x: Matrix, left: Indices, right: Indices, sums: Matrix) -> None:
    """sums[k] += ‖x[left[k]] − x[right[k]]‖², all of it in float64."""
    for begin in range(0, x.shape[1], PAIR_BLOCK):
        end = min(begin + PAIR_BLOCK, x.shape[1])
        for k in range(len(left)):
            # Slices that start at 0: else each index would be tested for being negative.
            a, b = x[left[k], begin:end], x[right[k], begin:end]
            total = 0.0
            for at in range(len(a)):
                difference = np.float64(a[at]) - np.float64(b[at])
                total += difference * difference
            sums[k] += total


@for_each_type(kernel)
def compare_pairs(x: Matrix, left: Indices, right: Indices, equal: NDArray[np.bool_]) -> None:
    """equal[k] becomes false where x[left[k]] and x[right[k]] differ; each is read up to there."""
    for begin in range(0, x.shape[1], PAIR_BLOCK):
        end = min(begin + PAIR_BLOCK, x.shape[1])
        for k in range(len(left)):
            if equal[k]:
                a, b = x[left[k], begin:end], x[right[k], begin:end]
                different = 0
                for at in range(len(a)):
                    different |= a[at] != b[at]
                equal[k] = different == 0
