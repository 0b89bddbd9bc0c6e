"""`byzsgd simulate` on the command line: what it prints where, and the code it exits with."""

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from byzsgd.cli import app
from byzsgd.experiment.config import Experiment
from byzsgd.experiment.files import write_json

TABLES: dict[str, Any] = {
    "name": "commanded",
    "cluster": {"servers": 5, "workers": 4, "f_servers": 1, "f_workers": 1},
    "plan": {"steps": 4, "patience_s": 0.1},
    "training": {"task": "byzsgd.experiment.swarm.task:three_groups", "batch": 4},
}


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "experiment.json"
    write_json(path, Experiment(**TABLES).to_dict())
    return path


def invoke(*words: str | Path) -> Any:
    result = CliRunner().invoke(app, ["simulate", *map(str, words)])
    if result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


def test_a_simulated_run_is_told_with_its_digest(file: Path, tmp_path: Path) -> None:
    result = invoke(file, "--runs", tmp_path)
    assert result.exit_code == 0
    assert "commanded: finished at step 4" in result.stdout
    assert "of virtual time" in result.stdout
    again = json.loads(invoke(file, "--runs", tmp_path, "--json").stdout)
    assert again["simulated"] is True
    assert f"digest {again['digest'][:12]}" in result.stdout
    other = json.loads(invoke(file, "--runs", tmp_path, "--json", "--seed", "5").stdout)
    assert other["digest"] != again["digest"]


def test_options_are_the_keys_of_the_table(file: Path, tmp_path: Path) -> None:
    costs = tmp_path / "costs.toml"
    costs.write_text("gradient_s = 1.0")
    words = ("--scheduler", "split", "--wire", "--cost", costs, "--json", "--runs", tmp_path)
    told = json.loads(invoke(file, *words).stdout)
    recorded = json.loads((Path(told["path"]) / "experiment.json").read_text())["simulation"]
    assert recorded["scheduler"] == "split"
    assert recorded["wire"] is True
    assert recorded["cost"] == str(costs)
    assert told["seconds"] >= 4


def test_a_run_that_fails_exits_1(file: Path, tmp_path: Path) -> None:
    mute = ("--set", "byzantine.server-0..1.attack=mute")
    result = invoke(file, *mute, "--runs", tmp_path)
    assert result.exit_code == 1
    assert "failed at step 0 of 4: stalled" in result.stderr
    assert "no guarantee holds" in result.stderr


def test_a_swarm_says_what_it_did(tmp_path: Path) -> None:
    result = invoke("--swarm", "3", "--seed", "4", "--jobs", "1", "--runs", tmp_path)
    assert result.exit_code == 0
    assert "3 worlds of seed 4" in result.stdout
    assert "no checker objected" in result.stdout
    told = json.loads(invoke("--swarm", "3", "--seed", "4", "--jobs", "1", "--json").stdout)
    assert (told["worlds"], told["found"]) == (3, [])


@pytest.mark.parametrize(
    ("words", "text"),
    [
        ([], "one of: an experiment FILE, --swarm N, --replay RUN"),
        (["x.toml", "--swarm", "3"], "one of: an experiment FILE, --swarm N, --replay RUN"),
        (["--swarm", "3", "--scheduler", "split"], "--scheduler is for an experiment FILE"),
        (["--swarm", "3", "--cost", "uniform"], "--cost is for an experiment FILE"),
        (["--swarm", "3", "--wire"], "--wire is for an experiment FILE"),
        (["--swarm", "3", "--set", "a=1"], "--set is for an experiment FILE"),
        (["x.toml", "--jobs", "3"], "--jobs is for --swarm N"),
        (["--replay", "x", "--seed", "3"], "--seed is not for --replay RUN"),
        (["--replay", "nothing"], "nothing: there is no such run"),
    ],
)
def test_what_would_have_no_effect_is_refused(words: list[str], text: str) -> None:
    result = invoke(*words)
    assert result.exit_code == 2
    assert text in result.stderr
