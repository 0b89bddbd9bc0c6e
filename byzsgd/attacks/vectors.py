"""Attacks as pure functions: honest vectors (k, d) in, one lie (d,) out.

The first row is what the liar itself would honestly have sent. Nothing given is changed.
"""

import math
from statistics import NormalDist

import torch
from torch import Tensor

from byzsgd.errors import ConfigError


def sign_flip(honest: Tensor, *, factor: float = 1.0) -> Tensor:
    """−factor times the liar's own vector (SafeguardSGD, arXiv 2012.14368, section 5)."""
    return honest[0] * -factor


def scale(honest: Tensor, *, factor: float = 10.0) -> Tensor:
    """The liar's own vector, `factor` times as long."""
    return honest[0] * factor


def nan(honest: Tensor) -> Tensor:
    """Not a number in every coordinate: one of it makes any plain mean useless."""
    return torch.full_like(honest[0], math.nan)


def alie(honest: Tensor, *, n: int, f: int, z: float | str | None = None) -> Tensor:
    """μ − z·σ per coordinate: a lie within the spread of the honest (arXiv 1902.06156, section 3).

    μ and the population standard deviation σ are those of the `honest` rows, which for liars that
    know only what they computed themselves are the liars' own. `z` is by default z_max of `n` nodes
    of which `f` lie; `"auto"` means the same until a search against the known rule is built.
    """
    strength = z_max(n, f) if z is None or z == "auto" else float(z)
    mean = honest.mean(dim=0)
    # torch.std over a few long rows takes forty times as long as this.
    deviation = (honest - mean).square_().mean(dim=0).sqrt_()
    return mean.sub_(deviation, alpha=strength)


def z_max(n: int, f: int) -> float:
    """Φ⁻¹((n − f − s)/(n − f)) with s = ⌊n/2⌋ + 1 − f (arXiv 1902.06156, algorithm 3).

    s is how many of the honest the liars need on their side for a majority; the paper's code
    divides by n instead. Liars who are a majority need nobody, and the quantile of 1 is infinite:
    then it is that of all honest nodes but half a one.
    """
    if not 0 <= f < n or n < 3:
        raise ConfigError(f"alie: n = {n}, f = {f}: give n ≥ 3 nodes of which 0 ≤ f < n lie")
    honest = n - f
    needed = n // 2 + 1 - f
    share = min((honest - needed) / honest, 1 - 1 / (2 * honest))
    return NormalDist().inv_cdf(share)


def equivocate(honest: Tensor, *, scale: float = 1.0, seed: int = 0) -> Tensor:
    """The liar's own vector and Gaussian noise, `scale` times as long: another for every `seed`."""
    generator = torch.Generator(device=honest.device).manual_seed(seed)
    noise = torch.randn(
        honest.shape[1], generator=generator, dtype=torch.float32, device=honest.device
    )
    length = float(torch.linalg.vector_norm(honest[0])) / math.sqrt(honest.shape[1])
    return honest[0] + noise.mul_(scale * length).to(honest.dtype)
