"""Lies about models and messages in virtual time, with every checker on.

By a server and two workers at once, in both modes.
"""

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from byzsgd.experiment.config import Experiment
from byzsgd.experiment.record import Run
from byzsgd.experiment.simulate import simulate
from byzsgd.experiment.swarm.task import NAME

STEPS = 80
LIES: dict[str, dict[str, Any]] = {
    "delayed": {},
    "rollback": {"step": 3},
    "drift": {"speed": 0.05},
    "drift back": {"attack": "drift", "speed": 0.05, "toward": "back"},
    "slow": {"delay_s": 0.02},
    "slower": {"attack": "slow", "delay_s": 2.0},
    "malformed": {},
    "flood": {},
    "mute": {},
}
EVERYDAY = [("delayed", "async"), ("rollback", "sync"), ("drift", "sync"), ("slow", "async")]


def trained(folder: Path, mode: str, **changed: Any) -> Run:
    tables: dict[str, Any] = {
        "name": "words",
        "seed": 3,
        "cluster": {"servers": 5, "workers": 7, "f_servers": 1, "f_workers": 2},
        "training": {"task": NAME, "batch": 8},
        "plan": {"steps": STEPS, "mode": mode, "deadline_s": 0.05, "patience_s": 0.2},
        **changed,
    }
    run = simulate(Experiment(**tables), runs=folder)
    assert run.shortfalls() == []
    assert run.status == "finished"
    return run


@pytest.fixture(scope="module")
def honest() -> Iterator[Run]:
    with tempfile.TemporaryDirectory() as folder:
        yield trained(Path(folder), "async")


@pytest.mark.parametrize(
    ("lie", "mode"),
    [
        pytest.param(lie, mode, marks=() if (lie, mode) in EVERYDAY else pytest.mark.long)
        for lie in LIES
        for mode in ("async", "sync")
    ],
)
def test_the_honest_learn_all_the_same(lie: str, mode: str, honest: Run, tmp_path: Path) -> None:
    attack = {"attack": lie, **LIES[lie]}
    run = trained(tmp_path, mode, byzantine={"server-1": attack, "worker-0..1": attack})
    assert run.accuracy > honest.accuracy - 0.05
    assert run.diameter < 0.2, "the models are about 2 long"
    if lie != "flood":  # which says the truth as well
        assert all(totals(run, liar)["lies"]["changed"] > 0 for liar in ("server-1", "worker-0"))


def totals(run: Run, node: str) -> dict[str, Any]:
    [found] = [e for e in run.events if e["event"] == "totals" and e["node"] == node]
    return found


def refusals(run: Run, node: str) -> dict[str, dict[str, int]]:
    return dict(totals(run, node).get("refused", {}))


@pytest.mark.parametrize("mode", ["async", "sync"])
def test_what_is_malformed_is_counted_and_only_that(mode: str, tmp_path: Path) -> None:
    liars = {"server-1": {"attack": "malformed"}, "worker-0": {"attack": "malformed", "until": 40}}
    run = trained(tmp_path, mode, byzantine=liars)
    for node in ("server-0", "server-3", "worker-4"):
        counts = refusals(run, node)
        malformed = {sender for sender, why in counts.items() if "malformed" in why}
        expected = {"server-1", "worker-0"} if node.startswith("server") else {"server-1"}
        assert malformed == expected
    assert refusals(run, "server-0")["worker-0"]["malformed"] == 40
