"""Liars among real processes whose words are none, or come too late."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import byzsgd
from byzsgd.experiment.local import run_local
from tests.integration.processes import Mark, marked

QUICKSTART = Path(byzsgd.__path__[0]) / "experiment" / "examples" / "quickstart.toml"
STEPS = 40


@pytest.fixture
def mark() -> Iterator[Mark]:
    with marked() as mark:
        yield mark


def told(run: byzsgd.Run, node: str) -> dict[str, Any]:
    [totals] = [e for e in run.events if e["event"] == "totals" and e["node"] == node]
    return totals


@pytest.mark.long
@pytest.mark.parametrize("mode", ["async", "sync"])
@pytest.mark.parametrize("shared", [False, True], ids=["curve", "shared memory"])
def test_what_is_malformed_is_counted_and_hurts_nobody(
    mode: str, shared: bool, mark: Mark, tmp_path: Path
) -> None:
    overrides = {
        "plan": {"steps": STEPS, "mode": mode, "deadline_s": 0.1},
        "training.batch": 16,
        "byzantine": {
            "server-1": {"attack": "malformed"},
            "worker-2": {"attack": "malformed"},
            "worker-5": {"attack": "slow", "delay_s": 0.3},
        },
        "expect": {},
    }
    experiment = byzsgd.load(QUICKSTART, overrides=overrides)
    encryption = "none" if shared else "curve"
    run = run_local(experiment, runs=tmp_path, encryption=encryption, shared_memory=shared)  # type: ignore[arg-type]
    assert (run.status, run.steps) == ("finished", STEPS)
    assert run.shortfalls() == []
    assert run.accuracy > 0.7
    assert not {event["event"] for event in run.events} & {"died", "failed"}
    for node in ("server-0", "server-4"):
        malformed = told(run, node)["malformed"]
        assert set(malformed) == {"server-1", "worker-2"}, "and of nobody else"
        assert set(malformed["worker-2"]) >= {"header", "frames", "order"}
    assert set(told(run, "worker-0")["malformed"]) == {"server-1"}
    assert told(run, "worker-5")["lies"]["changed"] > 0
