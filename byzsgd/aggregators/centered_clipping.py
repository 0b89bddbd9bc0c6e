"""Centered clipping: the mean of the rows, each drawn to at most a radius from a centre.

Karimireddy, He and Jaggi, "Learning from History for Byzantine Robust Optimization" (ICML 2021,
arXiv 2012.10333), algorithm 2.
"""

import math

import numpy as np
import torch
from torch import Tensor

from byzsgd.aggregators.hull import Array, distances, inner_products, reachable
from byzsgd.aggregators.inputs import check_iterations, checked_distances, refusal
from byzsgd.aggregators.rows import Rows
from byzsgd.aggregators.rule import Rule

ITERATIONS = 3


def centered_clipping(
    radius: float | None = None, iterations: int = ITERATIONS, center: Tensor | None = None
) -> Rule:
    """Move v by (1/n) Σ (x_i − v) min(1, radius/‖x_i − v‖), `iterations` times from v = `center`.

    The paper starts from the last aggregate: give it as `center`, a finite (d,) tensor. Without one
    the start is the medoid, so that nothing has to be remembered between steps. The radius is an L2
    distance; without one it is the median of the rows' distances from the start (the lower of two),
    which no minority can make larger than an honest distance. Rows that are infinitely far move
    nothing, but are counted in n. n ≥ 2f+1.
    """
    if radius is not None and not 0 < radius < math.inf:
        raise refusal("centered_clipping", "a radius > 0", f"{radius!r}")
    check_iterations("centered_clipping", iterations)
    if center is not None and not isinstance(center, Tensor):
        raise refusal("centered_clipping", "a tensor for center", f"{center!r}")

    def fill(rows: Rows, f: int, out: Tensor) -> None:
        checked_distances("centered_clipping", rows, f)
        near, _, start = reachable(rows)
        counted = np.ones(len(near))
        if center is not None:
            near, start = _with_center(near, center), len(near)
            counted = np.append(counted, 0.0)
        products = inner_products(near, start)
        weights = _weights(products, start, counted / len(rows), radius, iterations)
        near.mean(torch.from_numpy(weights), out)

    return Rule(
        "centered_clipping",
        ("cc",),
        bound="n ≥ 2f+1",
        minimum_n=lambda f: 2 * f + 1,
        fill=fill,
        by_distance=True,
        options={"radius": radius, "iterations": iterations, "center": center},
    )


def _with_center(rows: Rows, center: Tensor) -> Rows:
    """The centre as one more row, the last."""
    store = rows.store
    if center.shape != (rows.dimension,) or center.device != store.device:
        needed = f"a center of shape ({rows.dimension},) on {store.device}"
        raise refusal("centered_clipping", needed, f"{tuple(center.shape)} on {center.device}")
    if not center.isfinite().all():
        raise refusal("centered_clipping", "a finite center", "one with NaN or Inf in it")
    return Rows(torch.cat([rows.built(), center.detach().to(store.dtype)[None]]))


def _weights(
    products: Array, start: int, share: Array, radius: float | None, iterations: int
) -> Array:
    """The last centre's weights; `share` is 1/n for each row, and 0 for a centre that is none."""
    weights: Array = np.eye(len(products))[start]
    if radius is None:
        reach = np.sort(distances(products, weights)[share > 0])
        radius = float(reach[(len(reach) - 1) // 2])
    for _ in range(iterations):
        reach = distances(products, weights)
        far = reach > radius
        steps = share * np.where(far, radius / np.where(far, reach, 1.0), 1.0)
        weights = weights * (1 - steps.sum()) + steps
    return weights
