"""The coordinate-wise trimmed mean."""

import math
from functools import cache

from torch import Tensor

from byzsgd.aggregators.coordinatewise import fill
from byzsgd.aggregators.networks import Program, Values
from byzsgd.aggregators.rows import Rows
from byzsgd.aggregators.rule import Rule


def trimmed_mean() -> Rule:
    """Per coordinate the mean of the n−2f values that are left when the f lowest and the f highest
    are dropped; NaN counts as +Inf. It lies within the range of the honest values (Yin et al.,
    "Byzantine-Robust Distributed Learning", ICML 2018, arXiv 1803.01498). Values are summed in
    sorted order, so that no result depends on the order of the rows. More than f rows with NaN or
    Inf in them: `AggregationError`.
    """
    return Rule(
        "trimmed_mean",
        ("trmean", "tm"),
        bound="n ≥ 2f+1",
        minimum_n=lambda f: 2 * f + 1,
        fill=_fill,
        variance_bound=lambda n, f: (n - 2 * f) / math.sqrt(2 * (f + 1) * (n - f)),
    )


def _fill(rows: Rows, f: int, out: Tensor) -> None:
    fill("trimmed_mean", trimmed_mean_program(len(rows), f), rows, f, out)


@cache
def trimmed_mean_program(n: int, f: int) -> Program:
    values = Values(n)
    return values.program(values.mean(values.ordered()[f : n - f]))
