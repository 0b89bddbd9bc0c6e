"""Krum and Multi-Krum: the rows whose nearest neighbours are nearest.

Blanchard, El Mhamdi, Guerraoui and Stainer, "Machine Learning with Adversaries: Byzantine Tolerant
Gradient Descent" (NeurIPS 2017), §3 and §5.
"""

import math
from collections.abc import Callable
from typing import TypeAlias

import numpy as np
import torch
from torch import Tensor

from byzsgd.aggregators.inputs import checked_distances, refusal
from byzsgd.aggregators.rows import Rows
from byzsgd.aggregators.rule import Choice, Rule, mean_of

Taken: TypeAlias = Callable[[int, int], int]
"""(n, f) → how many rows are taken."""


def krum_scores(squared: Tensor, f: int) -> Tensor:
    """(n,) float64: each row's sum of squared distances to its n−f−2 nearest others, at least one.

    From (n, n) squared distances. Summed from the nearest on, so that rows with equal distances
    have equal scores to the bit.
    """
    n = len(squared)
    others = squared.numpy().copy()
    np.fill_diagonal(others, np.inf)
    others.sort(1)
    # One after the other, all rows at a time: numpy adds along the first axis in this order.
    nearest = np.ascontiguousarray(others.T)[: max(1, n - f - 2)]
    return torch.from_numpy(nearest.sum(0))


def best_rows(scores: Tensor, m: int) -> tuple[int, ...]:
    """Ascending indices of the m least scores; of ties the lowest indices."""
    return tuple(sorted(torch.argsort(scores, stable=True)[:m].tolist()))


def variance_bound(n: int, f: int) -> float:
    """El-Mhamdi, Guerraoui and Rouault, "Distributed Momentum" (ICLR 2021), as for Bulyan."""
    if n < 2 * f + 3:
        return 0.0
    return 1 / math.sqrt(2 * (n - f + f * (n + f * (n - f - 2) - 2) / (n - 2 * f - 2)))


def krum() -> Rule:
    """The row whose summed squared distance to its n−f−2 nearest others is least; of ties the
    lowest index. n ≥ 2f+3.
    """
    return _rule("krum", (), lambda n, f: 1, {})


def multi_krum(m: int | None = None) -> Rule:
    """The mean of the m rows of least Krum score, by default n−f−2; of ties the lowest indices.

    With m = 1 it is Krum. n ≥ 2f+3.
    """
    if m is not None and (type(m) is not int or m < 1):
        raise refusal("multi_krum", "m to be an integer from 1 to n-f-2", f"m={m!r}")

    def taken(n: int, f: int) -> int:
        if m is not None and m > n - f - 2:
            raise refusal("multi_krum", f"m of at most n-f-2={n - f - 2}", f"m={m}")
        return m or n - f - 2

    return _rule("multi_krum", (), taken, {"m": m})


def _rule(name: str, aliases: tuple[str, ...], taken: Taken, options: dict[str, object]) -> Rule:
    def choose(rows: Rows, f: int) -> Choice:
        scores = krum_scores(checked_distances(name, rows, f), f)
        return Choice(best_rows(scores, taken(len(rows), f)))

    return Rule(
        name,
        aliases,
        bound="n ≥ 2f+3",
        minimum_n=lambda f: 2 * f + 3,
        fill=mean_of(choose),
        choose=choose,
        by_distance=True,
        variance_bound=variance_bound,
        options=options,
    )
