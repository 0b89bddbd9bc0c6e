"""Minimum-diameter averaging: the mean of the n−f rows that lie closest together.

MDA is the gradient rule of ByzSGD (El-Mhamdi et al., "Genuinely Distributed Byzantine Machine
Learning", arXiv 1905.03853, §3 and §4); "brute" in the same group's code, which enumerates all
C(n, f) subsets. Here the choice is exact without that: n−f rows of diameter at most r exist iff f
vertices cover the graph of the pairs farther apart than r, and r is found by bisection.
"""

import math
from bisect import bisect_right
from collections.abc import Sequence
from itertools import accumulate
from operator import or_

import torch
from torch import Tensor

from byzsgd.aggregators.average import mean_of_rows
from byzsgd.aggregators.cover import vertex_cover
from byzsgd.aggregators.distances import finite_rows, pairwise_squared
from byzsgd.aggregators.rule import AggregationError, Rule


def minimum_diameter_subset(
    distances: Sequence[Sequence[float]] | Tensor, f: int
) -> tuple[int, ...]:
    """The n−f indices, ascending, whose largest distance is least; of ties the first by order.

    `distances` is (n, n), symmetric, of any unit that grows with distance (squared ones do); NaN
    counts as +inf, and the diagonal is not read. Needs n ≥ 2f+1. Raises `AggregationError` if there
    are not n−f indices all at finite distances.
    """
    matrix = (
        torch.as_tensor(distances, dtype=torch.float64)
        .cpu()
        .nan_to_num(nan=math.inf, posinf=math.inf)
    )
    n = len(matrix)
    if matrix.shape != (n, n) or n < 2 * f + 1 or f < 0:
        given = f"shape {tuple(matrix.shape)}, f={f}"
        raise AggregationError(f"mda needs (n, n) distances and n ≥ 2f+1, f ≥ 0, was given {given}")
    matrix = matrix.fill_diagonal_(0)
    neighbourhoods = _Neighbourhoods(matrix)
    found = _least_diameter(neighbourhoods, _candidates(matrix, neighbourhoods, f), f)
    if found is None:
        raise _too_many(n, f)
    return _first_subset(*found, f)


class _Neighbourhoods:
    """Each row's neighbours in order of distance, so that a far graph costs n look-ups."""

    def __init__(self, matrix: Tensor) -> None:
        ordered, indices = matrix.sort(dim=1, stable=True)
        self.n = len(matrix)
        self.indices = indices
        self.radii: list[list[float]] = ordered.tolist()
        bits = [1 << j for j in range(self.n)]
        self.within = [
            list(accumulate(map(bits.__getitem__, row), or_)) for row in indices.tolist()
        ]

    def far(self, limit: float) -> list[int]:
        """For each row, as a bitset, the rows farther from it than `limit`."""
        everyone = (1 << self.n) - 1
        return [
            everyone ^ within[bisect_right(radii, limit) - 1]
            for radii, within in zip(self.radii, self.within, strict=True)
        ]


def _candidates(matrix: Tensor, neighbourhoods: _Neighbourhoods, f: int) -> list[float]:
    """The distances, ascending, among which the least diameter is."""
    n = len(matrix)
    # A chosen row has n−f−1 others within the diameter, and n−f rows are chosen.
    reach = [radii[n - f - 1] for radii in neighbourhoods.radii]
    lower = sorted(reach)[n - f - 1]
    # The best ball's diameter is at most twice the least one.
    centre = min(range(n), key=reach.__getitem__)
    ball = neighbourhoods.indices[centre, : n - f]
    upper = matrix[ball][:, ball].max()
    eligible = (matrix >= lower) & (matrix <= upper) & matrix.isfinite()
    return sorted(set(matrix[eligible].tolist()))


def _least_diameter(
    neighbourhoods: _Neighbourhoods, limits: Sequence[float], f: int
) -> tuple[list[int], int] | None:
    """(far graph, cover of at most f) at the least limit that has such a cover, by bisection."""
    best = None
    everyone = (1 << neighbourhoods.n) - 1
    low, high = 0, len(limits)
    while low < high:
        middle = (low + high) // 2
        far = neighbourhoods.far(limits[middle])
        cover = vertex_cover(far, everyone, f)
        if cover is None:
            low = middle + 1
        else:
            best, high = (far, cover), middle
    return best


def _first_subset(far: Sequence[int], cover: int, f: int) -> tuple[int, ...]:
    """The first of all subsets of n−f rows with no far pair; `cover` is the complement of one.

    Row by row: keep it if the rest can still be completed. The cover known so far answers that for
    the rows that it leaves; for a row that it drops, another one is looked for.
    """
    n, spare = len(far), f
    kept: list[int] = []
    live = (1 << n) - 1
    for row in range(n):
        if len(kept) == n - f or not live >> row & 1:
            continue
        live ^= 1 << row
        lost = far[row] & live
        left = spare - lost.bit_count()
        if cover >> row & 1:
            other = vertex_cover(far, live & ~lost, left) if left >= 0 else None
            if other is None:
                spare -= 1
                continue
            cover = other | lost
        kept.append(row)
        live, spare = live & ~lost, left
    return tuple(kept)


def _too_many(n: int, f: int) -> AggregationError:
    return AggregationError(
        f"mda needs n-f={n - f} rows at finite distances:"
        f" more than f={f} of the n={n} rows are non-finite"
    )


def _choose(vectors: Tensor, f: int) -> tuple[int, ...]:
    if f == 0:
        if not bool(finite_rows(vectors).all()):
            raise _too_many(len(vectors), f)
        return tuple(range(len(vectors)))
    return minimum_diameter_subset(pairwise_squared(vectors), f)


def _fill(vectors: Tensor, f: int, out: Tensor) -> tuple[int, ...]:
    chosen = _choose(vectors, f)
    mean_of_rows(vectors, chosen, out)
    return chosen


MDA = Rule(
    name="mda",
    aliases=("brute",),
    bound="n ≥ 2f+1",
    minimum_n=lambda f: 2 * f + 1,
    fill=_fill,
    choose=_choose,
)
"""The mean of the subset of n−f rows of least diameter (largest pairwise L2 distance); of ties the
lexicographically first by row index, so that replicas with equal input agree. With f=0 the mean of
all. More than f rows with NaN or Inf in them: `AggregationError`."""
