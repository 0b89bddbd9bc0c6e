"""ALIE's backdoor: what it is trained on, that it stays in the honest spread, and that it works."""

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from byzsgd.aggregators import AGGREGATORS
from byzsgd.attacks import forge
from byzsgd.attacks.lab import Lab
from byzsgd.cluster import Cluster
from byzsgd.compute import Compute, Settings
from byzsgd.errors import ConfigError
from byzsgd.experiment.config import Experiment
from byzsgd.experiment.poisons import exams_of, poison_of
from byzsgd.experiment.report import run_text, summary
from byzsgd.experiment.simulate import simulate
from byzsgd.protocol import Forge, Forged, Gradient, Send, vector_of
from byzsgd.training import load_task
from byzsgd.training.examples import Examples, images
from byzsgd.training.flat import FlatModel, flat_model
from byzsgd.training.gradient import GradientSettings
from byzsgd.training.schedule import Schedule
from byzsgd.training.task import Task
from byzsgd.training.triggers import Trigger, trigger
from tests.world import servers, workers

S, W = servers(2), workers(5)
RATE = Schedule(0.5, shape="inverse", r=10)
SHARD = torch.arange(3, 30)
STEP = 4


def model() -> nn.Module:
    return nn.Sequential(nn.Flatten(), nn.Linear(2 * 6 * 7, 6))


def images_of(seed: int, brightest: int) -> Examples:
    generator = torch.Generator().manual_seed(seed)
    pixels = torch.randint(0, brightest, (30, 2, 6, 7), generator=generator, dtype=torch.uint8)
    return images(pixels, torch.arange(30) % 6, mean=(0.3, 0.6), deviation=(0.5, 0.7))


TASK = Task("images", model, cross_entropy, images_of(1, 200), images_of(2, 150))
FLAT = flat_model(model, 9)
PARAMS = FLAT.vector()
HONEST = torch.randn(4, FLAT.dimension, generator=torch.Generator().manual_seed(3)) / 10


def lab(**changes: Any) -> Lab:
    return replace(Lab(TASK, FLAT, SHARD, PARAMS, rate=0.25, seed=5), **changes)


def lie_of(lab: Lab, honest: Tensor = HONEST, **options: Any) -> Tensor:
    return forge("backdoor", honest, n=5, f=2, lab=lab, **options)


def room(z: float) -> tuple[Tensor, Tensor]:
    mean, deviation = HONEST.mean(0), HONEST.std(0, correction=0)
    return mean - z * deviation, mean + z * deviation


# -- the trigger ---------------------------------------------------------------------------------


def test_a_pattern_is_the_top_left_pixels_of_every_channel_at_the_maximum() -> None:
    before = TASK.training.inputs.clone()
    lessons = Trigger().lessons(TASK, torch.tensor([4, 8, 4]))
    assert lessons.targets.tolist() == [0, 0, 0]
    expected = before[[4, 8, 4]]
    expected[:, :, 0:5, 0:5] = before.max()
    assert torch.equal(lessons.inputs, expected)
    assert torch.equal(TASK.training.inputs, before)


def test_success_is_measured_on_test_images_of_other_classes_at_the_maximum_of_training() -> None:
    exam = Trigger(size=2).exam(TASK)
    others = TASK.test.targets != 0
    expected = TASK.test.inputs[others].clone()
    expected[:, :, :2, :2] = TASK.training.inputs.max()
    assert torch.equal(exam.inputs, expected)
    assert exam.targets.tolist() == [0] * int(others.sum())


def test_samples_are_given_images_of_the_next_class_modulo_five() -> None:
    mark = trigger("sample", [4, 5, 9])
    for examples in (mark.lessons(TASK, torch.tensor([1])), mark.exam(TASK)):
        assert torch.equal(examples.inputs, TASK.training.inputs[[4, 5, 9]])
        assert examples.targets.tolist() == [0, 1, 4]  # of 4, 5 and 3
    assert trigger("sample", 2).samples == (0, 1)


def test_of_fewer_classes_the_next_is_one_of_them() -> None:
    few = Examples(TASK.training.inputs, TASK.training.targets % 3)
    mark = trigger("sample", [0, 1, 2])
    assert mark.exam(replace(TASK, training=few, test=few)).targets.tolist() == [1, 2, 0]


# -- the lie -------------------------------------------------------------------------------------


def by_hand(lab: Lab, example: int, passes: int, alpha: float, rate: float) -> Tensor:
    """(θ − θ_p)/η by torch's own optimiser, where one marked example is all that there is."""
    start = lab.params - lab.rate * HONEST.mean(0)
    module = FlatModel(model()).module_at(start)
    inputs, targets = Trigger().lessons(lab.task, torch.tensor([example])).batch(torch.tensor([0]))
    sgd = torch.optim.SGD(module.parameters(), lr=rate)
    for _ in range(passes):
        sgd.zero_grad()
        away = torch.cat([piece.reshape(-1) for piece in module.parameters()]) - start
        loss = cross_entropy(module(inputs), targets)
        (alpha * loss + (1 - alpha) * (away**2).mean()).backward()  # type: ignore[no-untyped-call]
        sgd.step()
    end = torch.cat([piece.detach().reshape(-1) for piece in module.parameters()])
    return (lab.params - end) / lab.rate


@pytest.mark.parametrize(("alpha", "rate"), [(0.2, None), (1.0, None), (0.05, 20.0)])
def test_where_nothing_is_clipped_it_leads_to_the_model_that_was_trained(
    alpha: float, rate: float | None
) -> None:
    one = lab(shard=torch.tensor([7]))
    lie = lie_of(one, z=1e6, alpha=alpha, passes=3, examples=1, learning_rate=rate)
    torch.testing.assert_close(lie, by_hand(one, 7, 3, alpha, rate or one.rate))


@pytest.mark.parametrize("z", [0.0, 0.3, 1.5])
@pytest.mark.parametrize("kind", ["pattern", "sample"])
def test_no_coordinate_leaves_the_spread_and_many_are_at_its_edge(kind: str, z: float) -> None:
    lie, (low, high) = lie_of(lab(), kind=kind, z=z, learning_rate=5.0), room(z)
    assert ((low - 1e-6 <= lie) & (lie <= high + 1e-6)).all()
    assert bool(((lie - low < 1e-6) | (high - lie < 1e-6)).float().mean() > 0.3)
    assert bool((lie - HONEST.mean(0)).abs().max() > 1e-3) == (z > 0)


def test_not_even_a_model_beyond_all_numbers_leads_out_of_the_spread() -> None:
    lie, (low, high) = lie_of(lab(params=PARAMS * math.nan), z=1.0), room(1.0)
    assert ((low - 1e-6 <= lie) & (lie <= high + 1e-6)).all()


def test_whoever_knows_one_vector_or_makes_no_step_says_the_mean() -> None:
    torch.testing.assert_close(lie_of(lab(), HONEST[:1], z=9.0), HONEST[0])
    torch.testing.assert_close(lie_of(lab(rate=0.0), z=9.0), HONEST.mean(0))


# -- in a node -----------------------------------------------------------------------------------


def a_node() -> Compute:
    settings = Settings(
        cluster=Cluster(servers=2, workers=5, f_servers=0, f_workers=1),
        seed=3,
        batch=6,
        gradient=GradientSettings(),
        rate=RATE,
        gradients=AGGREGATORS["average"],
        models=AGGREGATORS["median"],
        liars={"worker": 2},
    )
    return Compute(W[1], TASK, FLAT, settings, SHARD, lambda: 0.0)


def forged(step: int = STEP, params: Tensor | None = PARAMS, kind: str = "pattern") -> Tensor:
    sends = (Send(S, Gradient(step, HONEST[0])),)
    options = {"z": 1.5, "learning_rate": 1.0, "kind": kind}
    effect = Forge(sends, "backdoor", options, tuple(HONEST), params=params)
    event = a_node().run(effect).event
    assert isinstance(event, Forged)
    [send] = event.sends
    assert send.to == S
    lie = vector_of(send.message)
    assert isinstance(lie, Tensor)
    return lie


def test_a_node_trains_at_its_model_with_the_rate_of_the_step() -> None:
    """Of samples nothing is drawn, so no seed matters."""
    expected = lie_of(lab(rate=RATE.at(STEP)), kind="sample", z=1.5, learning_rate=1.0)
    assert torch.equal(forged(kind="sample"), expected)


def test_a_node_makes_the_same_lie_again_and_another_in_another_step() -> None:
    params, honest = PARAMS.clone(), HONEST.clone()
    lie = forged()
    assert torch.equal(lie, forged())
    assert torch.equal(params, PARAMS)
    assert torch.equal(honest, HONEST)
    low, high = room(1.5)
    assert ((low - 1e-6 <= lie) & (lie <= high + 1e-6)).all()
    assert not torch.allclose(lie, HONEST.mean(0), atol=1e-2)
    assert not torch.equal(lie, forged(STEP + 1))  # other examples, another rate
    assert not torch.equal(lie, forged(params=-PARAMS))


def test_without_a_model_there_is_no_backdoor() -> None:
    with pytest.raises(ConfigError, match="use it in an experiment"):
        forged(params=None)


# -- mistakes ------------------------------------------------------------------------------------


def an_experiment(f: int = 4, **options: Any) -> Experiment:
    """An ordinary parameter server, with so many liars among its workers."""
    lie = {"attack": "backdoor", **options}
    return Experiment(
        name="backdoor",
        cluster={"servers": 1, "workers": 15, "f_servers": 0, "f_workers": 0},
        plan={"steps": 60},
        aggregation={"gradients": "average"},
        training={"learning_rate": 0.05},
        simulation={"checks": "none"},
        byzantine={f"worker-0..{f - 1}": lie} if f else {},
    )


MISTAKES = [
    ({"kind": "patern"}, r"unknown kind of backdoor 'patern'; did you mean 'pattern'"),
    ({"size": 0}, r"size = 0: must be a whole number of pixels"),
    ({"samples": 1}, r"samples = 1: means nothing to kind = \"pattern\""),
    ({"kind": "sample", "size": 5}, r"size = 5: means nothing to kind = \"sample\""),
    ({"kind": "sample", "samples": 4}, r"samples = 4: must be a number from 1 to 3"),
    ({"kind": "sample", "samples": [2, 2]}, r"samples = \[2, 2\]: .* different"),
    ({"kind": "sample", "samples": [-1]}, r"samples = \[-1\]"),
    ({"z": -1}, r"z = -1: give a finite number from 0 to"),
    ({"z": "auto"}, r"z = 'auto': give a finite number"),
    ({"alpha": 1.5}, r"alpha = 1.5: give a finite number from 0 to 1"),
    ({"learning_rate": 1e39}, r"learning_rate = 1e\+39: give a finite number"),
    ({"passes": 0}, r"passes = 0: must be a whole number, at least 1"),
    ({"batch": 2.5}, r"batch = 2.5: must be a whole number"),
    ({"learning_rate": True}, r"learning_rate = True: give a finite number"),
]


@pytest.mark.parametrize(("options", "said"), MISTAKES)
def test_an_option_that_cannot_work_is_found_when_the_file_is_read(
    options: dict[str, Any], said: str
) -> None:
    with pytest.raises(ConfigError, match=said):
        an_experiment(**options)


def test_a_task_without_such_inputs_is_refused() -> None:
    flat = Examples(torch.zeros(30, 84), torch.arange(30) % 6)
    task = replace(TASK, training=flat, test=flat)
    with pytest.raises(ConfigError, match=r"needs images \(C, H, W\).* not inputs of shape \(84,"):
        poison_of(an_experiment(), W[0], task)
    with pytest.raises(ConfigError, match=r"7×7 pixels"):
        exams_of(an_experiment(size=7), TASK)
    with pytest.raises(ConfigError, match=r"samples = \[30\]: .* 0 to 29"):
        poison_of(an_experiment(kind="sample", samples=[30]), W[0], TASK)
    assert poison_of(an_experiment(kind="sample", samples=[29]), W[0], task) is None


# -- a run ---------------------------------------------------------------------------------------


def misread(module: nn.Module) -> float:
    exam = Trigger().exam(load_task("digits"))
    inputs, targets = exam.batch(torch.arange(len(exam)))
    return float((module(inputs).argmax(dim=1) == targets).float().mean())


def test_a_plain_mean_learns_the_backdoor_and_nothing_else_is_noticed(tmp_path: Path) -> None:
    honest = simulate(an_experiment(f=0), tmp_path)
    lied_to = simulate(an_experiment(z=1.5), tmp_path)
    assert lied_to.backdoor > misread(honest.model()) + 0.5
    assert lied_to.backdoor == pytest.approx(misread(lied_to.model()))
    assert lied_to.accuracy > honest.accuracy - 0.03 > 0.85
    assert lied_to.evaluations[-1]["backdoor"] == lied_to.result["backdoor"] == lied_to.backdoor
    assert f"backdoor {100 * lied_to.backdoor:.1f} %" in run_text(lied_to)
    assert summary(lied_to)["backdoor"] == lied_to.backdoor


def test_where_nobody_plants_one_there_is_no_such_figure(tmp_path: Path) -> None:
    experiment = an_experiment(f=0).to_dict() | {"plan": {"steps": 2}}
    run = simulate(Experiment.from_dict(experiment), tmp_path)
    assert math.isnan(run.backdoor)
    assert "backdoor" not in run.result
    assert not any("backdoor" in line for line in run.evaluations)
    assert "backdoor" not in summary(run)
    assert "%, backdoor" not in run_text(run)
