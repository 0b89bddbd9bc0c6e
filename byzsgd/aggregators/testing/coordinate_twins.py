"""Twins of the rules that look at one coordinate at a time: sorted lists and nothing clever.

A twin takes (n, d) vectors and f and gives the (d,) aggregate in float64, slowly. It is written
from the published definition, and from nothing that it is to be compared with.
"""

import math
from collections.abc import Callable

import torch
from torch import Tensor

from byzsgd.aggregators.testing.refusals import refuse

Column = list[float]


def average(vectors: Tensor, f: int) -> Tensor:
    """The mean, whatever f is; NaN and Inf pass through."""
    columns: list[Column] = vectors.double().T.tolist()
    return torch.tensor([sum(column) / len(column) for column in columns], dtype=torch.float64)


def median(vectors: Tensor, f: int) -> Tensor:
    """The middle value, or the mean of the two middle ones."""
    refuse("median", vectors, f, at_least=2 * f + 1)
    return _each(vectors, _middle)


def trimmed_mean(vectors: Tensor, f: int) -> Tensor:
    """The mean of what is left without the f lowest and the f highest (Yin et al., 2018)."""
    refuse("trimmed_mean", vectors, f, at_least=2 * f + 1)
    return _each(vectors, lambda column: _trimmed(column, f))


def meamed(vectors: Tensor, f: int) -> Tensor:
    """The mean of the n−f values nearest the median (Xie et al., 2018)."""
    refuse("meamed", vectors, f, at_least=2 * f + 1)
    return _each(vectors, lambda column: mean_around(_middle(column), column, len(column) - f))


def phocas(vectors: Tensor, f: int) -> Tensor:
    """The mean of the n−f values nearest the trimmed mean (Xie et al., 2018)."""
    refuse("phocas", vectors, f, at_least=2 * f + 1)
    return _each(vectors, lambda column: mean_around(_trimmed(column, f), column, len(column) - f))


def mean_around_median(vectors: Tensor, count: int) -> Tensor:
    """Bulyan's second phase: per coordinate the mean of the `count` values nearest the median."""
    return _each(vectors, lambda column: mean_around(_middle(column), column, count))


def mean_around(centre: float, column: Column, count: int) -> float:
    """Of a lower and a higher value that are equally near, the lower one comes first."""
    nearest = sorted(column, key=lambda value: (abs(value - centre), value))[:count]
    return math.fsum(nearest) / count


def _each(vectors: Tensor, rule: Callable[[Column], float]) -> Tensor:
    columns: list[Column] = vectors.double().T.tolist()
    return torch.tensor([rule(_ascending(column)) for column in columns], dtype=torch.float64)


def _ascending(column: Column) -> Column:
    return sorted(math.inf if math.isnan(value) else value for value in column)


def _middle(column: Column) -> float:
    half = len(column) // 2
    return column[half] if len(column) % 2 else (column[half - 1] + column[half]) / 2


def _trimmed(column: Column, f: int) -> float:
    kept = column[f : len(column) - f]
    return math.fsum(kept) / len(kept)
