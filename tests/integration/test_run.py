"""`byzsgd.run`: real processes on this machine, with and without liars and deaths."""

import asyncio
import json
import math
from collections.abc import Callable, Iterator
from pathlib import Path
from textwrap import dedent

import pytest
import torch

import byzsgd
from byzsgd.errors import ConfigError
from byzsgd.experiment.local import run_local
from byzsgd.experiment.progress import Progress
from byzsgd.training import load_task
from tests.integration.processes import Mark, listening, marked, ports

QUICKSTART = Path(byzsgd.__path__[0]) / "experiment" / "examples" / "quickstart.toml"
STEPS = 40
FIVE_FOUR = {
    "cluster": {"servers": 5, "workers": 4, "f_servers": 1, "f_workers": 1},
    "plan.steps": 20,
    "training.batch": 16,
    "expect": {},
}
PLAIN = {
    "name": "plain",
    "cluster": {"servers": 1, "workers": 2},
    "aggregation": {"gradients": "average", "models": "average"},
    "plan.steps": 30,
    "byzantine": {},
    "expect": {},
}


@pytest.fixture
def mark() -> Iterator[Mark]:
    with marked() as mark:
        yield mark


@pytest.fixture(scope="module")
def attacked(tmp_path_factory: pytest.TempPathFactory) -> byzsgd.Run:
    """Five servers of which one equivocates, seven workers of which two collude."""
    folder = tmp_path_factory.mktemp("runs")
    with marked():
        experiment = byzsgd.load(QUICKSTART, overrides={"plan.steps": STEPS, "expect": {}})
        return byzsgd.run(experiment, folder)


# --- a run with liars -----------------------------------------------------------------------------


def test_it_trains_though_a_server_and_two_workers_lie(attacked: byzsgd.Run) -> None:
    assert attacked.status == "finished"
    assert attacked.shortfalls() == []
    assert attacked.steps == STEPS
    assert attacked.accuracy > 0.8
    assert 0 <= attacked.diameter < 10
    assert attacked.warnings == ()


def test_its_model_is_the_one_that_was_evaluated(attacked: byzsgd.Run) -> None:
    test = load_task("digits").test
    inputs, targets = test.batch(torch.arange(len(test)))
    model = attacked.model()
    with torch.no_grad():
        accuracy = (model(inputs).argmax(dim=1) == targets).float().mean()
    assert float(accuracy) == pytest.approx(attacked.accuracy, abs=1e-6)


def test_its_record_is_complete_and_readable(attacked: byzsgd.Run) -> None:
    run = byzsgd.Run.open(attacked.path)
    assert not list(run.path.parent.glob("*.pending"))
    assert (run.status, run.accuracy, run.digest) == (
        "finished",
        attacked.accuracy,
        attacked.digest,
    )
    assert run.experiment == attacked.experiment
    assert run.evaluations[-1]["step"] == STEPS
    assert run.evaluations[-1]["models"] == 4, "of the honest servers"
    assert run.evaluations[-1]["accuracy"] == run.accuracy
    names = {event["event"] for event in run.events}
    assert "ready" in names
    assert not names & {"died", "failed", "left behind"}
    assert 0 < run.result["ready_s"] < 60
    assert run.result["nodes_pss_bytes"] > 0
    for node in run.experiment.honest:
        assert run.measures(node)[-1]["step"] == STEPS
    for path in run.path.rglob("*"):
        assert "secret" not in path.name
        assert path.is_dir() or b"secret" not in path.read_bytes(), "keys stay in memory"


def test_one_model_of_each_server_is_kept(attacked: byzsgd.Run) -> None:
    kept = {
        str(server): [path.stem for path in (attacked.path / "models" / str(server)).iterdir()]
        for server in attacked.experiment.honest_servers
    }
    assert kept == {server: [f"{STEPS:08d}"] for server in kept}


# --- other settings -------------------------------------------------------------------------------


def test_an_ordinary_parameter_server_on_the_same_code(mark: Mark, tmp_path: Path) -> None:
    run = byzsgd.run(byzsgd.load(QUICKSTART, overrides=PLAIN), tmp_path)
    assert (run.status, run.steps, run.diameter) == ("finished", 30, 0.0)
    assert run.accuracy > 0.7


def test_silence_and_lies_at_both_sides_over_bfloat16(mark: Mark, tmp_path: Path) -> None:
    lies = {
        "server-4": {"attack": "mute"},
        "worker-2": {"attack": "sign_flip"},
        "worker-6": {"attack": "nan"},
    }
    overrides = {"plan.steps": 20, "byzantine": lies, "network.dtype": "bfloat16", "expect": {}}
    run = byzsgd.run(byzsgd.load(QUICKSTART, overrides=overrides), tmp_path)
    assert (run.status, run.steps) == ("finished", 20)
    assert run.accuracy > 0.5
    dimension = sum(parameter.numel() for parameter in run.model().parameters())
    received = {e["node"]: e["bytes_received"] for e in run.events if e["event"] == "totals"}
    least_of_float32 = 20 * run.experiment.cluster.q_workers * 4 * dimension
    assert 0 < received["server-0"] < least_of_float32


def test_two_lying_servers_of_eight(mark: Mark, tmp_path: Path) -> None:
    overrides = {
        "cluster": {"servers": 8, "workers": 4, "f_servers": 2, "f_workers": 1},
        "plan": {"steps": 20, "gather_every": 5, "gather_rounds": 2},
        "byzantine": {
            "server-0": {"attack": "nan"},
            "server-5": {"attack": "sign_flip"},
            "worker-3": {"attack": "mute"},
        },
        "expect": {},
    }
    run = byzsgd.run(byzsgd.load(QUICKSTART, overrides=overrides), tmp_path)
    assert (run.status, run.steps, run.evaluations[-1]["models"]) == ("finished", 20, 6)
    assert run.accuracy > 0.5


async def test_inside_a_running_event_loop_as_in_a_notebook(mark: Mark, tmp_path: Path) -> None:
    lies = {"server-2": {"attack": "alie", "z": 1.5}, "worker-0": {"attack": "equivocate"}}
    run = byzsgd.run(byzsgd.load(QUICKSTART, overrides={**FIVE_FOUR, "byzantine": lies}), tmp_path)
    assert (run.status, run.steps) == ("finished", 20)
    assert run.accuracy > 0.5
    assert await asyncio.sleep(0, "the loop still runs")


def test_a_task_of_ones_own(mark: Mark, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = """
        import torch
        from torch import nn
        from byzsgd.training import Examples, Task

        def mine():
            x = torch.randn(500, 20, generator=torch.Generator().manual_seed(1))
            y = (x.sum(dim=1) > 0).long()
            loss = nn.functional.cross_entropy
            data = Examples(x[:400], y[:400]), Examples(x[400:], y[400:])
            return Task("mine", lambda: nn.Linear(20, 2), loss, *data)
    """
    (tmp_path / "own_task_of_a_test.py").write_text(dedent(source))
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    own = {"training": {"task": "own_task_of_a_test:mine"}}
    run = byzsgd.run(byzsgd.load(QUICKSTART, overrides={**PLAIN, **own}))
    assert run.path.parent == Path("runs/plain")
    assert run.status == "finished"
    assert run.accuracy > 0.8
    assert run.model()(torch.ones(1, 20)).shape == (1, 2)


def test_a_task_that_cannot_be_had_is_the_experimenters_mistake(mark: Mark, tmp_path: Path) -> None:
    missing = {**PLAIN, "training": {"task": "no_such_module:mine"}}
    with pytest.raises(ConfigError, match="cannot import 'no_such_module'"):
        byzsgd.run(byzsgd.load(QUICKSTART, overrides=missing), tmp_path)
    [pending] = (tmp_path / "plain").iterdir()
    assert byzsgd.Run.open(pending).status == "pending"


def test_more_nan_liars_than_declared_end_no_process(mark: Mark, tmp_path: Path) -> None:
    lies = {"server-0..1": {"attack": "nan"}, "worker-0..2": {"attack": "nan"}}
    run = byzsgd.run(byzsgd.load(QUICKSTART, overrides={**FIVE_FOUR, "byzantine": lies}), tmp_path)
    assert (run.status, run.steps) == ("finished", 20)
    assert len(run.warnings) == 2
    assert not {event["event"] for event in run.events} & {"died", "failed"}
    assert json.loads((run.path / "result.json").read_text())["status"] == "finished"
    assert math.isnan(run.accuracy) or 0 <= run.accuracy <= 1


# --- deaths ---------------------------------------------------------------------------------------


class At:
    """A view that does something once, at a step."""

    def __init__(self, step: int, then: Callable[[], None]) -> None:
        self.step = step
        self.then: Callable[[], None] | None = then
        self.messages: list[str] = []

    def show(self, progress: Progress) -> None:
        if progress.message and progress.message not in self.messages:
            self.messages.append(progress.message)
        if self.then and progress.step >= self.step:
            then, self.then = self.then, None
            then()


def test_an_honest_server_and_a_worker_are_killed_and_the_others_finish(
    mark: Mark, tmp_path: Path
) -> None:
    overrides = {"plan.steps": 60, "byzantine": {"worker-0": {"attack": "alie"}}, "expect": {}}
    view = At(5, lambda: mark.kill("server-1", "worker-5"))
    run = run_local(byzsgd.load(QUICKSTART, overrides=overrides), runs=tmp_path, view=view)
    assert (run.status, run.steps) == ("finished", 60)
    died = {event["node"]: event["how"] for event in run.events if event["event"] == "died"}
    assert died == dict.fromkeys(("server-1", "worker-5"), "killed by signal 9")
    assert "server-1 died (killed by signal 9)" in view.messages
    assert run.evaluations[-1]["models"] == 4
    assert run.accuracy > 0.8
    assert run.measures("server-1")[-1]["step"] < 60
    assert len(run.measures("server-2")) == 60
    assert run.model() is not None


def test_a_fault_of_the_launcher_itself_is_raised(mark: Mark, tmp_path: Path) -> None:
    def fault() -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        run_local(byzsgd.load(QUICKSTART, overrides=PLAIN), runs=tmp_path, view=At(1, fault))


def test_no_port_is_left_without_encryption_either(mark: Mark, tmp_path: Path) -> None:
    seen: set[str] = set()
    view = At(1, lambda: seen.update(ports(mark.processes())))
    experiment = byzsgd.load(QUICKSTART, overrides=PLAIN)
    run = run_local(experiment, runs=tmp_path, view=view, encryption="none", measure_stall=True)
    assert run.status == "finished"
    assert len(seen) == 2, "one for each worker"
    assert not seen & listening()
    assert any(event.get("stall_s", 0) > 0 for event in run.events)
