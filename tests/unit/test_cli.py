"""The command line: what it prints where, and the code it exits with."""

import json
import math
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from byzsgd.cli import app
from byzsgd.experiment import local, remote
from byzsgd.experiment.config import Experiment
from byzsgd.experiment.load import EXAMPLES
from byzsgd.experiment.record import Record, Run, Status

QUICKSTART = str(EXAMPLES / "quickstart.toml")


def invoke(*words: str | Path) -> Any:
    result = CliRunner().invoke(app, [str(word) for word in words])
    if result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


class Launcher:
    """Stands in for `run_local`: records the figures it is told, and what it was asked for."""

    def __init__(self) -> None:
        self.accuracies = [0.95]
        self.status: Status = "finished"
        self.steps: int | None = None
        self.asked: list[Experiment] = []

    def __call__(
        self,
        experiment: Experiment,
        *,
        runs: Path,
        view: object,
        encryption: str = "curve",
        deliveries: bool = False,
        measure_cpu: bool = False,
        shared_memory: bool = False,
    ) -> Run:
        self.deliveries = deliveries
        self.links = (encryption, shared_memory)
        self.measure_cpu = measure_cpu
        accuracy = self.accuracies[min(len(self.asked), len(self.accuracies) - 1)]
        self.asked.append(experiment)
        steps = experiment.plan.steps if self.steps is None else self.steps
        record = Record.begin(experiment, runs)
        return record.finish(
            self.status, accuracy=accuracy, steps=steps, diameter=0.01, seconds=2.0
        )


@pytest.fixture
def launcher(monkeypatch: pytest.MonkeyPatch) -> Launcher:
    stand_in = Launcher()
    monkeypatch.setattr(local, "run_local", stand_in)
    return stand_in


# --- run ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("wanted", [True, False])
def test_deliveries_are_recorded_if_asked_for(
    launcher: Launcher, tmp_path: Path, wanted: bool
) -> None:
    words = ["--deliveries"] if wanted else []
    assert invoke("run", QUICKSTART, "--runs", tmp_path, *words).exit_code == 0
    assert launcher.deliveries is wanted


@pytest.mark.parametrize(
    ("words", "links", "cpu"),
    [
        ([], ("curve", False), False),
        (["--encryption", "none", "--cpu-times"], ("none", False), True),
        (["--shared-memory"], ("none", True), False),
        (["--shared-memory", "--encryption", "none"], ("none", True), False),
    ],
)
def test_how_the_processes_are_linked_and_measured(
    launcher: Launcher, tmp_path: Path, words: list[str], links: tuple[str, bool], cpu: bool
) -> None:
    assert invoke("run", QUICKSTART, "--runs", tmp_path, *words).exit_code == 0
    assert (launcher.links, launcher.measure_cpu) == (links, cpu)


def test_shared_memory_cannot_be_encrypted(launcher: Launcher, tmp_path: Path) -> None:
    words = ("--runs", tmp_path, "--shared-memory", "--encryption", "curve")
    result = invoke("run", QUICKSTART, *words)
    assert result.exit_code == 2
    assert "--shared-memory encrypts nothing: leave out --encryption curve" in result.stderr
    assert not launcher.asked


def test_a_run_that_holds_exits_0(launcher: Launcher, tmp_path: Path) -> None:
    result = invoke("run", QUICKSTART, "--runs", tmp_path)
    assert result.exit_code == 0
    assert "quickstart: finished at step 300, accuracy 95.0 %, 150 steps/s" in result.stdout
    assert str(tmp_path / "quickstart") in result.stdout
    assert result.stderr == ""


def test_settings_and_seed_reach_the_experiment(launcher: Launcher, tmp_path: Path) -> None:
    words = ("--set", "plan.steps=50", "--set", "byzantine={}", "--set", "training.task=digits")
    assert invoke("run", QUICKSTART, *words, "--seed", "9", "--runs", tmp_path).exit_code == 0
    [experiment] = launcher.asked
    assert (experiment.plan.steps, experiment.liars, experiment.seed) == (50, {}, 9)


def test_json_is_one_line_and_alone_on_stdout(launcher: Launcher, tmp_path: Path) -> None:
    result = invoke("run", QUICKSTART, "--json", "--runs", tmp_path)
    [line] = result.stdout.splitlines()
    data = json.loads(line)
    assert data["status"] == "finished"
    assert data["accuracy"] == 0.95
    assert data["shortfalls"] == []
    assert Run.open(data["path"]).accuracy == 0.95


@pytest.mark.parametrize(
    ("accuracy", "status", "steps", "code", "words"),
    [
        (0.92, "finished", None, 1, "accuracy 0.9200 is below the expected 0.93"),
        (math.nan, "finished", None, 1, "accuracy nan is below the expected 0.93"),
        (0.95, "finished", 299, 1, "finished at step 299 of 300"),
        (0.95, "failed", 120, 1, "failed at step 120 of 300"),
        (0.95, "interrupted", 120, 130, "interrupted at step 120 of 300"),
    ],
)
def test_a_run_that_does_not_hold_says_why(
    launcher: Launcher,
    tmp_path: Path,
    accuracy: float,
    status: Status,
    steps: int | None,
    code: int,
    words: str,
) -> None:
    launcher.accuracies, launcher.status, launcher.steps = [accuracy], status, steps
    result = invoke("run", QUICKSTART, "--runs", tmp_path, "--json")
    assert result.exit_code == code
    assert f"byzsgd: {words}\n" in result.stderr
    assert json.loads(result.stdout)["shortfalls"] == [words]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["run", "no.toml"], "byzsgd: no.toml: there is no such file\n"),
        (["run", QUICKSTART, "--set", "plan.step=3"], "plan.step = 3: unknown key 'step'; did you"),
        (["run", QUICKSTART, "--set", "plan.steps"], "write KEY=VALUE, such as plan.steps=50"),
        (["plan", QUICKSTART, "--set", "plan.mode=slow"], 'plan.mode = "slow": must be "async"'),
        (["demo", "--set", "training.task=digit"], "unknown task 'digit'; did you mean 'digits'?"),
        (["node", QUICKSTART, "--node", "server-0", "--roster", "no.toml", "--key", "k", "--out",
          "o"], "byzsgd: no.toml: no readable roster"),
        (["keygen", QUICKSTART, "--out", "o", "--address", "server-0"], "write NODE=ADDRESS"),
        (["keygen", QUICKSTART, "--out", "o", "--address", "sever-0=x"], "'sever-0' is no node"),
    ],
)  # fmt: skip
def test_mistakes_exit_2_with_one_message(
    launcher: Launcher, words: list[str], message: str
) -> None:
    result = invoke(*words)
    assert result.exit_code == 2
    assert message in result.stderr
    assert "Traceback" not in result.stderr
    assert result.stdout == ""
    assert launcher.asked == []


def test_a_warning_is_told_before_the_run(launcher: Launcher, tmp_path: Path) -> None:
    lies = 'byzantine={ "worker-0..2" = { attack = "nan" } }'
    result = invoke("run", QUICKSTART, "--runs", tmp_path, "--set", lies)
    assert result.exit_code == 0
    assert "warning: 3 workers lie" in result.stderr


def test_ctrl_c_exits_130(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def interrupted(*_: object, **__: object) -> Run:
        raise KeyboardInterrupt

    monkeypatch.setattr(local, "run_local", interrupted)
    assert invoke("run", QUICKSTART, "--runs", tmp_path).exit_code == 130


# --- demo -----------------------------------------------------------------------------------------


def test_the_demo_runs_twice_and_compares(launcher: Launcher, tmp_path: Path) -> None:
    launcher.accuracies = [0.95, 0.965]
    result = invoke("demo", "--runs", tmp_path)
    assert result.exit_code == 0
    attacked, honest = launcher.asked
    assert [str(node) for node in attacked.liars] == ["server-0", "worker-0", "worker-1"]
    assert honest.liars == {}
    assert honest.to_dict() | {"name": "", "byzantine": {}} == attacked.to_dict() | {
        "name": "",
        "byzantine": {},
    }
    for words in ("95.0 %", "96.5 %", "1.5 points", "a second run just now, not a stored figure"):
        assert words in result.stdout
    assert "server-0 (equivocate), worker-0 (alie), worker-1 (alie)" in result.stdout
    assert str(tmp_path / "quickstart") in result.stdout


@pytest.mark.parametrize(
    ("accuracies", "words"),
    [
        ([0.92, 0.93], "with liars: accuracy 0.9200 is below the expected 0.93"),
        ([0.94, 0.97], "the lies cost more than 2 points"),
        ([0.94, 0.92], "without liars: accuracy 0.9200 is below the expected 0.93"),
        ([0.94, math.nan], "without liars: accuracy nan is below the expected 0.93"),
    ],
)
def test_a_demo_that_fails(
    launcher: Launcher, tmp_path: Path, accuracies: list[float], words: str
) -> None:
    launcher.accuracies = accuracies
    result = invoke("demo", "--runs", tmp_path, "--json")
    assert result.exit_code == 1
    assert words in result.stderr
    data = json.loads(result.stdout)
    assert words in data["shortfalls"]
    assert data["with_liars"]["accuracy"] == accuracies[0]
    assert data["without_liars"]["name"] == "quickstart-nobody-lies"


def test_an_interrupted_demo_ends_there(launcher: Launcher, tmp_path: Path) -> None:
    launcher.status, launcher.steps = "interrupted", 7
    result = invoke("demo", "--runs", tmp_path, "--json")
    assert result.exit_code == 130
    assert len(launcher.asked) == 1
    assert json.loads(result.stdout)["without_liars"] is None


# --- the others -----------------------------------------------------------------------------------


def test_plan() -> None:
    result = invoke("plan", QUICKSTART)
    assert result.exit_code == 0
    assert "72.0 vectors a step over 45 links" in result.stdout
    assert json.loads(invoke("plan", QUICKSTART, "--json").stdout)["vectors"] == 72.0


def test_report(launcher: Launcher, tmp_path: Path) -> None:
    invoke("run", QUICKSTART, "--runs", tmp_path)
    good = invoke("report", tmp_path)
    assert good.exit_code == 0
    assert "95.0 %" in good.stdout
    assert invoke("report", tmp_path, tmp_path / "no").exit_code == 1
    data = json.loads(invoke("report", tmp_path, tmp_path / "no", "--json").stdout)
    assert len(data["runs"]) == len(data["broken"]) == 1


def test_doctor(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BYZSGD_DATA", str(tmp_path))
    result = invoke("doctor", "--runs", tmp_path / "deep" / "runs")
    assert result.exit_code == 0
    for words in ("torch", "cores", "libzmq", "CURVE", f"{tmp_path} (BYZSGD_DATA)", "not found"):
        assert words in result.stdout
    assert list(tmp_path.iterdir()) == [], "it leaves nothing behind"
    data = json.loads(invoke("doctor", "--runs", tmp_path, "--json").stdout)
    assert data["libzmq"]["ok"] is True


def test_doctor_finds_an_old_libzmq(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    import zmq

    monkeypatch.setattr(zmq, "zmq_version_info", lambda: (4, 3, 4))
    monkeypatch.setattr(zmq, "has", lambda capability: False)
    monkeypatch.setenv("BYZSGD_DATA", str(tmp_path))
    result = invoke("doctor", "--runs", tmp_path)
    assert result.exit_code == 1
    failed = [line.split()[1] for line in result.stdout.splitlines() if line.startswith("FAIL")]
    assert failed == ["libzmq", "CURVE"]


@pytest.mark.parametrize(
    ("what", "name", "words"),
    [
        ("aggregators", "mda", "needs n ≥ 2f+1; options budget; also brute"),
        ("preaggregations", "clipping", "needs n ≥ 2f+1; options threshold"),
        ("attacks", "alie", "options z"),
        ("tasks", "digits", ""),
        ("models", "resnet20", "ResNet-20"),
    ],
)
def test_list(what: str, name: str, words: str) -> None:
    [line] = [one for one in invoke("list", what).stdout.splitlines() if one.startswith(f"{name} ")]
    assert words in line
    assert name in json.loads(invoke("list", what, "--json").stdout)


def test_keygen_writes_the_roster_and_the_keys(tmp_path: Path) -> None:
    address = "server-0=tcp://10.0.0.1:7000"
    result = invoke("keygen", QUICKSTART, "--out", tmp_path / "keys", "--address", address)
    assert result.exit_code == 0, result.stderr
    assert len(list((tmp_path / "keys").glob("*.key"))) == 12
    assert "tcp://10.0.0.1:7000" in (tmp_path / "keys" / "roster.toml").read_text()
    assert str(tmp_path / "keys") in result.stdout
    again = invoke("keygen", QUICKSTART, "--out", tmp_path / "keys")
    assert again.exit_code == 2


def test_node_is_given_what_was_said(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[object] = []

    def run_node(experiment: Experiment, *rest: object) -> int:
        asked.extend([experiment.name, *rest])
        return 130

    monkeypatch.setattr(remote, "run_node", run_node)
    words = ("--roster", "r.toml", "--node", "server-0", "--key", "s.key", "--out", "here")
    assert invoke("node", QUICKSTART, *words).exit_code == 130
    assert asked == ["quickstart", Path("r.toml"), "server-0", Path("s.key"), Path("here")]
