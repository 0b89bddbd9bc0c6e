"""Runs in virtual time: what they find out about their liars, and that they only look."""

from pathlib import Path
from typing import Any

import pytest

import byzsgd
from byzsgd.experiment.config import Experiment
from byzsgd.experiment.files import SUSPICION

TABLES: dict[str, Any] = {
    "name": "found",
    "seed": 3,
    "cluster": {"servers": 5, "workers": 7, "f_servers": 1, "f_workers": 2},
    "plan": {"steps": 8, "gather_every": 2, "patience_s": 0.1},
    "training": {"task": "byzsgd.experiment.swarm.task:three_groups", "batch": 8},
}
LOSSY: dict[str, Any] = {
    "loss": 0.05,
    "duplicate": 0.1,
    "crash": [{"node": "server-1", "from": 0.01, "until": 0.02}],
}


def simulated(runs: Path, byzantine: dict[str, Any] | None = None, **changed: Any) -> byzsgd.Run:
    tables = {**TABLES, "byzantine": byzantine or {}, **changed}
    return byzsgd.simulate(Experiment(**tables), runs=runs)


def proven(run: byzsgd.Run) -> dict[str, dict[str, int]]:
    rows = run.suspicion
    return {row["node"]: row["counts"] for row in rows if row["proofs"]}


def test_who_tells_everybody_something_else_is_found_out(tmp_path: Path) -> None:
    run = simulated(tmp_path, {"server-0": {"attack": "equivocate"}})
    found = proven(run)
    assert list(found) == ["server-0"]
    assert found["server-0"]["equivocating"] > 4
    assert run.suspicion[0]["node"] == "server-0"
    worker = simulated(tmp_path, {"worker-2": {"attack": "equivocate"}})
    assert list(proven(worker)) == ["worker-2"]


@pytest.mark.parametrize(
    "changed",
    [
        {},
        {"plan": {"steps": 8, "mode": "sync", "deadline_s": 0.5, "gather_every": 3}},
        {"plan": {"steps": 8, "gather_every": 2, "gather_rounds": 2, "patience_s": 0.1}},
        {"network": {"dtype": "bfloat16"}},
        {"faults": LOSSY},
    ],
    ids=["async", "sync", "rounds", "bfloat16", "lossy"],
)
def test_nothing_is_ever_proven_against_the_honest(tmp_path: Path, changed: Any) -> None:
    run = simulated(tmp_path, **changed)
    assert run.status == "finished"
    assert proven(run) == {}
    liars = {"worker-0": {"attack": "sign_flip"}, "server-4": {"attack": "equivocate"}}
    assert set(proven(simulated(tmp_path, liars, **changed))) <= {"server-4"}


@pytest.mark.parametrize(
    "lie",
    [{"attack": "scale", "factor": 1.0}, {"attack": "sign_flip", "from": 100}],
    ids=["scaled by 1", "too late"],
)
def test_an_attack_that_changes_nothing_is_warned_of(tmp_path: Path, lie: dict[str, Any]) -> None:
    run = simulated(tmp_path, {"worker-0": lie})
    before, after = run.warnings
    assert before.endswith("says nothing but the truth")
    assert after.startswith(f"attack {lie['attack']} of worker-0 had no effect")
    assert [row["changed"] for row in run.potency] == [0]


def test_an_attack_that_does_something_is_not_warned_of(tmp_path: Path) -> None:
    run = simulated(tmp_path, {"worker-0": {"attack": "sign_flip"}, "worker-1": {"attack": "mute"}})
    assert run.warnings == ()
    flipped, mute = run.potency
    assert flipped["changed"] == flipped["words"] == 8
    assert flipped["cosine"] < 0
    assert (flipped["own_norm"], flipped["own_cosine"]) == (1.0, pytest.approx(-1))
    assert 0 < flipped["aggregated"] <= flipped["aggregations"]
    assert (mute["aggregated"], mute["changed"]) == (0, mute["words"])


def test_who_looks_changes_nothing(tmp_path: Path) -> None:
    liars = {"server-0": {"attack": "equivocate"}, "worker-0": {"attack": "alie"}}
    seen = simulated(tmp_path, liars)
    unseen = simulated(tmp_path, liars, record={"resilience": False})
    assert seen.digest == unseen.digest
    assert seen.experiment_digest == unseen.experiment_digest
    assert not (unseen.path / SUSPICION).exists()


def test_momentum_brings_gradients_within_the_bound_more_often(tmp_path: Path) -> None:
    """The ratio is what worker momentum lowers (Distributed Momentum, ICLR 2021)."""
    ratios = []
    for momentum in (0.0, 0.9):
        training = {**TABLES["training"], "momentum": momentum, "learning_rate": 0.001}
        run = simulated(tmp_path, training=training, plan={"steps": 20})
        found = run.assumptions
        assert found["updates"] == 20 * 5 == found["judged"]
        ratios.append(found["ratio"])
    assert ratios[1] < 0.7 * ratios[0]
