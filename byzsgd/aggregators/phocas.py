"""Phocas: the mean around the trimmed mean."""

import math
from functools import cache

from torch import Tensor

from byzsgd.aggregators.coordinatewise import fill
from byzsgd.aggregators.meamed import mean_of_nearest
from byzsgd.aggregators.networks import Program, Values
from byzsgd.aggregators.rows import Rows
from byzsgd.aggregators.rule import Rule


def phocas() -> Rule:
    """Per coordinate the mean of the n−f values nearest the trimmed mean (Xie, Koyejo and Gupta,
    "Phocas: dimensional Byzantine-resilient stochastic gradient descent", arXiv 1805.09682); NaN
    counts as +Inf.

    Of two values equally far from the trimmed mean, one above and one below it, the lower is
    nearer, so that no result depends on the order of the rows. Distances are those of the rows'
    type, rounded. More than f rows with NaN or Inf in them: `AggregationError`.
    """
    return Rule(
        "phocas",
        (),
        bound="n ≥ 2f+1",
        minimum_n=lambda f: 2 * f + 1,
        fill=_fill,
        variance_bound=_variance_bound,
    )


def _fill(rows: Rows, f: int, out: Tensor) -> None:
    fill("phocas", phocas_program(len(rows), f), rows, f, out)


@cache
def phocas_program(n: int, f: int) -> Program:
    values = Values(n)
    ordered = values.ordered()
    centre = values.mean(ordered[f : n - f])
    return values.program(mean_of_nearest(values, ordered, centre, n - f))


def _variance_bound(n: int, f: int) -> float:
    return 1 / math.sqrt(4 + 12 * (f + 1) * (n - f) / (n - 2 * f) ** 2)
