"""Which examples belong to which worker."""

import math

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from byzsgd.errors import ConfigError, unknown_name
from byzsgd.training.streams import Purpose, stream

Indices = NDArray[np.int64]

HOW = ("iid", "dirichlet")


def partition(
    targets: Tensor,
    workers: int,
    worker: int,
    seed: int,
    how: str = "iid",
    alpha: float = 1.0,
) -> Tensor:
    """The sorted int64 indices of the examples that `worker` owns; never empty.

    The parts of all workers are disjoint and cover every example. `iid` deals a shuffled deck:
    sizes differ by at most one. `dirichlet` splits each class over the workers in proportions
    drawn from Dir(alpha, …, alpha) (Li et al., arXiv 2102.02079): a small alpha gives
    each worker few classes, a large one resembles iid. A worker left with nothing then gets one
    example from the largest part, lowest worker first.

    Raises ConfigError for an unknown `how`, a bad alpha or fewer examples than workers.
    """
    assert 0 <= worker < workers, (worker, workers)
    if how not in HOW:
        raise unknown_name("partition", how, HOW)
    if len(targets) < workers:
        raise ConfigError(f"{len(targets)} training examples cannot serve {workers} workers")
    random = stream(seed, Purpose.PARTITION)
    if how == "iid":
        parts = _iid(len(targets), workers, random)
    else:
        parts = _dirichlet(targets.numpy(), workers, alpha, random)
    return torch.from_numpy(np.sort(parts[worker]))


def _iid(size: int, workers: int, random: np.random.Generator) -> list[Indices]:
    deck = random.permutation(size)
    return [deck[worker::workers] for worker in range(workers)]


def _dirichlet(
    labels: NDArray[np.int64], workers: int, alpha: float, random: np.random.Generator
) -> list[Indices]:
    if labels.ndim != 1 or labels.dtype.kind not in "iu":
        raise ConfigError(
            'partition "dirichlet" needs integer class labels of shape (N,), '
            f"not {labels.dtype} of shape {labels.shape}"
        )
    if not (math.isfinite(alpha) and alpha > 0):
        raise ConfigError(f"the alpha of a dirichlet partition must be positive, not {alpha}")
    shares: list[list[Indices]] = [[] for _ in range(workers)]
    for label in np.unique(labels):
        members = random.permutation(np.flatnonzero(labels == label))
        ends = np.cumsum(random.dirichlet(np.full(workers, alpha))) * len(members)
        cuts = np.rint(ends[:-1]).astype(np.int64)
        for share, piece in zip(shares, np.split(members, cuts), strict=True):
            share.append(piece)
    return _nobody_empty([np.concatenate(share) for share in shares])


def _nobody_empty(parts: list[Indices]) -> list[Indices]:
    for worker, part in enumerate(parts):
        if len(part) == 0:
            donor = max(range(len(parts)), key=lambda other: len(parts[other]))
            parts[donor], parts[worker] = parts[donor][:-1], parts[donor][-1:]
    return parts
