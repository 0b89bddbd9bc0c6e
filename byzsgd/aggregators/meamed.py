"""The mean around the median: the rule itself, and the second phase of Bulyan."""

import math
from collections.abc import Sequence
from functools import cache

from torch import Tensor

from byzsgd.aggregators.coordinatewise import aggregate, fill
from byzsgd.aggregators.networks import Program, Values
from byzsgd.aggregators.rows import Rows
from byzsgd.aggregators.rule import Rule


def meamed() -> Rule:
    """Per coordinate the mean of the n−f values nearest the median (Xie, Koyejo and Gupta,
    "Generalized Byzantine-tolerant SGD", arXiv 1802.10116); NaN counts as +Inf.

    Of two values equally far from the median, one above and one below it, the lower is nearer: a
    tie by row index, as some have it, would let the order of the rows decide. Distances are those
    of the rows' type, rounded. More than f rows with NaN or Inf in them: `AggregationError`.
    """
    return Rule(
        "meamed",
        (),
        bound="n ≥ 2f+1",
        minimum_n=lambda f: 2 * f + 1,
        fill=_fill,
        variance_bound=lambda n, f: 1 / math.sqrt(10 * (n - f)),
    )


def mean_around_median(rows: Rows, count: int, out: Tensor) -> None:
    """Fill (d,) `out`, per coordinate, with the mean of the `count` values nearest the median.

    Ties as in `meamed`. Finite wherever at most min(n−count, (n−1)/2) rows are not.
    """
    aggregate(around_median(len(rows), count), rows, out)


def _fill(rows: Rows, f: int, out: Tensor) -> None:
    fill("meamed", around_median(len(rows), len(rows) - f), rows, f, out)


@cache
def around_median(n: int, count: int) -> Program:
    values = Values(n)
    ordered = values.ordered()
    return values.program(mean_of_nearest(values, ordered, values.middle(ordered), count))


def mean_of_nearest(values: Values, ordered: Sequence[int], centre: int, count: int) -> int:
    """The mean of the `count` sorted values nearest the centre.

    They are consecutive, so of the values that stand `count` places apart exactly one is among
    them: the nearest. That takes n−count comparisons, and no sum from which something has to be
    taken away again, which huge values would destroy.
    """
    nearest = list(ordered[:count])
    for place, value in enumerate(ordered[count:]):
        nearest[place % count] = values.make("nearer", centre, nearest[place % count], value)
    return values.mean(nearest)
