"""Points in the affine hull of the rows, known by their weights alone.

For z = Σ w_k x_k with weights that sum to 1, the distance of z from every row follows from the n×n
inner products of the rows' differences from an anchor: an iteration that stays in the hull costs
the same whatever d is. The products follow from the squared distances. Only if some finite row is
enormously far away, so that its rounding errors would drown the others, are they taken from the
rows themselves, in float64, at the price of one more pass.
"""

from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from byzsgd.aggregators.medoid import medoid_of
from byzsgd.aggregators.rows import Rows

Array: TypeAlias = NDArray[np.float64]

FAR = 1e3
"""Squared distances are good to about 1e-8: a row this many times farther than the median one, of
which at most 1/(n FAR) enters a point, is an error of at most 1e-5/n of the median distance."""
WIDTH = 16_384


def reachable(rows: Rows) -> tuple[Rows, list[int], int]:
    """The rows at a finite distance from the medoid, which they are, and the medoid among them."""
    finite = rows.finite.nonzero().flatten().tolist()
    squared = rows.squared[finite][:, finite]
    near = squared[medoid_of(squared)].isfinite().nonzero().flatten().tolist()
    kept = [finite[row] for row in near]
    return rows.take(kept), kept, medoid_of(squared[near][:, near])


def inner_products(rows: Rows, anchor: int) -> Array:
    """(n, n) products of the differences x_i − x_anchor of finite `rows`."""
    squared = rows.squared.numpy()
    own = squared[anchor]
    if own.max() <= FAR**2 * np.sort(own)[(len(own) - 1) // 2]:
        products: Array = 0.5 * (own[:, None] + own[None, :] - squared)
        return products
    return _from_rows(rows, anchor)


def distances(products: Array, weights: Array) -> Array:
    """(n,) L2 distances of the rows from the point of these weights."""
    towards = products @ weights
    squared = np.diag(products) - 2 * towards + weights @ towards
    root: Array = np.sqrt(np.maximum(squared, 0.0))
    return root


def _from_rows(rows: Rows, anchor: int) -> Array:
    products = np.zeros((len(rows), len(rows)))
    for _, columns in rows.blocks(WIDTH):
        exact = columns.double()
        exact = exact - exact[anchor]
        products += (exact @ exact.T).cpu().numpy()
    return products
