"""How rows lie around the mean of some of them, in one pass: to watch a rule, not to decide.

All sums are in float64, where products of float32 are exact. So ‖x‖² − 2⟨x, m⟩ + ‖m‖² cancels only
where rows are as close as float32 can tell.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from byzsgd.aggregators.blocks import blocks
from byzsgd.aggregators.compiled import compiles
from byzsgd.aggregators.distances import finite_rows

WIDTH = 16_384


@dataclass(frozen=True)
class Spread:
    """Sums over all coordinates around the mean m of `counted` rows; NaN where none is counted."""

    counted: int
    center: float
    """‖m‖²."""
    moved: float
    """‖aggregate − m‖²."""
    squares: float
    """Σ ‖x‖² of the counted rows."""
    norms: tuple[float, ...]
    """‖x‖² of each other row, and ⟨x, m⟩: not finite where the row is not."""
    along: tuple[float, ...]

    @property
    def variance(self) -> float:
        """E ‖x − m‖² of the counted rows, with k − 1; NaN of fewer than two."""
        if self.counted < 2:
            return math.nan
        return max(0.0, self.squares - self.counted * self.center) / (self.counted - 1)

    def off(self, place: int) -> float:
        """‖x − m‖² of one of the other rows; NaN where it is not finite."""
        return max(self.norms[place] - 2 * self.along[place] + self.center, 0.0)


def spread(
    store: Tensor, counted: Sequence[int], others: Sequence[int], aggregate: Tensor
) -> Spread:
    """Of rows of an (m, d) tensor, by their indices, and of their (d,) `aggregate`.

    A counted row that holds NaN or Inf is left out.
    """
    store, aggregate = store.detach(), aggregate.detach()
    found = _spread(store, list(counted), others, aggregate)
    if math.isfinite(found.squares):
        return found
    finite = [row for row in counted if bool(finite_rows(store[row][None]))]
    return _spread(store, finite, others, aggregate)


def _spread(store: Tensor, counted: list[int], others: Sequence[int], aggregate: Tensor) -> Spread:
    sums, norms, along = np.zeros(3), np.zeros(len(others)), np.zeros(len(others))
    add = _add_by_kernel if compiles(store) else _add_in_torch
    add(store, counted, list(others), aggregate, sums, norms, along)
    center, moved, squares = sums.tolist()
    return Spread(
        len(counted), center, moved, squares, tuple(norms.tolist()), tuple(along.tolist())
    )


Sums = NDArray[Any]


def _add_by_kernel(
    store: Tensor,
    counted: list[int],
    others: list[int],
    aggregate: Tensor,
    sums: Sums,
    norms: Sums,
    along: Sums,
) -> None:
    from byzsgd.aggregators.spread_kernels import add_sums

    if not store.is_contiguous():
        used = [*counted, *others]
        store, counted = store[used], list(range(len(counted)))
        others = list(range(len(counted), len(used)))
    rows, rest = (np.array(each, dtype=np.int64) for each in (counted, others))
    add_sums(store.numpy(), rows, rest, aggregate.contiguous().numpy(), sums, norms, along)


def _add_in_torch(
    store: Tensor,
    counted: list[int],
    others: list[int],
    aggregate: Tensor,
    sums: Sums,
    norms: Sums,
    along: Sums,
) -> None:
    for block in blocks(store, WIDTH):
        rows, rest = store[counted, block].double(), store[others, block].double()
        mean = rows.mean(dim=0)
        apart = aggregate[block].double() - mean
        sums += [float(each.square().sum()) for each in (mean, apart, rows)]
        norms += rest.square().sum(1).cpu().numpy()
        along += (rest @ mean).cpu().numpy()
