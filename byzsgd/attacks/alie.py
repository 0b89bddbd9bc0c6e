"""A little is enough: a lie within the spread of the honest vectors."""

from statistics import NormalDist

import torch
from torch import Tensor

from byzsgd.attacks.attack import AUTO, Setting
from byzsgd.attacks.geometry import Line
from byzsgd.attacks.moments import spread
from byzsgd.attacks.strength import strongest
from byzsgd.attacks.values import one_of, strength
from byzsgd.errors import ConfigError

FORMULAS = ("paper", "code")
DEVIATIONS = ("population", "sample")


def alie(
    honest: Tensor,
    *,
    setting: Setting,
    z: float | str | None = None,
    formula: str = "paper",
    deviation: str = "population",
) -> Tensor:
    """μ − z·σ per coordinate (Baruch, Baruch and Goldberg, arXiv 1902.06156, section 3).

    μ and σ are those of the `honest` rows, which for liars that know only what they computed
    themselves are the liars' own. σ is that of the population, as in the authors' code, or with
    `deviation="sample"` divides by k − 1, as in "Distributed Momentum" (ICLR 2021). `z` is by
    default `z_max` of n nodes of which f lie; the papers' experiments use 1.5. `"auto"` is the z
    that moves the aggregate farthest; where the rule is not known or cannot be played through it is
    z_max.
    """
    sample = one_of("alie", "deviation", deviation, DEVIATIONS) == "sample"
    given = None if z is None else strength("alie", "z", z)
    one_of("alie", "formula", formula, FORMULAS)
    chosen = z_max(setting.n, setting.f, formula) if given is None else given
    if z != AUTO:
        mean, sigma = spread(honest, sample=sample)
        return mean.sub_(sigma, alpha=chosen)
    defence = setting.defence(honest)
    looked_at = defence is not None and defence.rule.by_distance
    along = torch.zeros(len(honest), dtype=torch.float64) if looked_at else None
    mean, sigma = spread(honest, sample=sample, along=along)
    line = Line(sigma, along=along)
    x = strongest(honest, mean, line, defence, default=-chosen, usual=-1.0)
    return mean.add_(sigma, alpha=x)


def z_max(n: int, f: int, formula: str = "paper") -> float:
    """Φ⁻¹((n − f − s)/(n − f)) with s = ⌊n/2⌋ + 1 − f (arXiv 1902.06156, algorithm 3).

    s is how many of the honest the liars need on their side for a majority. `formula="code"` is the
    authors' code, (n − s)/n. Liars who are a majority need nobody, and the quantile of 1 is
    infinite: then it is that of all but half a node.
    """
    if not 0 <= f < n or n < 3:
        raise ConfigError(f"alie: n = {n}, f = {f}: give n ≥ 3 nodes of which 0 ≤ f < n lie")
    among = n if one_of("alie", "formula", formula, FORMULAS) == "code" else n - f
    needed = n // 2 + 1 - f
    share = min((among - needed) / among, 1 - 1 / (2 * among))
    return NormalDist().inv_cdf(share)
