"""Strength "auto": how far to go on a line, so that the aggregate moves as far as it can.

A liar that knows the rule plays it through: of the lies base + x·direction it tells the one that
moves the aggregate of what it knows and of the lie's copies farthest (L2) from the honest mean. No
evaluation touches d coordinates. What a rule selects follows from distances, which `Geometry` has
for every x; where the aggregate is the mean of what was selected, so does how far it moved. Else it
is estimated from about a thousand coordinates: each of them is aggregated as it would be among all.
"""

import math
from collections.abc import Callable
from functools import lru_cache
from typing import Final, TypeAlias

import torch
from torch import Tensor

from byzsgd.aggregators import AggregationError
from byzsgd.aggregators.rows import Rows
from byzsgd.attacks.defence import Defence
from byzsgd.attacks.geometry import Geometry, Line

Displacement: TypeAlias = Callable[[float], float]

DOUBLINGS: Final = range(-3, 5)
"""Tried at first: the usual strength times 2 to the power of these."""
HALVINGS: Final = 5
"""Of the step, at first a factor of √2, around the best: the last is 2%."""
FLAT: Final = 0.99
"""Where a step either way changes less than that, the aggregate moves smoothly: no edge is near."""
SAMPLE: Final = 1024
RUN: Final = 16
"""Coordinates are taken in runs that fill a line of cache: so many cost no more than one."""
SELECTS_AND_MIXES: Final = frozenset({"bulyan"})
"""Rules whose aggregate is not the mean of the rows that they select."""


def strongest(
    honest: Tensor,
    mean: Tensor,
    line: Line,
    defence: Defence | None,
    *,
    default: float,
    usual: float,
) -> float:
    """The x of the lie on the line that moves the aggregate farthest from the honest mean.

    `honest` are (k, d) rows, and `mean` is theirs. Tried are `default` and at most 18 strengths
    from an eighth of `usual` to some 30 times as much; of equally strong ones the first is taken.
    It is `default` where there is no defence to play through, or where a row has NaN or Inf in it.
    """
    if defence is None:
        return default
    try:
        return _search(displacement(honest, mean, line, defence), default, usual)
    except AggregationError:
        return default


def displacement(honest: Tensor, mean: Tensor, line: Line, defence: Defence) -> Displacement:
    """(x) → how far the aggregate is from the honest mean; exact for rules that select and average.

    Raises `AggregationError` where a row has NaN or Inf in it.
    """
    rule, copies = defence.rule, defence.copies
    if not rule.by_distance:
        return _sampled(honest, mean, line, defence, None)
    geometry = Geometry.of(honest, mean, line)
    if not geometry.finite:
        raise AggregationError(f"{rule.name} cannot be played through with NaN or Inf in a row")
    if rule.choose is None or rule.name in SELECTS_AND_MIXES:
        return _sampled(honest, mean, line, defence, geometry)
    nothing, among = honest.new_empty(len(honest) + copies, 1), geometry.among(copies)

    def moved(x: float) -> float:
        rows = Rows(nothing, squared=among(x))
        return geometry.moved(x, rule.select(rows, defence.tolerated))

    return moved


def _search(moved: Displacement, default: float, usual: float) -> float:
    """In powers of two, and from the best on in steps that halve, unless it is flat there."""
    tried: dict[float, float] = {}

    def attempt(x: float) -> float:
        if x not in tried:
            distance = moved(x)
            tried[x] = distance if math.isfinite(distance) else -math.inf
        return tried[x]

    best = max((default, *(usual * 2.0**power for power in DOUBLINGS)), key=attempt)
    for halving in range(1, HALVINGS + 1):
        step = 2.0 ** (0.5**halving)
        around, before = (best * step, best / step), attempt(best)
        if FLAT * attempt(around[0]) > before:
            best = around[0]
            continue
        best = max((best, *around), key=attempt)
        if min(map(attempt, around)) > FLAT * before:
            break
    return best


def _sampled(
    honest: Tensor, mean: Tensor, line: Line, defence: Defence, geometry: Geometry | None
) -> Displacement:
    """By the rule itself on a few coordinates, with the distances of all."""
    k, copies, d = len(honest), defence.copies, honest.shape[1]
    spread, wide = _coordinates(d, honest.device), torch.promote_types(honest.dtype, torch.float32)
    taken = torch.cat([spread, spread.new_tensor([at for at in line.also if d > SAMPLE])])
    # Scaled so that lengths are about those of all coordinates: some steps look at norms.
    scale = torch.ones(len(taken), dtype=wide, device=honest.device)
    scale[: len(spread)] = math.sqrt(d / len(spread))
    store = torch.empty(k + copies, len(taken), dtype=wide, device=honest.device)
    torch.mul(honest.index_select(1, taken), scale, out=store[:k])
    centre, step = mean[taken].to(wide) * scale, line.direction[taken].to(wide) * scale
    start = centre if line.base is None else line.base[taken].to(wide) * scale
    among = None if geometry is None else geometry.among(copies)

    def moved(x: float) -> float:
        torch.add(start, step * x, out=store[k])  # as alpha, torch refuses an x beyond float32
        store[k + 1 :] = store[k]
        rows = Rows(store, squared=among(x) if among else None)
        shift = defence.rule.apply(rows, defence.tolerated).vector.sub_(centre)
        return float(torch.linalg.vector_norm(shift, dtype=torch.float64))

    return moved


@lru_cache(maxsize=16)
def _coordinates(d: int, device: torch.device) -> Tensor:
    """All of them, or SAMPLE of them in runs that are evenly spread."""
    if d <= SAMPLE:
        return torch.arange(d, device=device)
    runs = SAMPLE // RUN
    first = torch.arange(runs, device=device) * (d - RUN) // (runs - 1)
    return (first[:, None] + torch.arange(RUN, device=device)).flatten()
