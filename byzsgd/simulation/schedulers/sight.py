"""What a vector looks like: a few of its coordinates, as many as are worth looking at."""

from random import Random
from typing import Final, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from byzsgd.protocol import Vector
from byzsgd.wire import Frames

Seen: TypeAlias = NDArray[np.float64]
COORDINATES: Final = 256
"""Looked at in longer vectors: enough to see who is far from whom, and cheap whatever d is."""
LARGEST: Final = 1e100
"""Stands for all that is larger; its square is still a number."""


class Sight:
    """Looks at the same coordinates of all vectors; the seed picks them."""

    def __init__(self, seed: int) -> None:
        self._random = Random(f"{seed}/scheduler/greedy")  # noqa: S311 - repeatable
        self._picked: dict[int, Tensor] = {}

    def of(self, vector: Vector) -> Seen | None:
        """(k,) finite numbers, NaN the largest of them; None for what is not made of numbers."""
        whole = _tensor(vector)
        if whole is None:
            return None
        part = whole[self._pick(len(whole))] if len(whole) > COORDINATES else whole
        return np.asarray(np.maximum(np.fmin(part.double().numpy(), LARGEST), -LARGEST))

    def _pick(self, dimension: int) -> Tensor:
        if dimension not in self._picked:
            picked = sorted(self._random.sample(range(dimension), COORDINATES))
            self._picked[dimension] = torch.tensor(picked)
        return self._picked[dimension]


def _tensor(vector: Vector) -> Tensor | None:
    match vector:
        case Tensor():
            return vector.detach() if vector.ndim == 1 else None
        case Frames():
            return torch.cat(vector.views())
        case int() | float():
            return torch.tensor([vector], dtype=torch.float64)
        case tuple() | list() if all(isinstance(number, int | float) for number in vector):
            return torch.tensor(vector, dtype=torch.float64)
        case _:
            return None
