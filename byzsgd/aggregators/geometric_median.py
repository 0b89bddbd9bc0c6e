"""The geometric median: the point of least summed distance to all rows, by Weiszfeld's iteration.

"RFA" in Pillutla, Kakade and Harchaoui, "Robust Aggregation for Federated Learning" (arXiv
1912.13445, §3). Every iterate is a weighted mean of the rows, so it costs n×n numbers.
"""

import numpy as np
import torch
from torch import Tensor

from byzsgd.aggregators.hull import Array, distances, inner_products, reachable
from byzsgd.aggregators.inputs import check_iterations, checked_distances, refusal
from byzsgd.aggregators.rows import Rows
from byzsgd.aggregators.rule import Rule

TOLERANCE = 1e-8
ITERATIONS = 1000
FLOOR = 1e-9
"""What a distance counts as at least, as a share of the median one: nobody is divided by zero."""


def geometric_median(tolerance: float = TOLERANCE, iterations: int = ITERATIONS) -> Rule:
    """The point of least summed L2 distance to the rows, unique unless they lie on one line.

    Weiszfeld's iteration from the mean of the rows nearest the medoid, until the point moves by
    less than `tolerance` of its median distance from the rows, or `iterations` times. The medoid
    itself is tried first: where no other point is better the iteration would only creep towards
    it. Rows that are infinitely far have weight 0, the limit of 1/distance. n ≥ 2f+1.
    """
    if not 0 < tolerance < 1:
        raise refusal("geometric_median", "a tolerance between 0 and 1", f"{tolerance!r}")
    check_iterations("geometric_median", iterations)

    def fill(rows: Rows, f: int, out: Tensor) -> None:
        checked_distances("geometric_median", rows, f)
        near, kept, middle = reachable(rows)
        weights = torch.zeros(len(rows), dtype=torch.float64)
        products = inner_products(near, middle)
        weights[kept] = torch.from_numpy(_weights(products, middle, tolerance, iterations))
        rows.mean(weights, out)

    return Rule(
        "geometric_median",
        ("rfa", "geomed"),
        bound="n ≥ 2f+1",
        minimum_n=lambda f: 2 * f + 1,
        fill=fill,
        by_distance=True,
        options={"tolerance": tolerance, "iterations": iterations},
    )


def _weights(products: Array, middle: int, tolerance: float, iterations: int) -> Array:
    """The point's weights on rows with these inner products about the row `middle`."""
    if _is_least(products):
        only: Array = np.eye(len(products))[middle]
        return only
    weights = _nearer_half(products)
    for _ in range(iterations):
        reach = distances(products, weights)
        typical = np.median(reach)
        pull = 1 / np.maximum(reach, FLOOR * typical)
        before, weights = weights, pull / pull.sum()
        moved = weights - before
        if moved @ products @ moved <= (tolerance * typical) ** 2:
            break
    return weights


def _is_least(products: Array) -> bool:
    """Whether no point is better than the anchor: the others' pull is no more than its own weight.

    Vardi and Zhang, "The multivariate L1-median and associated data depth" (PNAS 2000), eq. 2.6.
    """
    reach = np.sqrt(np.diag(products))
    away = reach > 0
    cosines = products[np.ix_(away, away)] / np.outer(reach[away], reach[away])
    return bool(cosines.sum() <= (~away).sum() ** 2)


def _nearer_half(products: Array) -> Array:
    """Where to start: not on a row, and not where a far liar has drawn the mean."""
    nearest = np.argsort(np.diag(products), kind="stable")[: len(products) // 2 + 1]
    weights = np.zeros(len(products))
    weights[nearest] = 1 / len(nearest)
    return weights
