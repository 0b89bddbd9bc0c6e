"""Attacks on data: the gradient of other examples, in the steps of the lie and in no other."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from byzsgd.aggregators import AGGREGATORS
from byzsgd.attacks import forge, resolve
from byzsgd.attacks.poison import Poison
from byzsgd.attacks.window import Window
from byzsgd.cluster import Cluster
from byzsgd.compute import Compute, Settings
from byzsgd.errors import ConfigError
from byzsgd.experiment.config import Experiment
from byzsgd.experiment.poisons import poison_of
from byzsgd.experiment.simulate import simulate
from byzsgd.observe import Outcome
from byzsgd.protocol import ComputeGradient, GradientComputed
from byzsgd.training.batches import batch_indices
from byzsgd.training.examples import Examples
from byzsgd.training.flat import flat_model
from byzsgd.training.gradient import GradientSettings
from byzsgd.training.schedule import Schedule
from byzsgd.training.task import Task
from tests.world import workers

W = workers(3)
CLASSES = 5
SEED = 3
BATCH = 6
SHARD = torch.arange(2, 20)
INPUTS = torch.randn(24, 4, generator=torch.Generator().manual_seed(1))
TARGETS = torch.arange(24) % CLASSES
FLIP = resolve("label_flip")


def model() -> nn.Module:
    return nn.Sequential(nn.Linear(4, 7), nn.Dropout(0.3), nn.Linear(7, CLASSES))


def task_of(targets: Tensor) -> Task:
    examples = Examples(INPUTS, targets)
    return Task("classes", model, cross_entropy, examples, examples)


def compute(task: Task, poison: Poison | None = None) -> Compute:
    settings = Settings(
        cluster=Cluster(servers=1, workers=3, f_servers=0, f_workers=0),
        seed=SEED,
        batch=BATCH,
        gradient=GradientSettings(momentum=0.5, weight_decay=0.1, clip=1.0),
        rate=Schedule(0.1),
        gradients=AGGREGATORS["average"],
        models=AGGREGATORS["median"],
    )
    return Compute(W[1], task, flat_model(task.model), settings, SHARD, lambda: 0.0, poison=poison)


def computed(node: Compute, step: int) -> tuple[Tensor, Outcome]:
    params = flat_model(model, 5).vector()
    outcome = node.run(ComputeGradient(step, params, last=torch.ones_like(params)))
    assert isinstance(outcome.event, GradientComputed)
    assert isinstance(outcome.event.vector, Tensor)
    return outcome.event.vector, outcome


def an_experiment(worker: dict[str, Any] | None = None, **byzantine: Any) -> Experiment:
    if worker:
        byzantine["worker-0"] = worker
    return Experiment(
        name="poisoned",
        cluster={"servers": 1, "workers": 3, "f_servers": 0, "f_workers": 0},
        plan={"steps": 6},
        aggregation={"gradients": "average"},
        byzantine=byzantine,
    )


def test_label_flip_is_an_honest_gradient_of_turned_around_labels() -> None:
    """Of all that a worker submits: with dropout, momentum, decay and clipping."""
    liar = compute(task_of(TARGETS), Poison(FLIP, CLASSES))
    mistaken = compute(task_of(CLASSES - 1 - TARGETS))
    for step in range(4):
        lie, _ = computed(liar, step)
        assert torch.equal(lie, computed(mistaken, step)[0])
        assert not torch.equal(lie, computed(compute(task_of(TARGETS)), step)[0])


def test_outside_its_steps_a_liar_is_honest_and_inside_them_it_counts_the_false_examples() -> None:
    liar = compute(task_of(TARGETS), Poison(FLIP, CLASSES, window=Window(2, 4)))
    honest = compute(task_of(TARGETS))
    for step in range(6):
        vector, outcome = computed(liar, step)
        assert torch.equal(vector, computed(honest, step)[0]) == (step not in (2, 3))
        drawn = TARGETS[SHARD[batch_indices(SEED, 1, step, len(SHARD), BATCH)]]
        middle = int((drawn == CLASSES // 2).sum())  # its label stays
        assert outcome.notes.get("poisoned") == (BATCH - middle if step in (2, 3) else None)


def test_no_example_is_changed_for_good() -> None:
    task = task_of(TARGETS.clone())
    computed(compute(task, Poison(FLIP, CLASSES)), 0)
    assert torch.equal(task.training.targets, TARGETS)


def test_only_liars_whose_attack_is_on_data_are_poisoned() -> None:
    experiment = an_experiment(
        {"attack": "label_flip", "from": 2, "until": 5}, **{"worker-1": {"attack": "nan"}}
    )
    task = task_of(TARGETS)
    poison = poison_of(experiment, W[0], task)
    assert poison == Poison(FLIP, CLASSES, {}, Window(2, 5))
    assert poison_of(experiment, W[1], task) is None
    assert poison_of(experiment, W[2], task) is None


@pytest.mark.parametrize("attack", ["label_flip", "backdoor"])
@pytest.mark.parametrize(
    "targets",
    [TARGETS.float(), TARGETS.bool(), TARGETS - 1, TARGETS.view(24, 1)],
    ids=["float", "bool", "negative", "shape"],
)
def test_targets_that_are_no_classes_are_refused(targets: Tensor, attack: str) -> None:
    task = replace(task_of(TARGETS), training=Examples(INPUTS, targets))
    with pytest.raises(ConfigError, match=rf"attack {attack} needs a task .* whole numbers ≥ 0"):
        poison_of(an_experiment({"attack": attack}), W[0], task)


@pytest.mark.parametrize("attack", ["label_flip", "backdoor"])
def test_a_server_has_no_data_to_lie_with(attack: str) -> None:
    with pytest.raises(ConfigError, match=rf"attack {attack} is one of workers, and server-0"):
        an_experiment(**{"server-0": {"attack": attack}})


def test_there_is_no_vector_to_forge() -> None:
    with pytest.raises(ConfigError, match=r"'label_flip' changes examples"):
        forge("label_flip", torch.ones(2, 3))


def test_a_run_records_how_many_examples_were_false(tmp_path: Path) -> None:
    experiment = an_experiment({"attack": "label_flip", "from": 2, "until": 4})
    run = simulate(experiment, tmp_path)
    assert run.status == "finished"
    noted = [line["poisoned"] for line in run.measures("worker-0") if "poisoned" in line]
    assert noted == [experiment.training.batch] * 2  # of ten classes none stays
    assert not any("poisoned" in line for line in run.measures("worker-1"))
