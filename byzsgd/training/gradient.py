"""What a worker submits: its gradient, decayed, clipped, with momentum.

Momentum lives at the workers: a server's would drift outside DMC (`momentum` has it, to compare).
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from byzsgd.errors import ConfigError


@dataclass(frozen=True)
class GradientSettings:
    """The same at every worker, or their gradients are no samples of one distribution.

    `momentum` μ in [0, 1), `weight_decay` ≥ 0, `clip` the largest L2 norm (None: no limit). With
    `nesterov` the gradient is taken at θ − η·G_{t−1}, where the momentum alone would lead to.
    """

    momentum: float = 0.0
    weight_decay: float = 0.0
    clip: float | None = None
    nesterov: bool = False

    def __post_init__(self) -> None:
        if not 0 <= self.momentum < 1:
            raise ConfigError(f"momentum must be at least 0 and below 1, not {self.momentum}")
        if not (math.isfinite(self.weight_decay) and self.weight_decay >= 0):
            raise ConfigError(f"weight_decay must be 0 or more, not {self.weight_decay}")
        if self.clip is not None and not (math.isfinite(self.clip) and self.clip > 0):
            raise ConfigError(f"clip must be positive, or left out, not {self.clip}")


def submission(
    gradient: Tensor, params: Tensor, last: Tensor | None, settings: GradientSettings
) -> Tensor:
    """G_t = μ·G_{t−1} + clipped(∇loss + weight_decay·θ), a fresh (d,) tensor.

    `params` are where the gradient was taken, `last` is G_{t−1}, what this worker submitted before
    (None at its first step). There is no (1−μ) damping: Distributed Momentum, ICLR 2021. Nothing
    given is changed.
    """
    result = gradient.clone()
    if settings.weight_decay:
        result.add_(params, alpha=settings.weight_decay)
    if settings.clip is not None:
        _clip(result, settings.clip)
    if last is not None and settings.momentum:
        result.add_(last, alpha=settings.momentum)
    return result


def _clip(vector: Tensor, norm_max: float) -> None:
    norm = float(torch.linalg.vector_norm(vector))
    if norm > norm_max:
        vector.mul_(norm_max / norm)
