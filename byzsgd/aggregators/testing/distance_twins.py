"""Twins of the rules that look at distances: every pair, every subset, every score, in float64."""

import math
from collections.abc import Callable, Sequence
from itertools import combinations

import torch
from torch import Tensor

from byzsgd.aggregators.testing.coordinate_twins import mean_around_median
from byzsgd.aggregators.testing.refusals import finite_rows, refuse

Matrix = list[list[float]]


def krum(vectors: Tensor, f: int) -> Tensor:
    """The row with the least sum of squared distances to its n−f−2 nearest others."""
    refuse("krum", vectors, f, at_least=2 * f + 3)
    return vectors[by_score(vectors, range(len(vectors)), f)[0]].double()


def multi_krum(vectors: Tensor, f: int, m: int | None = None) -> Tensor:
    """The mean of the m rows of least Krum score, n−f−2 of them unless said."""
    refuse("multi_krum", vectors, f, at_least=2 * f + 3)
    best = by_score(vectors, range(len(vectors)), f)
    return mean_of(vectors, best[: len(vectors) - f - 2 if m is None else m])


def mda(vectors: Tensor, f: int) -> Tensor:
    """The mean of the n−f rows of least diameter; of ties the first in lexicographic order."""
    refuse("mda", vectors, f, at_least=2 * f + 1)
    return mean_of(vectors, least_diameter(vectors, range(len(vectors)), f))


def medoid(vectors: Tensor, f: int) -> Tensor:
    """The row with the least sum of distances to the others."""
    refuse("medoid", vectors, f, at_least=2 * f + 1)
    return vectors[least_sum(vectors, finite_rows(vectors))].double()


def bulyan(vectors: Tensor, f: int, base: str = "krum", variant: str = "paper") -> Tensor:
    """Pick rows with a base rule, one by one; then per coordinate the mean around the median."""
    refuse("bulyan", vectors, f, at_least=4 * f + 3)
    count = len(vectors) - 2 * f - (2 if variant == "aggregathor" else 0)
    left, picked = list(range(len(vectors))), []
    for _ in range(count):
        best = BASES[base](vectors, left, f)
        if variant == "aggregathor":
            averaged = by_score(vectors, left, f)[: max(1, len(left) - f - 2)]
            picked.append(mean_of(vectors, averaged))
        else:
            picked.append(vectors[best].double())
        left.remove(best)
    return mean_around_median(torch.stack(picked), count - 2 * f)


def by_score(vectors: Tensor, among: Sequence[int], f: int) -> list[int]:
    """The rows by ascending Krum score, ties by index."""
    squared = squared_distances(vectors)
    neighbours = max(1, len(among) - f - 2)

    def score(i: int) -> float:
        return math.fsum(sorted(squared[i][j] for j in among if j != i)[:neighbours])

    return sorted(among, key=lambda i: (score(i), i))


def least_diameter(vectors: Tensor, among: Sequence[int], f: int) -> tuple[int, ...]:
    """Among all subsets of all rows but f, in order, the first with the least largest distance."""
    squared = squared_distances(vectors)
    subsets = combinations(sorted(among), len(among) - f)

    def diameter(subset: tuple[int, ...]) -> float:
        return max((squared[i][j] for i, j in combinations(subset, 2)), default=0.0)

    return min(subsets, key=diameter)


def least_sum(vectors: Tensor, among: Sequence[int]) -> int:
    squared = squared_distances(vectors)
    return min(among, key=lambda i: (math.fsum(math.sqrt(squared[i][j]) for j in among), i))


def squared_distances(vectors: Tensor) -> Matrix:
    """Each pair's; infinite where one of the two is not finite."""
    rows, kept = vectors.double(), set(finite_rows(vectors))
    matrix = [[0.0] * len(rows) for _ in rows]
    for i, row in enumerate(rows):
        for j, squared in enumerate((rows[:i] - row).square().sum(1).tolist()):
            matrix[i][j] = matrix[j][i] = squared if i in kept and j in kept else math.inf
    return matrix


def mean_of(vectors: Tensor, chosen: Sequence[int]) -> Tensor:
    return vectors[list(chosen)].double().sum(0) / len(chosen)


def _krum_base(vectors: Tensor, left: Sequence[int], f: int) -> int:
    return by_score(vectors, left, f)[0]


def _mda_base(vectors: Tensor, left: Sequence[int], f: int) -> int:
    output = mean_of(vectors, least_diameter(vectors, left, f))
    kept = [i for i in left if i in finite_rows(vectors)]
    return min(kept, key=lambda i: (float((vectors[i].double() - output).norm()), i))


def _medoid_base(vectors: Tensor, left: Sequence[int], f: int) -> int:
    kept = finite_rows(vectors)
    return least_sum(vectors, [i for i in left if i in kept])


BASES: dict[str, Callable[[Tensor, Sequence[int], int], int]] = {
    "krum": _krum_base,
    "mda": _mda_base,
    "medoid": _medoid_base,
}
