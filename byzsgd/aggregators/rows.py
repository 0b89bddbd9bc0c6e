"""What a rule sees: n rows of d coordinates, some of them perhaps mixtures that are never built.

Rules that look at distances only, which are most, decide on n×n numbers and then take one weighted
mean of the rows; what a preaggregation does to the rows is then one more n×n matrix, and costs
nothing per coordinate.
"""

import math
from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from byzsgd.aggregators.blocks import blocks
from byzsgd.aggregators.distances import finite_rows, pairwise_squared
from byzsgd.aggregators.means import weighted_mean

BUILD_WIDTH = 16_384
CANCELLED: Final = 1e-6
"""A difference that is less than this part of what it is the difference of has lost six digits."""


class Rows:
    """The rows `store[order]` of an (m, d) tensor, or with (n, m) `mix` mixtures of them.

    A mixture's weights sum to 1, so that it is an affine combination; where they are NaN the row
    counts as non-finite, and finite mixtures give non-finite rows the weight 0. `squared`, where it
    is known already, are the (len(order), len(order)) squared distances of the rows before mixing.
    Nothing here writes to `store`.
    """

    def __init__(
        self,
        store: Tensor,
        order: Sequence[int] | None = None,
        squared: Tensor | None = None,
        mix: Tensor | None = None,
    ) -> None:
        self.store = store
        self.order = tuple(range(len(store)) if order is None else order)
        self.mix = mix
        self._squared = squared

    def __len__(self) -> int:
        return len(self.order) if self.mix is None else len(self.mix)

    @property
    def dimension(self) -> int:
        return self.store.shape[1]

    @cached_property
    def squared(self) -> Tensor:
        """The (n, n) float64 squared distances, on the CPU; +inf to and from a non-finite row."""
        if self.mix is None:
            return self._base_squared
        return _mixed_distances(self._base_squared, self.mix)

    @cached_property
    def finite(self) -> Tensor:
        """(n,) booleans: which rows hold neither NaN nor Inf."""
        if self.mix is not None:
            return self.mix.isfinite().all(1)
        if self._squared is None or len(self) == 1:
            return self._finite_of(range(len(self)))
        # A distance that is finite vouches for both of its rows: look at the others only.
        if math.isfinite(self._squared.numpy().sum()):
            return torch.ones(len(self), dtype=torch.bool)
        finite = self._squared.isfinite().sum(1) > 1
        doubted = (~finite).nonzero().flatten().tolist()
        if doubted:
            finite[doubted] = self._finite_of(doubted)
        return finite

    def take(self, rows: Sequence[int]) -> "Rows":
        """Only these rows, in this order."""
        if self.mix is not None:
            return Rows(self.store, self.order, self._squared, self.mix[list(rows)])
        squared = None if self._squared is None else self._squared[list(rows)][:, list(rows)]
        return Rows(self.store, [self.order[row] for row in rows], squared)

    def mixed(self, mix: Tensor) -> "Rows":
        """The (k, n) mixtures of these rows; of non-finite rows only with weight 0."""
        if self.mix is not None:
            used = (mix.nan_to_num(nan=0.0) != 0).any(0)
            mix = mix[:, used] @ self.mix[used]
        return Rows(self.store, self.order, self._squared, mix)

    def built(self) -> Tensor:
        """The (n, d) rows themselves, in memory of their own."""
        whole = self.store.new_empty(len(self), self.dimension)
        for block, columns in self.blocks(BUILD_WIDTH):
            whole[:, block] = columns
        return whole

    def mean(self, weights: Tensor, out: Tensor) -> None:
        """Fill (d,) `out` with the rows' mean under (n,) `weights`, which sum to 1.

        Rows of weight 0 are not looked at.
        """
        used = weights.double()
        if self.mix is not None:
            heavy = used != 0
            used = used[heavy] @ self.mix[heavy]
        weighted_mean(self.store, self.order, used.tolist(), out)

    def blocks(self, width: int) -> Iterator[tuple[slice, Tensor]]:
        """Slices of the coordinates, each with its (n, width) columns; non-finite rows are NaN.

        The columns may be views: they are not to be written to.
        """
        whole = len(self.order) == len(self.store) and self.order == tuple(range(len(self.store)))
        order = torch.tensor(self.order, device=self.store.device)
        for block in blocks(self.store, width):
            columns = self.store[:, block] if whole else self.store[order, block]
            yield block, columns if self.mix is None else self._mixed(columns)

    @property
    def _base_squared(self) -> Tensor:
        if self._squared is None:
            self._squared = pairwise_squared(self.store, self.order)
        return self._squared

    def _finite_of(self, rows: Sequence[int]) -> Tensor:
        if len(rows) == len(self.store):
            return finite_rows(self.store).cpu()
        return torch.tensor(
            [bool(finite_rows(self.store[self.order[row]][None])) for row in rows], dtype=torch.bool
        )

    def _mixed(self, columns: Tensor) -> Tensor:
        used, weights, lost = self._mixing
        mixed = (weights @ columns[used].to(weights.dtype)).to(columns.dtype)
        mixed[lost] = torch.nan
        return mixed

    @cached_property
    def _mixing(self) -> tuple[Tensor, Tensor, Tensor]:
        """Which rows are mixed at all, with which weights, and which mixtures are non-finite."""
        assert self.mix is not None
        device, exact = self.store.device, torch.promote_types(self.store.dtype, torch.float32)
        used = (self.mix.nan_to_num(nan=0.0) != 0).any(0).nonzero().flatten().to(device)
        return used, self.mix.to(device, exact)[:, used], ~self.finite.to(device)


def uniform(n: int, chosen: Sequence[int]) -> Tensor:
    """(n,) weights of the plain mean of the chosen rows."""
    weights = [0.0] * n
    for row in chosen:
        weights[row] = 1 / len(chosen)
    return torch.tensor(weights, dtype=torch.float64)


def _mixed_distances(squared: Tensor, mix: Tensor) -> Tensor:
    """‖Σ c_k x_k‖² = −½ cᵀDc for coefficients c that sum to 0: what two mixtures differ by.

    Mixtures that are the same have the same distances to the bit.
    """
    weights = mix.numpy()
    finite = np.isfinite(weights).all(1)
    if not finite.all():
        result = np.full((len(mix), len(mix)), np.inf)
        result[np.ix_(finite, finite)] = _mixed_distances(squared, mix[torch.from_numpy(finite)])
        np.fill_diagonal(result, 0)
        return torch.from_numpy(result)
    place: dict[bytes, int] = {}
    which = [place.setdefault(row, len(place)) for row in _bytes_of_rows(weights)]
    different = np.frombuffer(b"".join(place)).reshape(len(place), mix.shape[1])
    used = different.any(0)
    within, between = squared.numpy()[used][:, used], different[:, used]
    known = _differences(torch.from_numpy(within), torch.from_numpy(between))
    np.fill_diagonal(known, 0)
    return torch.from_numpy(known[which][:, which])


def _bytes_of_rows(matrix: NDArray[np.float64]) -> list[bytes]:
    """So that equal rows are found as keys are."""
    whole, size = matrix.tobytes(), matrix.shape[1] * matrix.itemsize
    return [whole[at : at + size] for at in range(0, len(whole), size)]


def _differences(squared: Tensor, weights: Tensor) -> NDArray[np.float64]:
    """Of c = a − b, for weights ≥ 0, that is aᵀDb − ½aᵀDa − ½bᵀDb: one product gives all of them.

    Where too much cancels c is made first, so that what two mixtures share is gone before any
    distance is looked at: a liar's row may be huge.
    """
    # Products are torch's: numpy's would begin threads of their own.
    crossed = (weights @ squared @ weights.T).numpy()
    own = 0.5 * crossed.diagonal()
    sums = own[:, None] + own
    result: NDArray[np.float64] = 0.5 * (crossed + crossed.T) - sums
    left, right = np.nonzero(np.tril(result <= CANCELLED * sums, -1))
    if len(left):
        between = weights[left] - weights[right]
        exact = (-0.5 * ((between @ squared) * between).sum(1)).clamp_(min=0).numpy()
        result[left, right] = result[right, left] = exact
    return result
