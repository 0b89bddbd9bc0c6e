"""Where a lie on a line stands among k honest rows, in numbers that do not grow with d.

All is seen from the honest mean. The lie is mean + offset + x·direction, so that for every x its
distances from the rows follow from inner products that are computed once.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from byzsgd.aggregators import pairwise_squared
from byzsgd.attacks.moments import product, products

Array: TypeAlias = NDArray[np.float64]
Among: TypeAlias = Callable[[float], Tensor]


@dataclass(frozen=True)
class Line:
    """The lies base + x·direction, for every x; without a base they begin at the honest mean.

    `also` are coordinates that an estimate must look at, those of a direction that has few; `along`
    the (k,) products of the rows, less their mean, with the direction, where they are known.
    """

    direction: Tensor
    base: Tensor | None = None
    also: tuple[int, ...] = ()
    along: Tensor | None = None


@dataclass(frozen=True)
class Geometry:
    """`squared` are the (k, k) squared distances of the rows; `offset` and `direction` the (k,)
    inner products of the rows, less their mean, with those two; and `lengths` are ‖offset‖²,
    ⟨offset, direction⟩ and ‖direction‖².
    """

    squared: Array
    offset: Array
    direction: Array
    lengths: tuple[float, float, float]

    @classmethod
    def of(cls, honest: Tensor, mean: Tensor, line: Line) -> "Geometry":
        """That of a line among (k, d) rows; their distances are what rules see, to the bit."""
        squared, direction = pairwise_squared(honest).numpy(), line.direction
        length = product(direction, direction)
        if line.base is None:
            known = products(honest, mean, direction)[0] if line.along is None else line.along
            return cls(squared, np.zeros(len(honest)), known.numpy(), (0.0, 0.0, length))
        offset = line.base - mean
        found = products(honest, mean, offset, direction).numpy()
        lengths = (product(offset, offset), product(offset, direction), length)
        return cls(squared, found[0], found[1], lengths)

    @property
    def finite(self) -> bool:
        numbers = (self.squared, self.offset, self.direction, self.lengths)
        return all(bool(np.isfinite(part).all()) for part in numbers)

    @cached_property
    def gram(self) -> Array:
        return centred_gram(self.squared)

    def among(self, copies: int) -> Among:
        """(x) → the (k + copies, k + copies) squared distances of the rows and of copies of the lie
        at x, in memory that the next call fills again.
        """
        k, norms = len(self.squared), self.gram.diagonal()
        whole = np.zeros((k + copies, k + copies))
        whole[:k, :k] = self.squared
        given = torch.from_numpy(whole)

        def filled(x: float) -> Tensor:
            away = norms - 2 * (self.offset + x * self.direction) + self.length(x)
            whole[k:, :k] = np.maximum(away, 0.0, out=away)
            whole[:k, k:] = away[:, None]
            return given

        return filled

    def moved(self, x: float, chosen: tuple[int, ...]) -> float:
        """How far from the honest mean the mean of these rows is; those from k on are the lie."""
        true = [row for row in chosen if row < len(self.squared)]
        lies = len(chosen) - len(true)
        total = float(self.gram[true].sum(0)[true].sum()) + lies**2 * self.length(x)
        if lies:
            total += 2 * lies * float((self.offset[true] + x * self.direction[true]).sum())
        return math.sqrt(max(total, 0.0)) / len(chosen)

    def length(self, x: float) -> float:
        """‖offset + x·direction‖², the squared distance of the lie from the honest mean."""
        own, mixed, step = self.lengths
        return max(own + 2 * x * mixed + x * x * step, 0.0)


def centred_gram(squared: Array) -> Array:
    """(k, k) inner products of rows less their mean, from their squared distances."""
    means = squared.mean(0)
    gram: Array = 0.5 * (means[:, None] + means[None, :] - means.mean() - squared)
    return gram
