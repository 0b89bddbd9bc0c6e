"""Momentum at the servers, and where Nesterov's takes its gradients; without (1−μ) damping.

El-Mhamdi, Guerraoui and Rouault, "Distributed Momentum for Byzantine-resilient Stochastic Gradient
Descent" (ICLR 2021): G_t = μ·G_{t−1} + g_t at each worker, before the aggregation F, or
v_t = μ·v_{t−1} + F(g_t) at the server, after it. Nesterov's variant takes the gradient where the
momentum is about to lead: at θ − η·G_{t−1}, or at θ − η·v_{t−1}.
"""

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from byzsgd.training.schedule import Schedule


def looked_ahead(params: Tensor, momentum: Tensor, rate: float) -> Tensor:
    """θ − η·momentum, fresh."""
    return params.sub(momentum, alpha=rate)


class Moved(NamedTuple):
    """The (d,) model that a server shows after a step, and its velocity v."""

    params: Tensor
    velocity: Tensor


@dataclass(frozen=True)
class ServerMomentum:
    """What each server does with its aggregates; `steps` is how many there are in the run.

    Only for comparison: each server's velocity is its own, and no gather ever brings them together.

    With `nesterov` the model that workers are shown, and that is gathered and saved, is the
    look-ahead ψ_t = θ_t − η_t·v_{t−1}; the last one is θ itself, since nobody takes a gradient
    there.
    """

    factor: float
    nesterov: bool = False
    steps: int = 0

    def step(
        self,
        params: Tensor,
        aggregate: Tensor | None,
        before: Tensor | None,
        t: int,
        rate: Schedule,
    ) -> Moved:
        """From the model shown at step t to the next, with the velocity `before` (None: 0).

        Where nothing could be aggregated (None), neither θ nor v changes. Nothing given is changed.
        """
        velocity = torch.zeros_like(params) if before is None else before
        theta = params.add(velocity, alpha=rate.at(t)) if self.nesterov else params
        if aggregate is not None:
            velocity = aggregate.add(velocity, alpha=self.factor)
            theta = theta.sub(velocity, alpha=rate.at(t))
        if self.nesterov and t + 1 < self.steps:
            return Moved(looked_ahead(theta, velocity, rate.at(t + 1)), velocity)
        return Moved(theta, velocity)
