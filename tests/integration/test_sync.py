"""The synchronous variant with real processes, and once more in one."""

from collections.abc import Iterator
from pathlib import Path

import pytest

import byzsgd
from byzsgd.experiment.deliveries import read_deliveries
from byzsgd.experiment.replay import replay
from tests.integration.processes import Mark, marked

QUICKSTART = Path(byzsgd.__path__[0]) / "experiment" / "examples" / "quickstart.toml"
STEPS = 40


@pytest.fixture
def mark() -> Iterator[Mark]:
    with marked() as mark:
        yield mark


def test_rounds_end_though_a_server_lies_and_a_worker_is_silent(mark: Mark, tmp_path: Path) -> None:
    overrides = {
        "cluster": {"servers": 5, "workers": 4, "f_servers": 1, "f_workers": 1},
        "plan": {"steps": STEPS, "mode": "sync", "deadline_s": 0.1},
        "training.batch": 16,
        "byzantine": {"server-1": {"attack": "scale"}, "worker-3": {"attack": "mute"}},
        "expect": {},
    }
    run = byzsgd.run(byzsgd.load(QUICKSTART, overrides=overrides), tmp_path, deliveries=True)
    assert (run.status, run.steps) == ("finished", STEPS)
    assert run.shortfalls() == []
    assert run.accuracy > 0.6
    assert run.evaluations[-1]["models"] == 4
    assert not {event["event"] for event in run.events} & {"died", "failed", "refused"}
    assert set(run.result["false_rejections"]) == {"rejected", "judged"}
    told = read_deliveries(run.path, "server-2")
    assert sum(line[:2] == ("timer", "deadline") for line in told) >= STEPS / 2
    assert any(line[0] == "received" and line[2] == "Pull" for line in told)
    again = replay(run.path)
    assert again.shortfalls() == []
    assert again.equal
