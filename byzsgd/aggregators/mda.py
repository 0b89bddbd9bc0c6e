"""Minimum-diameter averaging: the mean of the n−f rows that lie closest together.

MDA is the gradient rule of ByzSGD (El-Mhamdi et al., "Genuinely Distributed Byzantine Machine
Learning", arXiv 1905.03853, §3 and §4); "brute" in the same group's code, which enumerates all
C(n, f) subsets. Here the choice is as exact without that, but for the fewest of rows.
"""

import math
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from byzsgd.aggregators import compiled
from byzsgd.aggregators.inputs import AggregationError, check_finite, checked_distances
from byzsgd.aggregators.rows import Rows
from byzsgd.aggregators.rule import Choice, Rule, mean_of
from byzsgd.aggregators.subset_search import Matrix, SubsetSearch, none_finite

FEW = 15
"""Of so few rows trying all subsets is fastest, and so short that no budget is asked for."""

ENDLESS = 1 << 62

BUDGET = 1 << 19
"""Search nodes for one selection, unless it is told otherwise. See `mda`."""


def mda(budget: int | None = None) -> Rule:
    """The mean of the subset of n−f rows of least diameter (largest pairwise L2 distance); of ties
    the lexicographically first by row index, so that replicas with equal input agree. With f=0 the
    mean of all. More than f rows with NaN or Inf in them: `AggregationError`.

    The search opens at most `budget` nodes, then takes the best subset so far, whose diameter is at
    most twice the least one, and its choice says that it is not exact. The number is a count, never
    a time, so that replicas agree; give all of them the same one. The default, 2¹⁹, is 10 times
    what the hardest matrices known need at n=100 (40,000 nodes: f=49, and the pairs too far apart
    form a graph of 75 vertices with 6 edges each), and 5 s of compiled search at n=200; a node's
    time grows as n². Without numba nodes are the same, and take a hundred times as long.
    """
    nodes = BUDGET if budget is None else budget
    if type(nodes) is not int or nodes < 0:
        raise AggregationError(f"mda needs a budget that is an integer ≥ 0, was given {budget!r}")

    def choose(rows: Rows, f: int) -> Choice:
        if f == 0:
            check_finite("mda", rows, f)
            return Choice(tuple(range(len(rows))))
        return minimum_diameter_choice(checked_distances("mda", rows, f), f, nodes)

    return Rule(
        "mda",
        ("brute",),
        bound="n ≥ 2f+1",
        minimum_n=lambda f: 2 * f + 1,
        fill=mean_of(choose),
        choose=choose,
        by_distance=True,
        variance_bound=lambda n, f: (n - f) / (math.sqrt(8) * f) if f else math.inf,
        options={} if budget is None else {"budget": budget},
    )


def minimum_diameter_subset(
    distances: Sequence[Sequence[float]] | Tensor, f: int
) -> tuple[int, ...]:
    """The n−f indices, ascending, whose largest distance is least; of ties the first by order.

    `distances` is (n, n), symmetric, of any unit that grows with distance (squared ones do); NaN
    counts as +inf, and the diagonal is not read. Needs n ≥ 2f+1. Raises `AggregationError` if there
    are not n−f indices all at finite distances. Where exactness would take more than the default
    budget of `mda`, the best that it finds; `minimum_diameter_choice` tells.
    """
    return minimum_diameter_choice(torch.as_tensor(distances, dtype=torch.float64), f, BUDGET).rows


def minimum_diameter_choice(distances: Tensor, f: int, budget: int) -> Choice:
    """As `minimum_diameter_subset`, in at most `budget` search nodes.

    Where they do not suffice, `exact` is false and the subset is the best found: its diameter is at
    most twice the least one, if `distances` are a metric (four times, if the squares of one).
    """
    given = tuple(distances.shape)
    if given != (len(distances),) * 2 or len(distances) < 2 * f + 1 or f < 0:
        raise AggregationError(
            f"mda needs (n, n) distances and n ≥ 2f+1, f ≥ 0, was given shape {given}, f={f}"
        )
    matrix = distances.detach().cpu().double().numpy().copy()
    matrix[np.isnan(matrix)] = np.inf
    np.fill_diagonal(matrix, -np.inf)
    if len(matrix) > FEW:
        return SubsetSearch(matrix, f, budget).choice()
    if not compiled.AVAILABLE:
        return SubsetSearch(matrix, f, ENDLESS).choice()
    return _tried_all(matrix, f)


def _tried_all(matrix: Matrix, f: int) -> Choice:
    from byzsgd.aggregators.subset_kernels import least_diameter

    best = np.empty(len(matrix) - f, dtype=np.int64)
    if least_diameter(matrix, best) == np.inf:
        raise none_finite(len(matrix), f)
    return Choice(tuple(best.tolist()))
