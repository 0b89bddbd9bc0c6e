"""The synchronous variant against those it was made for: servers that lie or are late."""

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from byzsgd.experiment.config import Experiment
from byzsgd.experiment.record import Run
from byzsgd.experiment.simulate import simulate
from byzsgd.experiment.totals import false_rejections

STEPS = 100
POINTS = 0.03
"""How much of accuracy the lies may cost."""


def trained(folder: Path, **changed: Any) -> Run:
    tables: dict[str, Any] = {
        "name": "survival",
        "seed": 1,
        "cluster": {"servers": 5, "workers": 7, "f_servers": 1, "f_workers": 2},
        "training": {"task": "digits", "batch": 32},
        **changed,
    }
    plan = {"steps": STEPS, "mode": "sync", "deadline_s": 0.05, "patience_s": 0.2}
    run = simulate(Experiment(**{**tables, "plan": plan}), runs=folder)
    assert run.shortfalls() == []
    return run


@pytest.fixture(scope="module")
def honest() -> Iterator[Run]:
    with tempfile.TemporaryDirectory() as folder:
        yield trained(Path(folder))


ALIE = {"worker-0..1": {"attack": "alie"}}
SILENT = {"worker-0": {"attack": "mute"}, "worker-3": {"attack": "sign_flip"}}
STALE = {"worker-0": {"attack": "nan"}, "worker-3": {"attack": "stale"}}


@pytest.mark.parametrize(
    ("attack", "workers"),
    [
        ("scale", ALIE),
        pytest.param("stale", SILENT, marks=pytest.mark.long),
        pytest.param("equivocate", STALE, marks=pytest.mark.long),
        ("mute", ALIE),
        ("nan", {"worker-0..1": {"attack": "scale"}}),
    ],
)
def test_it_learns_what_it_would_have_learnt(
    attack: str, workers: dict[str, Any], honest: Run, tmp_path: Path
) -> None:
    run = trained(tmp_path, byzantine={"server-1": {"attack": attack}, **workers})
    assert run.accuracy > honest.accuracy - POINTS
    assert run.diameter < 1.0, "the models are about 20 long"


def test_a_slow_honest_server_costs_time_and_nothing_else(honest: Run, tmp_path: Path) -> None:
    run = trained(tmp_path, faults={"slow": {"nodes": "server-2", "factor": 20}})
    assert run.accuracy > honest.accuracy - POINTS
    assert run.diameter < 1.0
    assert run.seconds > honest.seconds


def test_where_nobody_lies_about_one_model_in_five_is_rejected(honest: Run) -> None:
    """What the filters cost: f_ps / n_ps of the models that they look at."""
    rejected, judged = false_rejections(honest.events, honest.experiment.honest_servers)
    assert judged >= 7 * STEPS * 0.8
    assert 0.1 < rejected / judged < 0.3
