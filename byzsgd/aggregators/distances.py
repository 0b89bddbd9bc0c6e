"""Squared distances between all pairs of rows: what every rule that selects looks at.

By direct differences, never through the Gram matrix: ‖a‖² + ‖b‖² − 2ab cancels when vectors are
close to one another, as honest gradients are. Each distance depends on its two rows alone, not on
where they stand or how many there are, so equal rows have equal distances to the bit, ties stay
ties, and rows added one by one give what all of them give at once.
"""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from byzsgd.aggregators.compiled import compiles
from byzsgd.aggregators.distance_sums import equal_pairs, fill_pairs, some_pairs

SAFE_SQUARE = torch.finfo(torch.float32).tiny * 1e7
"""A float32 sum of d squares that is larger than d times this lost at most 1e-7 to underflow."""


def pairwise_squared(vectors: Tensor, order: Sequence[int] | None = None) -> Tensor:
    """The symmetric (n, n) float64 matrix, on the CPU, of squared L2 distances of (n, d) `vectors`.

    With `order` of the rows `vectors[order]` only, in that order.

    The diagonal is 0. A row with NaN or Inf in it is at distance +inf from all others, and so are
    float64 rows whose squared distance overflows. Relative error below 1e-6, and about 1e-7 where
    roundings are not all of one sign. No row can spoil the distance between two others.
    """
    order = range(len(vectors)) if order is None else order
    squared = torch.empty(len(order), len(order), dtype=torch.float64)
    _fill(vectors.detach(), order, 0, squared)
    return squared


def add_row(store: Tensor, order: Sequence[int], squared: Tensor, rows: int = 1) -> None:
    """Fill in the distances of the last row of `store[order]` to the rows before it; or of the last
    `rows` to one another and to those before.

    `squared` is a float64 CPU tensor of at least (n, n), n = len(order), that holds what
    `pairwise_squared` gives for the rows before; then it holds, to the bit, what it gives for all.
    """
    _fill(store.detach(), order, len(order) - rows, squared)


def finite_rows(vectors: Tensor) -> Tensor:
    """(n,) booleans: which rows of (n, d) `vectors` hold neither NaN nor Inf."""
    wide = torch.promote_types(vectors.dtype, torch.float32)
    # A sum is finite only if all its terms are, but it may overflow: then look at the terms.
    finite = vectors.sum(1, dtype=wide).isfinite()
    for row in (~finite).nonzero().flatten().tolist():
        low, high = vectors[row].aminmax()
        finite[row] = low.isfinite() & high.isfinite()
    return finite


def _fill(store: Tensor, order: Sequence[int], begin: int, squared: Tensor) -> None:
    """Rows and columns from `begin` to len(order), in place; those before them are known."""
    if compiles(store) and not store.is_contiguous():
        store, order = store[list(order)], range(len(order))
    least = store.shape[1] * SAFE_SQUARE
    doubtful = fill_pairs(store, order, begin, least, squared)
    if doubtful and store.dtype != torch.float64:
        _repair(store, order, begin, squared[: len(order), : len(order)])


class _Copy(NamedTuple):
    row: int
    of: int
    near: list[int]
    """The earlier rows that are near both, whose distances to both are one and the same."""


def _repair(store: Tensor, order: Sequence[int], begin: int, squared: Tensor) -> None:
    """In float64, the pairs whose float32 squares overflowed, or underflowed by a relevant amount.

    These pairs only: a liar's huge row costs n pairs and not all.
    """
    pairs = list(_overflowed(store, order, begin, squared))
    copies, close = _underflowed(store, order, begin, squared)
    pairs += close
    if pairs:
        left, right = [i for i, _ in pairs], [j for _, j in pairs]
        exact = some_pairs(store, [order[i] for i in left], [order[j] for j in right])
        squared[left, right] = exact
        squared[right, left] = exact
    for copy in copies:  # in ascending order: what a copy is a copy of is known by then
        squared[copy.row, copy.near] = squared[copy.near, copy.row] = squared[copy.of, copy.near]


def _overflowed(
    store: Tensor, order: Sequence[int], begin: int, squared: Tensor
) -> Iterator[tuple[int, int]]:
    """Pairs whose distance is not finite though both of their rows are."""
    known = squared.isfinite()
    if bool(known.all()):
        return
    finite = (known.sum(1) > 1).tolist()  # a finite distance vouches for both of its rows
    for row, vouched in enumerate(finite):
        if not vouched:
            finite[row] = bool(finite_rows(store[order[row]][None]))
    for i, j in (~known).tril(-1).nonzero().tolist():
        if i >= begin and finite[i] and finite[j]:
            yield i, j


def _underflowed(
    store: Tensor, order: Sequence[int], begin: int, squared: Tensor
) -> tuple[list[_Copy], list[tuple[int, int]]]:
    """Rows that equal the first row they are near to, and the pairs that are near without that.

    Copies are a common lie, and are cheap to tell.
    """
    near = (squared < store.shape[1] * SAFE_SQUARE).tril(-1)
    near[:begin] = False
    if not bool(near.any()):
        return [], []
    doubted = [_Copy(i, js[0], js) for i, row in enumerate(near) if (js := _true(row))]
    equal = equal_pairs(
        store, [order[copy.row] for copy in doubted], [order[copy.of] for copy in doubted]
    )
    copies = [copy for copy, same in zip(doubted, equal, strict=True) if same]
    others = [copy for copy, same in zip(doubted, equal, strict=True) if not same]
    return copies, [(copy.row, j) for copy in others for j in copy.near]


def _true(row: Tensor) -> list[int]:
    found: list[int] = row.nonzero().flatten().tolist()
    return found
