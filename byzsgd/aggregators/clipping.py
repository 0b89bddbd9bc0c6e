"""Clipping: rows longer than a threshold are shortened to it."""

import math

import torch
from torch import Tensor

from byzsgd.aggregators.inputs import check_finite, refusal
from byzsgd.aggregators.preaggregation import Preaggregation
from byzsgd.aggregators.rows import Rows


def clipping(threshold: float | None = None) -> Preaggregation:
    """Rows of an L2 norm above `threshold` are scaled to it. Without a number it is the median norm
    of the finite rows (the lower of two), which no minority can make larger than an honest norm.
    Non-finite rows stay so. n ≥ 2f+1.
    """
    if threshold is not None and not 0 < threshold < math.inf:
        raise refusal("clipping", "a threshold > 0", f"{threshold!r}")

    def clip(rows: Rows, f: int) -> Rows:
        check_finite("clipping", rows, f)
        vectors = rows.built()
        norms = _norms(vectors)
        finite = norms[rows.finite].sort().values
        limit = threshold or float(finite[(len(finite) - 1) // 2])
        for row in (norms > limit).nonzero().flatten().tolist():
            vectors[row].mul_(limit / float(norms[row]))
        return Rows(vectors)

    return Preaggregation(
        "clipping",
        (),
        bound="n ≥ 2f+1",
        minimum_n=lambda f: 2 * f + 1,
        count=lambda n: n,
        apply=clip,
        options={"threshold": threshold},
    )


def _norms(vectors: Tensor) -> Tensor:
    """(n,) float64, on the CPU: float32 wherever its squares neither overflow nor vanish."""
    if vectors.dtype == torch.float64:
        exact: Tensor = torch.linalg.vector_norm(vectors, dim=1).cpu()
        return exact
    norms: Tensor = torch.linalg.vector_norm(vectors, dim=1, dtype=torch.float32).double().cpu()
    for row in ((norms < 1e-12) | (norms > 1e18)).nonzero().flatten().tolist():
        norms[row] = torch.linalg.vector_norm(vectors[row], dtype=torch.float64)
    return norms
