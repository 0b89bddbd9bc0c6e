"""Figures over seeds: the median and the range, and ratios of runs with equal seeds."""

import math
from collections.abc import Iterable, Iterator, Mapping
from statistics import median
from typing import NamedTuple


class Spread(NamedTuple):
    """The median, the least and the greatest of so many `values`."""

    median: float
    low: float
    high: float
    values: int


def spread(values: Iterable[float]) -> Spread | None:
    """Of those that are known; None if none is."""
    return _spread([value for value in values if math.isfinite(value)])


def spread_of_times(values: Iterable[float]) -> Spread | None:
    """When something came; where it never did, which is NaN, that is later than all others.

    So the median is infinite where most have waited in vain: whoever was quick once and failed
    twice is not quick.
    """
    return _spread([math.inf if math.isnan(value) else value for value in values])


def ratios(ours: Mapping[int, float], theirs: Mapping[int, float]) -> Iterator[float]:
    """A figure as a multiple of another, by seeds, of those in which the other is known.

    Seeds take turns, so two runs of one seed met the same noise; runs of different ones did not.
    """
    for seed, figure in ours.items():
        if 0 < theirs.get(seed, math.nan) < math.inf:
            yield figure / theirs[seed]


def _spread(known: list[float]) -> Spread | None:
    return Spread(median(known), min(known), max(known), len(known)) if known else None
