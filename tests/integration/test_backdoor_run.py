"""Liars who train, in real processes: what the evaluator measures, and once more in one process."""

from collections.abc import Iterator
from pathlib import Path

import pytest

import byzsgd
from byzsgd.experiment.config import Experiment
from byzsgd.experiment.replay import replay
from tests.integration.processes import Mark, marked

STEPS = 12


@pytest.fixture
def mark() -> Iterator[Mark]:
    with marked() as mark:
        yield mark


def test_success_is_measured_in_a_real_run_and_its_replay_is_equal(
    mark: Mark, tmp_path: Path
) -> None:
    experiment = Experiment(
        name="poisoned",
        cluster={"servers": 2, "workers": 4, "f_servers": 0, "f_workers": 1},
        plan={"steps": STEPS, "save_every": 4},
        aggregation={"gradients": "median"},
        byzantine={
            "worker-0..1": {"attack": "backdoor", "z": 3.0, "passes": 2},
            "worker-2": {"attack": "label_flip", "from": 3, "until": 7},
        },
    )
    run = byzsgd.run(experiment, tmp_path, deliveries=True)
    assert (run.status, run.steps) == ("finished", STEPS)
    measured = [line["backdoor"] for line in run.evaluations]
    assert measured
    assert all(0 <= share <= 1 for share in measured)
    assert run.result["backdoor"] == run.backdoor == measured[-1]
    poisoned = [line["step"] for line in run.measures("worker-2") if "poisoned" in line]
    assert len(poisoned) == 4
    assert replay(run.path).equal
