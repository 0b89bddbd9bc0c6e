"""Cutting d coordinates into blocks that stay in cache while all n rows pass over them."""

from collections.abc import Iterator

from torch import Tensor

CUDA_WIDTH = 1 << 20
"""On a GPU a block has to feed the whole device, and launches are what costs."""


def blocks(vectors: Tensor, width: int) -> Iterator[slice]:
    """Slices that cover the columns of (n, d) `vectors`, each `width` wide but the last."""
    d = vectors.shape[1]
    width = max(width, CUDA_WIDTH) if vectors.is_cuda else width
    for begin in range(0, d, width):
        yield slice(begin, min(begin + width, d))


def widest(vectors: Tensor, width: int) -> int:
    """How many columns the widest of `blocks(vectors, width)` has: what scratch must hold."""
    return min(max(width, CUDA_WIDTH) if vectors.is_cuda else width, vectors.shape[1])
