"""All liars say what one honest node says: nothing false is said, and one voice drowns others."""

import numpy as np
from torch import Tensor

from byzsgd.aggregators import pairwise_squared
from byzsgd.attacks.attack import AUTO
from byzsgd.attacks.geometry import centred_gram
from byzsgd.attacks.values import index

TIE = 1e-9
"""Projections that differ by less, relatively, do so by rounding."""


def mimic(honest: Tensor, *, target: int | str = AUTO) -> Tensor:
    """A copy of one of the rows (Karimireddy, He and Jaggi, "Byzantine-Robust Learning on
    Heterogeneous Datasets via Bucketing", ICLR 2022, arXiv 2006.09365, section 3.2 and appendix).

    `target` numbers the rows; of fewer rows it is counted round. A liar's are the honest vectors
    that it knows, in node order; while it knows fewer than two, its own comes first, and then
    those of its fellows. `"auto"` is the row with the largest projection, of either sign, on the
    direction in which the rows differ most: the same for all liars that know the same rows. Of
    equal ones it is the last: of two liars who know each other only, each says what the other
    would. The paper follows that direction over the first steps and then keeps to one target; here
    every step is by itself.
    """
    if target == AUTO:
        return honest[_extreme(honest)].clone()
    return honest[index("mimic", "target", target) % len(honest)].clone()


def _extreme(honest: Tensor) -> int:
    """X Xᵀ has the projections on the top principal direction as its top eigenvector."""
    squared = pairwise_squared(honest).numpy()
    kept = np.isfinite(squared).sum(1).argmax()
    finite = np.flatnonzero(np.isfinite(squared[kept]))
    _, vectors = np.linalg.eigh(centred_gram(squared[np.ix_(finite, finite)]))
    lengths = np.abs(vectors[:, -1])
    return int(finite[np.flatnonzero(lengths >= lengths.max() * (1 - TIE))[-1]])
