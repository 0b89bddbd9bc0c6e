"""What nodes of a scenario compute: descent on |x − target|² / 2, by the naive rules."""

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch

from byzsgd.attacks import resolve
from byzsgd.attacks.attack import Setting
from byzsgd.cluster import Cluster, NodeId
from byzsgd.protocol import (
    Change,
    ComputeGradient,
    Contract,
    Contracted,
    Event,
    Forge,
    Forged,
    GradientComputed,
    Machine,
    Model,
    Recompute,
    Send,
    Update,
    Updated,
)
from byzsgd.protocol.effects import Computation
from tests.simulation.scenario.arithmetic import Numbers, mda, mean, median, minus
from tests.simulation.scenario.breaches import Breaches


class Computing:
    """Answers what machines want computed, and has it judged. A worker's default target is 0."""

    def __init__(self, cluster: Cluster, rate: float, breaches: Breaches) -> None:
        self.targets: dict[NodeId, Numbers] = {}
        self._cluster = cluster
        self._rate = rate
        self._breaches = breaches

    def answer(self, node: NodeId, one: Machine, effect: Computation) -> Event:
        match effect:
            case Update():
                return self._update(node, effect)
            case Contract(step, models):
                middle = median(params for _, params in models)
                self._breaches.contracted(node, one, effect, middle)
                return Contracted(step, middle)
            case ComputeGradient(step, params):
                target = self.targets.get(node, (0.0,) * len(params))
                gradient = minus(params, target)
                return GradientComputed(step, gradient, self._change(effect, gradient))
            case Forge():
                return Forged(tuple(self._lie(node, effect, send) for send in effect.sends))
            case Recompute():
                raise AssertionError("nobody is omniscient in a scenario")

    def _change(self, effect: ComputeGradient, gradient: Numbers) -> Change | None:
        """Of the model that was pulled, and of the gradient there, since the step before."""
        if effect.last_params is None or effect.last is None:
            return None
        guess = minus(effect.last_params, effect.last, self._rate)
        return Change(
            math.dist(guess, effect.params),
            math.dist(gradient, effect.last),
            math.dist(guess, effect.last_params),
        )

    def _update(self, node: NodeId, effect: Update) -> Updated:
        senders, vectors = zip(*effect.gradients, strict=True)
        rows = mda(vectors, self._cluster.f_workers)
        chosen = tuple(senders[row] for row in rows)
        result = mean([vectors[row] for row in rows])
        self._breaches.updated(node, effect, chosen, result)
        params = minus(effect.params, result, self._rate)
        return Updated(effect.step, params, chosen if len(chosen) < len(senders) else ())

    def _lie(self, node: NodeId, effect: Forge, send: Send) -> Send:
        """By the attacks that are shipped, in double precision."""
        side = self._cluster.servers if node.role == "server" else self._cluster.workers
        known = torch.tensor(effect.known, dtype=torch.float64)
        f = self._cluster.f_servers if node.role == "server" else self._cluster.f_workers
        lie = resolve(effect.attack).lie(known, Setting(side, f), effect.options)
        return Send(send.to, _with(send.message, lie.tolist()))


def _with(message: Any, numbers: Sequence[float]) -> Any:
    field = "params" if isinstance(message, Model) else "vector"
    return replace(message, **{field: tuple(numbers)})
