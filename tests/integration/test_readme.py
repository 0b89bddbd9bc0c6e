"""What the README shows is run as it stands there, in an empty folder."""

import os
import re
import shlex
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from byzsgd.experiment.config import Experiment
from byzsgd.experiment.sweep.cells import load_sweep

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
SCRIPTS = Path(sys.executable).parent


def blocks(language: str) -> list[str]:
    return [text for kind, text in BLOCK.findall(README) if kind == language]


def commands(start: str) -> list[str]:
    lines = [line for block in blocks("sh") for line in block.splitlines()]
    return [line for line in lines if line.startswith(start)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the README's own files."""
    folder = tmp_path_factory.mktemp("readme")
    for text in [*blocks("python"), *blocks("toml")]:
        if named := re.match(r"# (\S+\.(?:py|toml))\n", text):
            (folder / named[1]).write_text(text)
    return folder


def run(folder: Path, *words: str) -> str:
    path = f"{SCRIPTS}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        words, cwd=folder, env={**os.environ, "PATH": path}, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_commands_of_the_first_experiment_work(folder: Path) -> None:
    shown = [command for command in commands("byzsgd ") if "keygen" not in command]
    assert len(shown) == 10
    for command in shown:
        assert run(folder, *shlex.split(command, comments=True))


def test_the_python_example_trains(folder: Path) -> None:
    (example,) = [text for text in blocks("python") if "byzsgd.run" in text]
    status, accuracy, steps, *_ = run(folder, sys.executable, "-c", example).split()
    assert status == "finished"
    assert float(accuracy) > 0.9
    assert steps == "50"


def test_the_aggregation_example_runs(folder: Path) -> None:
    (example,) = [text for text in blocks("python") if "Arrivals" in text]
    run(folder, sys.executable, "-c", example)


def test_the_aggregation_table_is_accepted() -> None:
    (table,) = [text for text in blocks("toml") if text.startswith("[aggregation]")]
    cluster = {"servers": 5, "workers": 16, "f_servers": 1, "f_workers": 2}
    given = tomllib.loads(table)
    experiment = Experiment(name="shown", cluster=cluster, plan={"steps": 1}, **given)
    assert experiment.aggregation.gradient_rule.name == "nnm + clipping + bulyan"


def test_the_table_of_faults_is_accepted_and_survived(folder: Path) -> None:
    (tables,) = [text for text in blocks("toml") if text.startswith("[faults]")]
    (folder / "faulty.toml").write_text(f"{(folder / 'mine.toml').read_text()}\n{tables}")
    told = run(folder, *shlex.split("byzsgd simulate faulty.toml --json"))
    assert '"status": "finished"' in told
    assert '"warnings": []' in told


def test_keys_and_the_roster_are_made(folder: Path) -> None:
    (command,) = commands("byzsgd keygen")
    run(folder, *shlex.split(command))
    assert "tcp://10.0.0.1:7000" in (folder / "keys" / "roster.toml").read_text()
    (own,) = re.findall(r"`(byzsgd keygen [^`]*--node[^`]*)`", README)
    assert "public_key" in run(folder, *shlex.split(own))


def test_the_node_commands_are_understood(folder: Path) -> None:
    """They need a roster of hosts to go further than this."""
    lines = [line for block in blocks("text") for line in block.splitlines()]
    for command in (line for line in lines if line.startswith("python -m nodes.")):
        _, _, module, *options = shlex.split(command)
        usage = run(folder, sys.executable, "-m", module, "--help")
        assert all(option in usage for option in options if option.startswith("--"))


def test_the_two_first_commands_are_those_of_the_set_up() -> None:
    usage = run(ROOT, sys.executable, "deploy/run.py", "--help")
    for command in commands("python3 deploy/run.py"):
        assert shlex.split(command)[2] in usage


@pytest.mark.parametrize("name", ["step", "async_vs_sync", "transport"])
def test_the_benchmarks_can_be_started(name: str) -> None:
    assert f"benchmarks.{name}" in README
    assert "--repeat" in run(ROOT, sys.executable, "-m", f"benchmarks.{name}", "--help")


@pytest.mark.parametrize("file", sorted((ROOT / "benchmarks" / "sweeps").glob("*.toml")), ids=str)
def test_the_sweeps_of_the_benchmarks_are_sound(file: Path) -> None:
    """Every system is possible in most situations; without the data of any task."""
    cells = load_sweep(file).cells
    possible = [cell for cell in cells if cell.experiment]
    assert len(possible) > 0.8 * len(cells)


def test_every_linked_file_is_there() -> None:
    for target in re.findall(r"\]\((?!https?:)([^)#]+)\)", README):
        assert (ROOT / target).exists(), target
