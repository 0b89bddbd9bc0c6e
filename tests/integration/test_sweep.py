"""A sweep as a person uses it: stopped, killed, gone on with, and never twice at once."""

import json
from collections.abc import Iterator
from pathlib import Path
from textwrap import dedent

import pytest

import byzsgd
from tests.integration.processes import Command, Mark, Watch, marked

SWEEP = """
    name = "swept"
    cluster = { servers = 5, workers = 4, f_servers = 1, f_workers = 1 }
    plan = { steps = 8 }

    [sweep.axes.system]
    plain = { "cluster.servers" = 1, "cluster.f_servers" = 0, "aggregation.gradients" = "average" }
    byzsgd = {}
    endless = { "plan.steps" = 1000000 }
"""


@pytest.fixture
def mark() -> Iterator[Mark]:
    with marked() as mark:
        yield mark


def sweep(folder: Path, *words: str) -> Command:
    (folder / "swept.toml").write_text(dedent(SWEEP))
    return Command("byzsgd", "sweep", "swept.toml", "--json", *words, cwd=folder)


def records(folder: Path) -> list[str]:
    return sorted(path.name for path in (folder / "runs" / "swept").iterdir() if path.is_dir())


@pytest.mark.long
def test_ctrl_c_and_then_the_rest(mark: Mark, tmp_path: Path) -> None:
    command = sweep(tmp_path)
    command.until("2/3 system=byzsgd, seed 1: finished")
    second = sweep(tmp_path, "--simulate").end()
    assert second.code == 2
    assert f"another sweep of this name is running there (process {command.process.pid})" in (
        second.stderr
    )
    command.interrupt()
    ended = command.end()
    assert ended.code == 130, ended.stderr
    assert "Traceback" not in ended.stderr
    assert "byzsgd: 1 of 3 experiments are missing\n" in ended.stderr
    data = json.loads(ended.stdout)
    assert (data["states"], data["interrupted"]) == ({"done": 2, "missing": 1}, True)
    assert len(data["rows"][1]["runs"]) == data["rows"][1]["step_ratio"]["values"] == 1

    before = records(tmp_path)
    rest = sweep(tmp_path, "--only", "system=byzsgd", "--only", "system=plain").end()
    assert rest.code == 0, rest.stderr
    assert records(tmp_path) == before, "there was nothing to run"
    assert json.loads(rest.stdout)["rows"] == data["rows"][:2]

    simulated = sweep(tmp_path, "--simulate", "--only", "system=plain").end()
    assert simulated.code == 0, simulated.stderr
    [path] = json.loads(simulated.stdout)["rows"][0]["runs"]
    assert byzsgd.Run.open(tmp_path / path).simulated
    folder = tmp_path / "runs" / "swept"
    names = ("sweep.json", "sweep-simulated.json")
    real, virtual = [json.loads((folder / name).read_text()) for name in names]
    assert real["cells"] == virtual["cells"]
    assert (real["simulated"], virtual["simulated"]) == (False, True)


def test_a_sweep_that_is_killed_leaves_no_process_and_no_lock(mark: Mark, tmp_path: Path) -> None:
    command = sweep(tmp_path)
    command.until("2/3 system=byzsgd, seed 1: finished")
    watch = Watch(mark.processes())
    command.process.kill()
    watch.all_end()
    command.end()
    again = sweep(tmp_path, "--only", "system=plain", "--seed", "2").end()
    assert again.code == 0, again.stderr
    assert "1/1 system=plain, seed 2: finished" in again.stderr
