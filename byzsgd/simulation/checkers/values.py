"""The one place where checkers look into vectors; to all others these are opaque.

A vector is a tensor, frames that came over the wire, plain numbers, or a symbol that has no values.
"""

from typing import Final, TypeAlias

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from byzsgd.protocol import Vector
from byzsgd.protocol.effects import Inputs
from byzsgd.wire import Frames

Values: TypeAlias = npt.NDArray[np.float64]

ULP: Final = 2.0**-23
"""The relative distance of neighbouring float32 numbers: what is computed is rounded to these."""
LEAST: Final = 4e-38
"""Twice the smallest normal float32 number, and some: what is smaller may be flushed to zero."""
HUGE: Final = 1e30
"""Whoever computes with such float32 numbers may meet infinity without anybody's fault."""
LONG: Final = 10_000
"""What takes long is not done with vectors longer than this."""
REMEMBERED: Final = 256
"""Vectors whose values are kept: those of a few steps, which several nodes compute with."""


def values_of(vector: Vector) -> Values | None:
    """As (d,) float64; None for what has no values."""
    if isinstance(vector, Tensor):
        return np.asarray(vector.detach().to(torch.float64).numpy())
    if isinstance(vector, Frames):
        return np.asarray(torch.cat(vector.views()).to(torch.float64).numpy())
    if isinstance(vector, float | int):
        return np.array([vector], dtype=np.float64)
    if isinstance(vector, tuple) and all(isinstance(value, float | int) for value in vector):
        return np.array(vector, dtype=np.float64)
    return None


def same(heard: Vector, said: Vector) -> bool:
    """Whether this is what was said: the same object, or equal bit by bit.

    What came over the wire is compared with what the wire makes of what was said.
    """
    if heard is said:
        return True
    if isinstance(heard, Frames) and isinstance(said, Tensor):
        wired = torch.cat(heard.views())
        return _equal(wired, said.to(wired.dtype))
    if isinstance(heard, Tensor) and isinstance(said, Tensor):
        return _equal(heard, said)
    return bool(heard == said)


def _equal(first: Tensor, second: Tensor) -> bool:
    """Also of what is not a number."""
    return first.dtype == second.dtype and torch.equal(_bits(first), _bits(second))


def _bits(vector: Tensor) -> Tensor:
    return vector.contiguous().view(torch.uint8)


class Sight:
    """Looks into vectors for all checkers, and at each but once where it is not long."""

    def __init__(self) -> None:
        self._known: dict[int, tuple[Vector, Values | None]] = {}
        self._inputs: Inputs = ()
        self._rows: Values | None = None

    def of(self, vector: Vector) -> Values | None:
        """As `values_of`. The vector is kept with its values, so that its id stays its own."""
        known = self._known.get(id(vector))
        if known is not None:
            return known[1]
        values = values_of(vector)
        if values is not None and len(values) <= LONG:
            self._known[id(vector)] = vector, values
            if len(self._known) > REMEMBERED:
                del self._known[next(iter(self._known))]
        return values

    def rows(self, inputs: Inputs) -> Values | None:
        """(n, d); None where one of them has no values, or another length than the rest."""
        if inputs is not self._inputs:
            self._inputs, self._rows = inputs, self._stacked(inputs)
        return self._rows

    def _stacked(self, inputs: Inputs) -> Values | None:
        rows = [values for _, vector in inputs if (values := self.of(vector)) is not None]
        alike = len({row.shape for row in rows}) == 1
        return np.array(rows) if alike and len(rows) == len(inputs) else None


def distances(rows: Values, centre: Values) -> Values:
    """(n, n), infinite where one of two is not finite.

    By products, of which little cancels between rows that are near the centre.
    """
    finite = np.asarray(np.isfinite(rows).all(axis=1))
    centred = rows - centre
    centred[~finite] = 0.0
    products = centred @ centred.T
    squares = products.diagonal()
    far = np.sqrt(np.maximum(squares[:, None] + squares - 2 * products, 0.0))
    far[~finite] = far[:, ~finite] = np.inf
    np.fill_diagonal(far, 0.0)
    return np.asarray(far)


def modest(vectors: Values) -> bool:
    """Finite, and small enough for float32 to compute with."""
    return bool(np.abs(vectors).max(initial=0.0) < HUGE)
