"""The sweep command, and what it shows."""

import io
import json
import threading
from pathlib import Path
from textwrap import dedent

import pytest
from rich.console import Console

from byzsgd.experiment.progress import Progress
from byzsgd.experiment.sweep.cells import load_sweep
from byzsgd.experiment.sweep.manifest import Manner
from byzsgd.experiment.sweep.run import Ended
from byzsgd.experiment.sweep.swept import Swept
from byzsgd.experiment.sweep.view import SweepView
from tests.unit.sweep.tables import Launcher, tables
from tests.unit.test_cli import invoke

FILE = """
    name = "swept"
    cluster = { servers = 5, workers = 4, f_servers = 1, f_workers = 1 }
    plan = { steps = 20 }

    [sweep]
    repeat = 2
    [sweep.axes.system]
    plain = { "cluster.servers" = 1, "cluster.f_servers" = 0 }
    byzsgd = {}
    [sweep.axes.what]
    nothing = {}
    mute = { "byzantine.server-4" = { attack = "mute" } }
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "swept.toml"
    path.write_text(dedent(FILE))
    return path


def test_the_command(launcher: Launcher, file: Path, tmp_path: Path) -> None:
    result = invoke("sweep", file, "--runs", tmp_path)
    assert result.exit_code == 0
    assert launcher.seeds() == [1, 1, 1, 2, 2, 2]
    for words in (
        "impossible: system=plain, what=mute: byzantine.server-4: is not in the cluster",
        "swept: 8 experiments: 6 missing, 2 impossible; ",
        "1/6 system=plain, what=nothing, seed 1: finished, accuracy 90.0 %, 10 steps/s, ",
    ):
        assert words in result.stderr
    row = "plain nothing 2 done 90.0 % (90.0–90.0) 10 (10–10) 1 (1–1)"
    assert row in [" ".join(line.split()) for line in result.stdout.splitlines()]
    part = invoke("sweep", file, "--runs", tmp_path, "--only", "what=nothing")
    assert "impossible" in result.stdout
    assert "impossible" not in part.stdout
    again = invoke("sweep", file, "--runs", tmp_path, "--json")
    data = json.loads(again.stdout)
    assert (data["states"], data["shortfalls"]) == ({"done": 6, "impossible": 2}, [])
    assert data["rows"][0]["accuracy"]["median"] == 0.9
    assert launcher.seeds() == []


@pytest.mark.parametrize(("status", "code"), [("failed", 1), ("interrupted", 130)])
def test_it_exits_with_0_only_if_all_is_done(
    launcher: Launcher, file: Path, tmp_path: Path, status: str, code: int
) -> None:
    launcher.then = lambda experiment: status if experiment.seed == 2 else "finished"
    words = ("sweep", file, "--runs", tmp_path, "--only", "what=nothing")
    assert invoke(*words).exit_code == code
    assert invoke(*words, "--only", "system=plain", "--set", "sweep.repeat=1").exit_code == 0


def test_a_dry_run_only_looks(launcher: Launcher, file: Path, tmp_path: Path) -> None:
    before = sorted(tmp_path.rglob("*"))
    result = invoke("sweep", file, "--runs", tmp_path, "--dry-run")
    assert result.exit_code == 0
    assert launcher.seeds() == []
    assert sorted(tmp_path.rglob("*")) == before
    assert sum("missing " in line for line in result.stdout.splitlines()) == 6
    words = ("--dry-run", "--json", "--only", "what=mute", "--seed", "5")
    data = json.loads(invoke("sweep", file, "--runs", tmp_path, *words).stdout)
    states = [(cell["labels"]["system"], cell["seed"], cell["state"]) for cell in data["cells"]]
    assert states == [
        (system, seed, state)
        for seed in (5, 6)
        for system, state in (("plain", "impossible"), ("byzsgd", "missing"))
    ]


def test_encryption_is_passed_on(launcher: Launcher, file: Path, tmp_path: Path) -> None:
    invoke("sweep", file, "--runs", tmp_path, "--encryption", "none")
    results = [json.loads(path.read_text()) for path in tmp_path.glob("swept/*/result.json")]
    assert {result["encryption"] for result in results} == {"none"}
    refused = invoke("sweep", file, "--runs", tmp_path, "--encryption", "none", "--simulate")
    assert refused.exit_code == 2
    assert "--encryption is for real runs" in refused.stderr


def test_on_a_terminal_the_run_that_goes_on_is_shown_until_it_ends(tmp_path: Path) -> None:
    written = io.StringIO()
    console = Console(file=written, width=60, force_terminal=True, color_system=None)
    found, threads = load_sweep(tables()), threading.active_count()
    with SweepView(console) as view:
        view.start(Swept.look(found, found.cells, tmp_path, Manner()), found.cells)
        view.begin(found.cells[0])
        view.show(Progress("swept", 20, step=5))
        assert threading.active_count() == threads + 1
        view.end(Ended(found.cells[0], 1.0, None, "no [red]data[/]", "Traceback [x]"))
        assert threading.active_count() == threads, "or the launcher could not fork the next run"
    text = written.getvalue()
    assert "1/8 system=plain, what=nothing, seed 7\n" in text.replace("\r", "")
    assert "swept: step 5/20 (25 %)" in text
    assert "1/8 system=plain, what=nothing, seed 7: no result: no [red]data[/], 1.0 s" in text
    assert "Traceback [x]" in text
