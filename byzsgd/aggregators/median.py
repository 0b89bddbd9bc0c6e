"""The coordinate-wise median: what replicas contract their models with (DMC)."""

import math
from functools import cache

from torch import Tensor

from byzsgd.aggregators.coordinatewise import fill
from byzsgd.aggregators.networks import Program, Values
from byzsgd.aggregators.rows import Rows
from byzsgd.aggregators.rule import Rule


def median() -> Rule:
    """Per coordinate the middle value, of an even number the mean of the two middle ones (a
    one-sided choice would drift). NaN counts as +Inf, so that it is sorted last; each coordinate of
    the result lies within the range of the honest values (El-Mhamdi et al., arXiv 1905.03853,
    DMC). No result depends on the order of the rows. More than f rows with NaN or Inf in them:
    `AggregationError`.
    """
    return Rule(
        "median",
        ("cwmed",),
        bound="n ≥ 2f+1",
        minimum_n=lambda f: 2 * f + 1,
        fill=_fill,
        variance_bound=lambda n, f: 1 / math.sqrt(n - f),
    )


def _fill(rows: Rows, f: int, out: Tensor) -> None:
    fill("median", median_program(len(rows)), rows, f, out)


@cache
def median_program(n: int) -> Program:
    """Selects the middle value of n, or the mean of the two middle ones of an even n."""
    values = Values(n)
    return values.program(values.middle(values.ordered()))
