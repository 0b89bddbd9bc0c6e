"""Squared distances between all pairs of rows: what every rule that selects looks at.

By direct differences, never through the Gram matrix: ‖a‖² + ‖b‖² − 2ab cancels when vectors are
close to one another, as honest gradients are. Each distance depends on its two rows alone, not on
where they stand, so equal rows have equal distances to the bit and ties stay ties.
"""

import math

import torch
from torch import Tensor

from byzsgd.aggregators.blocks import blocks, widest

WIDTH = 16_384
"""Coordinates summed in float32 at a time: three rows fit the cache. Wider blocks are
a third faster, but on one thread, as nodes run, lose the sixth digit of rows 1e-5 apart."""


def pairwise_squared(vectors: Tensor) -> Tensor:
    """The symmetric (n, n) float64 matrix, on the CPU, of squared L2 distances of (n, d) `vectors`.

    The diagonal is 0. A row with NaN or Inf in it is at distance +inf from all others, and so are
    float64 rows whose squared distance overflows. Relative error about 1e-7; roundings of one sign
    add up to 1e-5 at most where two rows differ by the same amount in every coordinate. No row can
    spoil the distance between two others.
    """
    vectors = vectors.detach()
    squared = _by_blocks(vectors, torch.promote_types(vectors.dtype, torch.float32))
    if vectors.dtype != torch.float64 and _left_float32(vectors, squared):
        squared = _by_blocks(vectors, torch.float64)
    return squared.nan_to_num_(nan=math.inf, posinf=math.inf).fill_diagonal_(0)


def _by_blocks(vectors: Tensor, dtype: torch.dtype) -> Tensor:
    """Sums of squares in `dtype` within a block, in float64 across blocks."""
    n = len(vectors)
    pairs = n * (n - 1) // 2
    sums = torch.zeros(pairs, dtype=torch.float64, device=vectors.device)
    scratch = torch.empty(widest(vectors, WIDTH), dtype=dtype, device=vectors.device)
    for block in blocks(vectors, WIDTH):
        columns = vectors[:, block].to(dtype)
        sums += _block_sums(columns, scratch[: columns.shape[1]])
    return _as_matrix(n, sums.cpu())


def _block_sums(columns: Tensor, difference: Tensor) -> Tensor:
    """One block's sum of squares for each pair. The loop is the kernel: one pair stays in cache."""
    n, rows = len(columns), columns.unbind()
    sums = columns.new_empty(n * (n - 1) // 2)
    sum_of = iter(sums.unbind())
    for i, row in enumerate(rows):
        for other in rows[i + 1 :]:
            torch.sub(row, other, out=difference)
            # Always this one buffer, always aligned alike: the same sum to the bit for equal rows.
            torch.dot(difference, difference, out=next(sum_of))
    return sums


def _as_matrix(n: int, pairs: Tensor) -> Tensor:
    matrix = torch.zeros(n, n, dtype=torch.float64)
    upper = torch.triu_indices(n, n, offset=1)
    matrix[upper[0], upper[1]] = pairs
    return matrix + matrix.T


def _left_float32(vectors: Tensor, squared: Tensor) -> bool:
    """Whether float32 squares overflowed, or underflowed by more than a rounding, in some pair."""
    return _overflowed(vectors, squared) or _underflowed(vectors, squared)


def _overflowed(vectors: Tensor, squared: Tensor) -> bool:
    """Some distance is not finite though both of its rows are."""
    if bool(squared.isfinite().all()):
        return False
    finite = finite_rows(vectors).cpu()
    return not bool(squared[finite][:, finite].isfinite().all())


def _underflowed(vectors: Tensor, squared: Tensor) -> bool:
    """Some distance is so small that squares below float32's normal range may be part of it.

    Rows equal to an earlier one (copies are a common lie) are told apart from such by comparing
    each with the first that is near it: equality passes along the chain, so that one is enough.
    """
    floor = vectors.shape[1] * torch.finfo(torch.float32).tiny * 1e7
    near = (squared < floor).tril(-1)
    return any(
        not torch.equal(vectors[row], vectors[int(near[row].nonzero()[0])])
        for row in near.any(1).nonzero().flatten().tolist()
    )


def finite_rows(vectors: Tensor) -> Tensor:
    """(n,) booleans: which rows of (n, d) `vectors` hold neither NaN nor Inf."""
    low, high = vectors.aminmax(dim=1)
    return low.isfinite() & high.isfinite()
