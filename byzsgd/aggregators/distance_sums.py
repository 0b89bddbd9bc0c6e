"""Sums of squared differences of rows: by kernels, or in plain torch."""

import math
from collections.abc import Sequence
from functools import cache, lru_cache
from types import ModuleType
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from byzsgd.aggregators.blocks import blocks, widest
from byzsgd.aggregators.compiled import compiles

WIDTH = 16_384
"""Coordinates at a time in torch: three rows fit the cache, and calls cost less than the work."""
SIDE = 4
"""Kernels compare this many rows with as many others at a time."""


def fill_pairs(
    store: Tensor, order: Sequence[int], begin: int, least: float, squared: Tensor
) -> bool:
    """Fill the rows and columns of `squared` from `begin` on with the rows' squared distances.

    Sums are in the rows' type, at least float32, within a block of coordinates and in float64
    across blocks; +inf where one is not finite. Returns whether any is +inf or below `least`.
    Kernels need a contiguous `store`.
    """
    if not compiles(store):
        return _fill_in_torch(store, order, begin, least, squared)
    tiles, rows, target = _tiles(len(order), begin), _indices(order), squared.numpy()
    return bool(_kernels(store.dtype).fill_pairs(store.numpy(), rows, tiles, begin, least, target))


def some_pairs(store: Tensor, left: Sequence[int], right: Sequence[int]) -> Tensor:
    """(k,) squared distances of store[left[i]] and store[right[i]], all in float64, on the CPU."""
    sums = torch.zeros(len(left), dtype=torch.float64)
    if compiles(store):
        add_pairs = _kernels(store.dtype).add_pairs
        add_pairs(store.numpy(), _indices(left), _indices(right), sums.numpy())
        return sums
    for block in blocks(store, WIDTH):
        for pair, (i, j) in enumerate(zip(left, right, strict=True)):
            difference = store[i, block].double().sub_(store[j, block])
            sums[pair] += difference.square_().sum().cpu()
    return sums


def equal_pairs(store: Tensor, left: Sequence[int], right: Sequence[int]) -> list[bool]:
    """Whether store[left[i]] equals store[right[i]]."""
    if compiles(store):
        equal = np.ones(len(left), dtype=np.bool_)
        compare_pairs = _kernels(store.dtype).compare_pairs
        compare_pairs(store.numpy(), _indices(left), _indices(right), equal)
        return [bool(same) for same in equal]
    return [torch.equal(store[i], store[j]) for i, j in zip(left, right, strict=True)]


@cache
def _kernels(dtype: torch.dtype) -> ModuleType:
    """The kernels, all compiled for this type: no later row, however odd, is to wait for that."""
    from byzsgd.aggregators import distance_kernels

    nothing, nobody = torch.empty(0, 0, dtype=dtype).numpy(), _indices([])
    distance_kernels.add_pairs(nothing, nobody, nobody, np.empty(0))
    distance_kernels.compare_pairs(nothing, nobody, nobody, np.empty(0, dtype=np.bool_))
    return distance_kernels


@lru_cache(maxsize=256)
def _tiles(n: int, begin: int) -> NDArray[np.int64]:
    """(T, 12) rows, four against four, that cover all pairs (i, j) with begin ≤ i < n and j < i.

    Rows repeat where they run out. The last four are rows whose next block a tile asks memory for:
    all rows in turn, as evenly as that can be.
    """
    corners = [(i, j) for i in range(begin, n, SIDE) for j in range(0, min(i + SIDE, n) - 1, SIDE)]
    tiles = []
    for tile, (i, j) in enumerate(corners):
        ahead = range(tile * n // len(corners), (tile + 1) * n // len(corners)) or range(i, i + 1)
        tiles.append(_four(i, n) + _four(j, n) + _four(ahead.start, ahead.stop))
    return np.array(tiles, dtype=np.int64).reshape(-1, 3 * SIDE)


def _four(first: int, end: int) -> list[int]:
    return [min(first + k, end - 1) for k in range(SIDE)]


def _fill_in_torch(
    store: Tensor, order: Sequence[int], begin: int, least: float, squared: Tensor
) -> bool:
    n = len(order)
    below = _sums_in_torch(store, order, begin).nan_to_num_(nan=math.inf, posinf=math.inf)
    squared[begin:n, :begin] = below[:, :begin]
    squared[:begin, begin:n] = below[:, :begin].T
    squared[begin:n, begin:n] = below[:, begin:] + below[:, begin:].T
    apart = ~torch.eye(n, dtype=torch.bool)[begin:]
    found = squared[begin:n, :n][apart]
    return bool(((found < least) | found.isinf()).any())


def _sums_in_torch(store: Tensor, order: Sequence[int], begin: int) -> Tensor:
    """(n − begin, n): the sums for rows begin + i and j < begin + i, and 0 elsewhere."""
    n, wide = len(order), torch.promote_types(store.dtype, torch.float32)
    sums = torch.zeros(n - begin, n, dtype=torch.float64, device=store.device)
    block_sums = store.new_zeros((n - begin, n), dtype=wide)
    scratch = store.new_empty(widest(store, WIDTH), dtype=wide)
    for block in blocks(store, WIDTH):
        rows = [store[row, block].to(wide) for row in order]
        difference = scratch[: len(rows[0])]
        for i in range(begin, n):
            for j in range(i):
                torch.sub(rows[i], rows[j], out=difference)
                # Always this one buffer, always aligned alike: the same sum to the bit for equal
                # rows. And not torch.dot, whose sums are long chains of roundings.
                torch.sum(difference.square_(), 0, out=block_sums[i - begin, j])
        sums += block_sums
    return sums.cpu()


def _indices(rows: Sequence[int]) -> NDArray[Any]:
    return np.array(rows, dtype=np.int64)
