"""Inputs for selection: (n, n) squared distances of typical and of the hardest known points."""

from collections.abc import Callable
from typing import Final

import torch
from torch import Tensor

Family = Callable[[int, int, int], Tensor]
"""(n, f, seed) → (n, n) float64 squared distances."""

DIMENSION: Final = 50


def gaussian(n: int, f: int, seed: int) -> Tensor:
    """Nobody lies: no subset stands out."""
    return _squared(torch.randn(n, DIMENSION, generator=_generator(seed), dtype=torch.float64))


def clustered(n: int, f: int, seed: int) -> Tensor:
    """The liars are a cluster of their own, beside the honest one."""
    x = torch.randn(n, DIMENSION, generator=_generator(seed), dtype=torch.float64)
    x[:f] = 0.3 * x[:f] + 2
    return _squared(x)


def alie(n: int, f: int, seed: int) -> Tensor:
    """The liars all send one vector, mean − 1.5·deviation of the honest."""
    x = torch.randn(n, DIMENSION, generator=_generator(seed), dtype=torch.float64)
    x[:f] = x[f:].mean(0) - 1.5 * x[f:].std(0)
    return _squared(x)


def ranks(n: int, f: int, seed: int) -> Tensor:
    """Distances in random order. Any order is that of some points at distance 1 ± ε."""
    return _symmetric(torch.rand(n, n, generator=_generator(seed), dtype=torch.float64) + 1)


def shadows(n: int, f: int, seed: int) -> Tensor:
    """Each liar sits beside an honest row: which of the two to drop is a choice for each."""
    squared = ranks(n, f, seed)
    for liar in range(f):
        twin = f + liar % (n - f)
        squared[liar] = squared[twin] * (1 + 1e-9 * (liar + 1))
        squared[:, liar] = squared[liar]
        squared[liar, twin] = squared[twin, liar] = 1e-3
    return squared.fill_diagonal_(0)


def regular(degree: int) -> Family:
    """Some rows form a random regular graph of far pairs whose least cover is about f."""

    def family(n: int, f: int, seed: int) -> Tensor:
        generator = _generator(seed)
        vertices = min(n, int(f / COVER_SHARE[degree]))
        squared = ranks(n, f, seed) * 1e-3 + 1
        for _ in range(degree // 2):  # a union of cycles: every vertex has two of each
            order = torch.randperm(vertices, generator=generator)
            squared[order, order.roll(1)] = squared[order.roll(1), order] = 2.0
        return _symmetric(squared + 1e-6 * ranks(n, f, seed + 1))

    return family


COVER_SHARE: Final = {4: 0.58, 6: 0.65}
"""Of a random regular graph's vertices the share that a least cover takes, about."""

FAMILIES: Final[dict[str, Family]] = {"gaussian": gaussian, "clustered": clustered, "alie": alie}
HARD_FAMILIES: Final[dict[str, Family]] = {
    "random ranks": ranks,
    "a shadow for each liar": shadows,
    "4-regular": regular(4),
    "6-regular": regular(6),
}


def _squared(x: Tensor) -> Tensor:
    return torch.cdist(x, x, compute_mode="donot_use_mm_for_euclid_dist") ** 2


def _symmetric(squared: Tensor) -> Tensor:
    upper = squared.triu(1)
    return upper + upper.T


def _generator(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)
