"""Computing for all nodes at once gives what each would have computed alone."""

from collections.abc import Sequence

import pytest
import torch
from torch import Tensor

from byzsgd.cluster import NodeId
from byzsgd.compute import Compute
from byzsgd.experiment.build import learnt, settings_of, shard_of
from byzsgd.experiment.config import Experiment
from byzsgd.incoming import Workspace
from byzsgd.protocol import (
    ComputeGradient,
    Contract,
    Contracted,
    GradientComputed,
    Update,
    Updated,
)
from byzsgd.simulation.answers import Together
from byzsgd.training.together import Asked

EXPERIMENT = Experiment(
    name="answers",
    cluster={"servers": 5, "workers": 7, "f_servers": 1, "f_workers": 2},
    plan={"steps": 3},
    training={"task": "byzsgd.experiment.swarm.task:three_groups", "batch": 4, "momentum": 0.9},
)
TASK, FLAT = learnt(EXPERIMENT)
S, W = EXPERIMENT.cluster.server_ids, EXPERIMENT.cluster.worker_ids


def computes(workspace: Workspace | None) -> dict[NodeId, Compute]:
    settings = settings_of(EXPERIMENT)
    return {
        node: Compute(
            node, TASK, FLAT, settings, shard_of(EXPERIMENT, node, TASK), workspace=workspace
        )
        for node in EXPERIMENT.cluster.nodes
    }


class Loop:
    """Counts how many gradients are computed at a time."""

    def __init__(self) -> None:
        self.sizes: list[int] = []

    def __call__(self, asked: Sequence[Asked]) -> list[tuple[Tensor, float]]:
        self.sizes.append(len(asked))
        return [FLAT.gradient(a.params, a.inputs, a.targets, TASK.loss, a.seed) for a in asked]


@pytest.fixture
def together() -> tuple[Together, Loop]:
    rule = settings_of(EXPERIMENT).gradients
    loop = Loop()
    return Together(computes(Workspace(rule, len(W), FLAT.dimension)), loop), loop


def gradients(step: int = 0) -> list[ComputeGradient]:
    generator = torch.Generator().manual_seed(step)
    vectors = torch.randn(len(W), 2, FLAT.dimension, generator=generator)
    return [ComputeGradient(step, params, last) for params, last in vectors]


def test_gradients_that_are_asked_for_are_computed_at_once(
    together: tuple[Together, Loop],
) -> None:
    answers, loop = together
    effects = gradients()
    for ticket, (node, effect) in enumerate(zip(W, effects, strict=True)):
        answers.ask(ticket, node, effect)
    alone = computes(None)
    for ticket in (3, 0, 6, 1, 2, 5, 4):
        event = answers.answer(ticket).event
        twin = alone[W[ticket]].run(effects[ticket]).event
        assert isinstance(event, GradientComputed)
        assert isinstance(twin, GradientComputed)
        assert event.step == 0
        assert torch.equal(event.vector, twin.vector)
    assert loop.sizes == [7]


def test_nobody_computes_for_who_crashed(together: tuple[Together, Loop]) -> None:
    answers, loop = together
    for ticket, effect in enumerate(gradients()[:3]):
        answers.ask(ticket, W[ticket], effect)
    answers.forget(1)
    answers.answer(2)
    answers.forget(0)
    assert loop.sizes == [2]
    assert not answers._open
    assert not answers._ready


def test_servers_that_share_memory_get_what_they_would_have_got_alone(
    together: tuple[Together, Loop],
) -> None:
    """Also where they saw other gradients, in other steps, by turns, and lies to each."""
    answers, _ = together
    alone = computes(None)
    drawn = {step: [e.params for e in gradients(step)] for step in range(3)}
    ticket = 0
    for turn in range(12):
        server, step = S[turn % 5], turn % 3
        quorum = [W[(turn + k) % 7] for k in range(5)]
        inputs = tuple((node, drawn[step][node.index]) for node in sorted(quorum))
        if turn % 4 == 0:  # a liar tells this server something of its own
            inputs = ((inputs[0][0], torch.full((FLAT.dimension,), float(turn))), *inputs[1:])
        effect = Update(step, torch.zeros(FLAT.dimension), inputs)
        answers.ask(ticket := ticket + 1, server, effect)
        ours, theirs = answers.answer(ticket).event, alone[server].run(effect).event
        assert isinstance(ours, Updated)
        assert isinstance(theirs, Updated)
        assert torch.equal(ours.params, theirs.params)
        assert ours.chosen == theirs.chosen


def test_medians_are_those_of_each_node(together: tuple[Together, Loop]) -> None:
    answers, _ = together
    models = tuple(zip(S[:4], torch.randn(4, FLAT.dimension), strict=True))
    effect = Contract(1, models)
    answers.ask(1, W[0], effect)
    event = answers.answer(1).event
    assert isinstance(event, Contracted)
    middle = torch.stack([m for _, m in models]).sort(dim=0).values[1:3].mean(dim=0)
    torch.testing.assert_close(event.params, middle)
