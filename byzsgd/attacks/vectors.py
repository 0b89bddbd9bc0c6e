"""Attacks as pure functions: honest vectors (k, d) in, one lie (d,) out.

The first row is what the liar itself would honestly have sent. Nothing given is changed. Here are
the lies that need no vector but the liar's own; with a strength of `"auto"` they look at all that
the liar knows.
"""

import math

import torch
from torch import Tensor

from byzsgd.attacks.attack import Setting
from byzsgd.attacks.geometry import Line
from byzsgd.attacks.noise import normal
from byzsgd.attacks.strength import strongest
from byzsgd.attacks.values import index, number, one_of, strength

KINDS = ("noise", "camps", "victim")


def sign_flip(
    honest: Tensor,
    *,
    setting: Setting,
    factor: float | str = 1.0,
) -> Tensor:
    """−factor times the liar's own vector (SafeguardSGD, arXiv 2012.14368, section 5). `"auto"`: as
    long as moves the aggregate farthest, or 1 where the rule is not known.
    """
    times = strength("sign_flip", "factor", factor)
    return _stretched(honest, times, -1.0, 1.0, setting)


def reverse(
    honest: Tensor,
    *,
    setting: Setting,
    factor: float | str = 100.0,
) -> Tensor:
    """The liar's own vector reversed and amplified, as in the code of Garfield (Guerraoui et al.,
    "Garfield: System Support for Byzantine Machine Learning", DSN 2021). `"auto"` as in
    `sign_flip`, about this factor.
    """
    times = strength("reverse", "factor", factor)
    return _stretched(honest, times, -1.0, 100.0, setting)


def scale(
    honest: Tensor,
    *,
    setting: Setting,
    factor: float | str = 10.0,
) -> Tensor:
    """The liar's own vector, `factor` times as long; `"auto"` as in `sign_flip`, about 10."""
    times = strength("scale", "factor", factor)
    return _stretched(honest, times, 1.0, 10.0, setting)


def safeguard(honest: Tensor, *, factor: float = 0.4) -> Tensor:
    """−factor times the liar's own vector, small enough for a filter of sums to pass it: the attack
    that SafeguardSGD's authors made against it (arXiv 2012.14368, section 5; 0.4 and 0.5).
    """
    return honest[0] * -number("safeguard", "factor", factor)


def gaussian(honest: Tensor, *, seed: int = 0, sigma: float = 200.0) -> Tensor:
    """N(0, sigma²) in every coordinate, another for every `seed` (Krum, NeurIPS 2017, §5)."""
    return _noise(honest, seed, number("gaussian", "sigma", sigma, least=0.0))


def zero(honest: Tensor) -> Tensor:
    """0 in every coordinate (SafeguardSGD, arXiv 2012.14368, section 5)."""
    return torch.zeros_like(honest[0], memory_format=torch.contiguous_format)


def nan(honest: Tensor) -> Tensor:
    """Not a number in every coordinate: one of it makes any plain mean useless."""
    return torch.full_like(honest[0], math.nan, memory_format=torch.contiguous_format)


def inf(honest: Tensor) -> Tensor:
    """Infinity in every coordinate."""
    return torch.full_like(honest[0], math.inf, memory_format=torch.contiguous_format)


def equivocate(
    honest: Tensor,
    *,
    seed: int = 0,
    run_seed: int = 0,
    receiver: int = 0,
    scale: float = 1.0,
    kind: str = "noise",
    victim: int = 0,
) -> Tensor:
    """Something different to every receiver: the liar's own vector and something `scale` as long.

    `kind="noise"` adds Gaussian noise, another for every `seed`. `"camps"` tells receivers of even
    number own + δ and the others own − δ, where all liars and steps share the direction of δ: it
    pulls two halves apart. `"victim"` tells all the truth but receiver number `victim`, who hears
    noise. The number is that of the name: worker-3 has number 3, and server-3 as well.
    """
    size, only = number("equivocate", "scale", scale), index("equivocate", "victim", victim)
    one_of("equivocate", "kind", kind, KINDS)
    if kind == "victim" and receiver != only:
        return honest[0].clone(memory_format=torch.contiguous_format)
    length = size * float(torch.linalg.vector_norm(honest[0])) / math.sqrt(honest.shape[1])
    if kind == "camps":
        side = 1.0 if receiver % 2 == 0 else -1.0
        return honest[0] + _noise(honest, run_seed, side * length)
    return honest[0] + _noise(honest, seed, length)


def _stretched(
    honest: Tensor,
    times: float | None,
    sign: float,
    usual: float,
    setting: Setting,
) -> Tensor:
    """sign·times the liar's own vector; without a number as many as moves the aggregate most."""
    if times is None:
        line, defence = Line(honest[0] * sign, torch.zeros_like(honest[0])), setting.defence(honest)
        times = strongest(honest, honest.mean(0), line, defence, default=usual, usual=usual)
    return honest[0] * (sign * times)


def _noise(honest: Tensor, seed: int, sigma: float) -> Tensor:
    """(d,) of N(0, sigma²), in the type and on the device of the rows."""
    return normal(honest[0], seed).mul_(sigma).to(honest.dtype)
