"""Twins of the rules that move a centre about, and of the steps before a rule."""

import torch
from torch import Tensor

from byzsgd.aggregators.testing.distance_twins import least_sum, mean_of, squared_distances
from byzsgd.aggregators.testing.refusals import finite_rows, refuse

STEPS = 1000
AT_REST = 1e-10
"""Of how far the rows lie from the centre: far less than any rule is asked to be right to."""


def geometric_median(vectors: Tensor, f: int) -> Tensor:
    """The point of least summed distance: Weiszfeld's iteration (Vardi and Zhang, 2000)."""
    refuse("geometric_median", vectors, f, at_least=2 * f + 1)
    points = vectors[finite_rows(vectors)].double()
    centre = points.median(0).values
    for _ in range(STEPS):
        moved = _weiszfeld(points, centre)
        rest = float((moved - centre).norm()) <= AT_REST * float((points - centre).abs().max())
        centre = moved
        if rest:
            break
    # A row may be the answer itself, which the iteration only approaches.
    candidates: list[Tensor] = [centre, *points]
    return min(candidates, key=lambda z: summed_distance(points, z))


def summed_distance(points: Tensor, centre: Tensor) -> float:
    """What the geometric median makes least."""
    return float((points.double() - centre.double()).norm(dim=1).sum())


def centered_clipping(
    vectors: Tensor,
    f: int,
    radius: float | None = None,
    iterations: int = 3,
    center: Tensor | None = None,
) -> Tensor:
    """From the medoid, or a given centre, add the mean of the clipped differences, some times over
    (Karimireddy et al., 2021).
    """
    refuse("centered_clipping", vectors, f, at_least=2 * f + 1)
    kept = finite_rows(vectors)
    points = vectors[kept].double()
    v = vectors[least_sum(vectors, kept)].double() if center is None else center.double()
    if radius is None:
        radius = _lower_middle([float((x - v).norm()) for x in points])
    for _ in range(iterations):
        steps = [(x - v) * _shrunk(float((x - v).norm()), radius) for x in points]
        v = v + torch.stack(steps).sum(0) / len(vectors)
    return v


def nnm(vectors: Tensor, f: int) -> Tensor:
    """Each row becomes the mean of the n−f rows nearest it, itself included (arXiv 2302.01772)."""
    refuse("nnm", vectors, f, at_least=2 * f + 1)
    squared, n = squared_distances(vectors), len(vectors)
    mixed = torch.full_like(vectors, torch.nan, dtype=torch.float64)
    for i in finite_rows(vectors):
        mixed[i] = mean_of(vectors, sorted(range(n), key=lambda j: (squared[i][j], j))[: n - f])
    return mixed


def bucketing(vectors: Tensor, f: int, size: int = 2, seed: int = 0) -> Tensor:
    """Shuffle the rows; each next `size` of them become their mean (Karimireddy et al., 2022)."""
    order = torch.randperm(len(vectors), generator=torch.Generator().manual_seed(seed)).tolist()
    buckets = [order[at : at + size] for at in range(0, len(order), size)]
    return torch.stack([_or_lost(mean_of(vectors, bucket)) for bucket in buckets])


def clipping(vectors: Tensor, f: int, threshold: float | None = None) -> Tensor:
    """Rows longer than the threshold are scaled down to it."""
    refuse("clipping", vectors, f, at_least=2 * f + 1)
    norms = [float(row.double().norm()) for row in vectors]
    if threshold is None:
        threshold = _lower_middle([norms[i] for i in finite_rows(vectors)])
    shrinking = [_shrunk(norm, threshold) for norm in norms]
    scaled = [row.double() * factor for row, factor in zip(vectors, shrinking, strict=True)]
    return torch.stack([_or_lost(row) for row in scaled])


def _weiszfeld(points: Tensor, centre: Tensor) -> Tensor:
    """One step; the rows that coincide with the centre hold it back as far as they can."""
    distances = (points - centre).norm(dim=1)
    away = distances > 0
    if not bool(away.any()):
        return centre
    weights = 1 / distances[away]
    target = (points[away] * weights[:, None]).sum(0) / weights.sum()
    pull = float(((points[away] - centre) * weights[:, None]).sum(0).norm())
    held = 1.0 if pull == 0 else min(1.0, float((~away).sum()) / pull)
    moved: Tensor = (1 - held) * target + held * centre
    return moved


def _or_lost(row: Tensor) -> Tensor:
    """A mixture with anything non-finite in it says nothing in its other coordinates either."""
    return row if bool(row.isfinite().all()) else torch.full_like(row, torch.nan)


def _shrunk(length: float, limit: float) -> float:
    return 1.0 if length <= limit else limit / length


def _lower_middle(values: list[float]) -> float:
    return sorted(values)[(len(values) - 1) // 2]
