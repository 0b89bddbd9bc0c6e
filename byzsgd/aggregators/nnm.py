"""Nearest-neighbour mixing: each row is replaced by the mean of the rows nearest to it.

Allouah, Farhadkhani, Guerraoui, Gupta, Pinot and Stephan, "Fixing by Mixing" (AISTATS 2023, arXiv
2302.01772), algorithm 2. Honest rows move together, which every rule after it profits from.
"""

import math

import numpy as np
import torch

from byzsgd.aggregators.inputs import checked_distances
from byzsgd.aggregators.preaggregation import Preaggregation
from byzsgd.aggregators.rows import Rows


def nnm() -> Preaggregation:
    """Each row becomes the mean of the n−f rows nearest to it, itself included; of ties the lowest
    indices. Non-finite rows stay so, and are nobody's neighbours. n ≥ 2f+1.
    """
    return Preaggregation(
        "nnm", (), bound="n ≥ 2f+1", minimum_n=lambda f: 2 * f + 1, count=lambda n: n, apply=_mix
    )


def _mix(rows: Rows, f: int) -> Rows:
    squared, size = checked_distances("nnm", rows, f).numpy(), len(rows) - f
    # Far quicker than a sort: all that are nearer than the last of them, and of ties the first.
    last = np.partition(squared, size - 1, axis=1)[:, size - 1 : size]
    nearer, tied = squared < last, squared == last
    chosen = nearer | (tied & (tied.cumsum(1) <= size - nearer.sum(1, keepdims=True)))
    mix = torch.from_numpy(chosen / size)
    mix[~rows.finite] = math.nan
    return rows.mixed(mix)
