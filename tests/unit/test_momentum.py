"""Momentum of workers and of servers, classic and Nesterov's, against the definitions as loops."""

import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from byzsgd.errors import ConfigError
from byzsgd.experiment.build import learnt, settings_of, shard_of
from byzsgd.experiment.config import Experiment
from byzsgd.experiment.plan import describe
from byzsgd.experiment.simulate import simulate
from byzsgd.protocol import ComputeGradient, GradientComputed, Update, Updated
from byzsgd.training.batches import batch_indices
from byzsgd.training.examples import Examples
from byzsgd.training.momentum import ServerMomentum
from byzsgd.training.schedule import Schedule
from byzsgd.training.task import Task
from tests.unit.test_compute import S, W, compute, random_vector

STEPS, MU, ETA, R, DECAY, BATCH, WORKERS = 7, 0.8, 0.2, 5.0, 0.1, 4, 3
INPUTS = torch.randn(60, 2, generator=torch.Generator().manual_seed(1))
TARGETS = torch.randn(60, generator=torch.Generator().manual_seed(2))


def line() -> Task:
    examples = Examples(INPUTS, TARGETS)
    model = lambda: nn.Linear(2, 1)  # noqa: E731
    return Task("line", model, squared, examples, examples, metric=lambda outputs, targets: 0.0)


def squared(outputs: Tensor, targets: Tensor) -> Tensor:
    return ((outputs[:, 0] - targets) ** 2).mean()


def experiment(mode: str = "async", **training: Any) -> Experiment:
    rate = {"kind": "inverse", "rate": ETA, "r": R}
    common = {"task": "tests.unit.test_momentum:line", "batch": BATCH, "learning_rate": rate}
    return Experiment(
        name="momentum",
        cluster={"servers": 1, "workers": WORKERS},
        plan={"steps": STEPS, "mode": mode, "gather_every": 3, "window": 5},
        aggregation={"gradients": "average"},
        training={**common, "momentum": MU, "weight_decay": DECAY, **training},
    )


def rate(t: int) -> float:
    return ETA * R / (t + R)


Gradient = Callable[[int, int, list[float]], list[float]]


def gradient_of(given: Experiment) -> Gradient:
    """∇(loss + decay/2 ‖θ‖²) of a worker's batch of step t, in Python's numbers."""
    task, _ = learnt(given)
    shards = [shard_of(given, worker, task) for worker in given.cluster.worker_ids]

    def gradient(i: int, t: int, theta: list[float]) -> list[float]:
        shard = shards[i]
        assert shard is not None
        drawn = shard[batch_indices(given.seed, i, t, len(shard), BATCH)].tolist()
        total = [DECAY * x for x in theta]
        for example in drawn:
            x0, x1 = INPUTS[example].tolist()
            error = theta[0] * x0 + theta[1] * x1 + theta[2] - float(TARGETS[example])
            total = [g + 2 * error * x / BATCH for g, x in zip(total, (x0, x1, 1.0), strict=True)]
        return total

    return gradient


def plus(a: list[float], b: list[float], weight: float = 1.0) -> list[float]:
    return [x + weight * y for x, y in zip(a, b, strict=True)]


def mean(vectors: list[list[float]]) -> list[float]:
    return [sum(column) / len(vectors) for column in zip(*vectors, strict=True)]


def at_worker(theta: list[float], gradient: Gradient, nesterov: bool) -> list[float]:
    """G_i = μ G_i + ∇_i at θ, or at θ − η G_i; θ = θ − η mean G."""
    sums = [[0.0] * 3 for _ in range(WORKERS)]
    for t in range(STEPS):
        where = [plus(theta, g, -rate(t)) if nesterov else theta for g in sums]
        sums = [plus(gradient(i, t, where[i]), sums[i], MU) for i in range(WORKERS)]
        theta = plus(theta, mean(sums), -rate(t))
    return theta


def at_server(theta: list[float], gradient: Gradient, nesterov: bool) -> list[float]:
    """With v = μ v + mean ∇ at θ, or at θ − η v; θ = θ − η v."""
    v = [0.0] * 3
    for t in range(STEPS):
        where = plus(theta, v, -rate(t)) if nesterov else theta
        v = plus(mean([gradient(i, t, where) for i in range(WORKERS)]), v, MU)
        theta = plus(theta, v, -rate(t))
    return theta


@pytest.mark.parametrize("mode", ["async", "sync"])
@pytest.mark.parametrize("nesterov", [False, True])
@pytest.mark.parametrize("at", ["worker", "server"])
def test_a_run_ends_where_the_definition_does(
    at: str, nesterov: bool, mode: str, tmp_path: Path
) -> None:
    given = experiment(mode, momentum_at=at, nesterov=nesterov)
    theta: list[float] = learnt(given)[1].vector().tolist()
    twin = at_worker if at == "worker" else at_server
    expected = twin(theta, gradient_of(given), nesterov)
    run = simulate(given, runs=tmp_path)
    got = nn.utils.parameters_to_vector(run.model().parameters())
    torch.testing.assert_close(got, torch.tensor(expected), rtol=1e-4, atol=1e-5)


def test_a_filter_that_remembers_and_a_velocity_do_not_disturb_each_other(tmp_path: Path) -> None:
    """With a threshold that nobody exceeds the filter is an average."""
    everybody = {"gradients": {"name": "safeguard", "window": 4, "h0": 1e9}}
    given = Experiment(
        **experiment(momentum_at="server", nesterov=True).to_dict() | {"aggregation": everybody}
    )
    theta: list[float] = learnt(given)[1].vector().tolist()
    expected = at_server(theta, gradient_of(given), nesterov=True)
    got = nn.utils.parameters_to_vector(simulate(given, runs=tmp_path).model().parameters())
    torch.testing.assert_close(got, torch.tensor(expected), rtol=1e-4, atol=1e-5)


def test_the_four_are_not_the_same() -> None:
    gradient = gradient_of(experiment())
    theta = [0.3, -0.2, 0.1]
    ends = [twin(theta, gradient, n) for twin in (at_worker, at_server) for n in (False, True)]
    assert math.dist(ends[0], ends[2]) < 1e-9, "a mean is linear: no matter where it is taken"
    assert min(math.dist(ends[0], ends[1]), math.dist(ends[1], ends[3])) > 1e-4


def test_ahead_of_a_model_the_change_still_is_that_of_the_model() -> None:
    """Filters judge what a server has shown, not where this worker's momentum would lead to."""
    settings = experiment(nesterov=True).training.gradient
    params, last, before = random_vector(1), random_vector(2), random_vector(3)
    node = compute(W[0], gradient=settings)
    event = node.run(ComputeGradient(4, params, last, before)).event
    assert isinstance(event, GradientComputed)
    assert event.change
    guess = before - node.settings.rate.at(3) * last
    assert event.change.model == pytest.approx(float((guess - params).norm()), rel=1e-5)
    assert event.change.gradient == pytest.approx(float((event.vector - last).norm()), rel=1e-5)
    ahead = params - node.settings.rate.at(4) * last
    plain = compute(W[0], gradient=experiment().training.gradient)
    there = plain.run(ComputeGradient(4, ahead, last)).event
    assert isinstance(there, GradientComputed)
    torch.testing.assert_close(event.vector, there.vector)


# --- where an update is refused ------------------------------------------------------------------


@pytest.mark.parametrize("nesterov", [False, True])
def test_a_refused_update_moves_neither_model_nor_velocity(nesterov: bool) -> None:
    momentum, falling = ServerMomentum(MU, nesterov, steps=9), Schedule(0.5, "inverse", r=3)
    shown, velocity = random_vector(1), random_vector(2)
    kept = (shown.clone(), velocity.clone())
    after = momentum.step(shown, None, velocity, 4, falling)
    assert torch.equal(after.velocity, velocity)
    ahead = (falling.at(4) - falling.at(5)) * velocity if nesterov else torch.zeros(3)
    torch.testing.assert_close(after.params, shown + ahead)
    last = momentum.step(shown, None, velocity, 8, falling).params
    expected = shown + falling.at(8) * velocity if nesterov else shown
    torch.testing.assert_close(last, expected)
    assert torch.equal(shown, kept[0])
    assert torch.equal(velocity, kept[1])


def test_of_lies_alone_a_server_learns_nothing() -> None:
    momentum = settings_of(experiment(momentum_at="server")).server_momentum
    node = compute(S[0])
    node.settings = replace(node.settings, server_momentum=momentum)
    velocity, params = random_vector(2), random_vector(1)
    lies = tuple((worker, torch.full((3,), math.nan)) for worker in W[:5])
    outcome = node.run(Update(3, params, lies, {"velocity": velocity}))
    assert isinstance(outcome.event, Updated)
    assert torch.equal(outcome.event.params, params)
    assert torch.equal(outcome.event.memory["velocity"], velocity)
    assert outcome.measures["refused_updates"] == 1


# --- in an experiment's file ---------------------------------------------------------------------


@pytest.mark.parametrize("idle", [{"nesterov": True}, {"momentum_at": "server"}])
def test_nothing_is_without_effect(idle: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=f"training.{next(iter(idle))} = .*: has no effect while"):
        experiment(momentum=0.0, **idle)


def test_replicas_with_a_velocity_each_are_a_warning() -> None:
    alone = experiment(momentum_at="server")
    assert alone.warnings == ()
    several = alone.to_dict() | {"cluster": {"servers": 5, "workers": 3, "f_servers": 1}}
    (warning,) = Experiment(**several).warnings
    assert "each of the 5 servers has a velocity of its own" in warning
    assert warning in describe(Experiment(**several), dimension=3).warnings
    at_workers = several | {"training": {"momentum": 0.9}}
    assert Experiment(**at_workers).warnings == ()


def test_a_velocity_takes_memory_at_servers_only() -> None:
    plain = describe(experiment(), dimension=1000).memory
    more = describe(experiment(momentum_at="server"), dimension=1000).memory
    assert more[0].workspace - plain[0].workspace == 2 * 4 * 1000
    assert more[1] == plain[1]
