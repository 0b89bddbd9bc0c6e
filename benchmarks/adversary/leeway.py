"""γ_m against d: how far out a lie is still selected, and how far it then moves the aggregate."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from statistics import fmean
from typing import Final

import torch
from torch import Tensor

from byzsgd.aggregators import configured
from byzsgd.attacks import forge

DIMENSIONS: Final = (100, 1_000, 10_000, 100_000)
RULES: Final = ("krum", "medoid", "mda", "bulyan")
N: Final = 39
F: Final = 9
SEEDS: Final = 3
POWERS: Final = range(-6, 14)
"""Tried beside γ_m: these powers of two, as a smaller γ may move an aggregate farther."""


@dataclass(frozen=True)
class Leeway:
    """Of one rule, for each of DIMENSIONS, in standard deviations of a coordinate."""

    selected: tuple[float, ...]
    """γ_m: the largest γ with which a lie is still selected."""
    moved: tuple[float, ...]
    """The most that lies of any γ moved that coordinate of the aggregate."""


@lru_cache
def leeway(rule: str) -> Leeway:
    """Honest rows are N(0, 1) in every coordinate: means over a few draws of them."""
    found = [list(zip(*_draws(rule, dimension), strict=True)) for dimension in DIMENSIONS]
    selected, moved = zip(*((fmean(gammas), fmean(most)) for gammas, most in found), strict=True)
    return Leeway(tuple(selected), tuple(moved))


def slope(values: tuple[float, ...]) -> float:
    """The k of values ∝ d^k, by least squares of the logarithms."""
    xs, ys = [math.log(d) for d in DIMENSIONS], [math.log(value) for value in values]
    x, y = fmean(xs), fmean(ys)
    above = sum((a - x) * (b - y) for a, b in zip(xs, ys, strict=True))
    return above / sum((a - x) ** 2 for a in xs)


def _draws(rule: str, dimension: int) -> Iterator[tuple[float, float]]:
    for seed in range(SEEDS):
        generator = torch.Generator().manual_seed(seed)
        honest = torch.randn(N - F, dimension, generator=generator)
        lie = forge("hidden_vulnerability", honest, n=N, f=F, rule=rule)
        gamma = float(lie[-1] - honest[:, -1].mean())
        tried = (gamma, *(2.0**power for power in POWERS))
        yield gamma, max(_moved(rule, honest, other) for other in tried)


def _moved(rule: str, honest: Tensor, gamma: float) -> float:
    lie = honest.mean(0)
    lie[-1] += gamma
    aggregate = configured(rule)(torch.cat([honest, lie.expand(F, -1)]), F)
    return abs(float(aggregate[-1] - honest[:, -1].mean()))
