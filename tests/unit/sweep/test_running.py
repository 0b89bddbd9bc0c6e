"""What a sweep runs, and what of it is done."""

import json
from pathlib import Path

import pytest

from byzsgd.errors import ConfigError
from byzsgd.experiment.config import Experiment
from byzsgd.experiment.progress import Progress
from byzsgd.experiment.sweep.cells import Sweep, load_sweep
from byzsgd.experiment.sweep.launch import sweep
from byzsgd.experiment.sweep.manifest import Manner, alone_in
from byzsgd.experiment.sweep.run import Ended, run_missing
from byzsgd.experiment.sweep.swept import Swept
from tests.unit.sweep.tables import Launcher, repeated, tables


def test_only_what_is_missing_is_run(launcher: Launcher, tmp_path: Path) -> None:
    first = sweep(repeated(2), runs=tmp_path)
    assert launcher.seeds() == [7, 8]
    assert first.shortfalls() == []
    again = sweep(repeated(3), runs=tmp_path)
    assert launcher.seeds() == [9], "the file was changed: old records count"
    assert len(again.runs) == 3
    sweep(repeated(3, plan={"steps": 21}), runs=tmp_path)
    assert launcher.seeds() == [7, 8, 9], "other experiments"
    assert len(sweep(repeated(3), runs=tmp_path).runs) == 6
    assert launcher.seeds() == []


def test_the_manifest(launcher: Launcher, tmp_path: Path) -> None:
    path = tmp_path / "swept" / "sweep.json"
    seen: list[bool] = []

    def then(experiment: Experiment) -> str:
        seen.append(path.exists())
        return "finished"

    launcher.then = then
    done = sweep(tables(target=0.5), runs=tmp_path)
    assert seen == [True] * 6, "it is there before the first run"
    found = json.loads(path.read_text())
    assert {key: found[key] for key in ("name", "repeat", "target", "simulated", "axes")} == {
        "name": "swept",
        "repeat": 2,
        "target": 0.5,
        "simulated": False,
        "axes": {"system": ["plain", "byzsgd"], "what": ["nothing", "mute"]},
    }
    digests = {run.experiment_digest for run in done.runs.values()}
    assert {cell["digest"] for cell in found["cells"] if "digest" in cell} == digests
    assert found["cells"][1] == {
        "labels": {"system": "plain", "what": "mute"},
        "seed": 7,
        "impossible": done.sweep.cells[1].impossible,
    }


def test_what_fails_is_run_again_only_if_asked_for(launcher: Launcher, tmp_path: Path) -> None:
    launcher.then = lambda experiment: "failed" if experiment.seed == 7 else "finished"
    done = sweep(repeated(), runs=tmp_path)
    assert launcher.seeds() == [7, 8, 9], "the others are run all the same"
    assert done.shortfalls() == ["seed 7: failed at step 20 of 20"]
    assert sweep(repeated(), runs=tmp_path).shortfalls() == done.shortfalls()
    assert launcher.seeds() == []
    [first] = [run for run in done.runs.values() if run.status == "failed"]
    second = sweep(repeated(), runs=tmp_path, again=True).runs[first.experiment_digest]
    assert second.path > first.path, "the newest counts"
    assert launcher.seeds() == [7]
    launcher.then = lambda experiment: "finished"
    assert sweep(repeated(), runs=tmp_path, again=True).shortfalls() == []
    assert launcher.seeds() == [7]


@pytest.mark.parametrize("error", [ConfigError("no data"), ZeroDivisionError("no data")])
def test_an_error_keeps_none_of_the_others_from_running(
    launcher: Launcher, tmp_path: Path, error: Exception
) -> None:
    def then(experiment: Experiment) -> str:
        if experiment.seed == 7:
            raise error
        return "finished"

    launcher.then = then
    done = sweep(repeated(), runs=tmp_path)
    assert launcher.seeds() == [7, 8, 9]
    [told] = done.shortfalls()
    assert told.startswith("seed 7: ")
    assert told.endswith("no data")
    sweep(repeated(), runs=tmp_path)
    assert launcher.seeds() == [7], "it has no result and is missing"


def test_ctrl_c_ends_it_and_the_interrupted_run_is_done_again(
    launcher: Launcher, tmp_path: Path
) -> None:
    launcher.then = lambda experiment: "interrupted" if experiment.seed == 8 else "finished"
    done = sweep(repeated(), runs=tmp_path)
    assert launcher.seeds() == [7, 8]
    assert done.interrupted
    assert done.shortfalls() == ["2 of 3 experiments are missing"]

    def between(experiment: Experiment) -> str:
        raise KeyboardInterrupt

    launcher.then = between
    assert sweep(repeated(), runs=tmp_path).interrupted
    assert launcher.seeds() == [8]
    launcher.then = lambda experiment: "finished"
    assert not sweep(repeated(), runs=tmp_path).interrupted
    assert launcher.seeds() == [8, 9]


def test_damaged_and_pending_records_do_not_count(launcher: Launcher, tmp_path: Path) -> None:
    runs = list(sweep(repeated(), runs=tmp_path).runs.values())
    launcher.seeds()
    (runs[0].path / "result.json").write_text("{")
    runs[1].path.rename(runs[1].path.with_name(runs[1].path.name + ".pending"))
    sweep(repeated(), runs=tmp_path)
    assert launcher.seeds() == [7, 8]


def test_records_of_another_manner_do_not_count(launcher: Launcher, tmp_path: Path) -> None:
    sweep(repeated(1), runs=tmp_path, encryption="none")
    assert launcher.seeds() == [7]
    sweep(repeated(1), runs=tmp_path, encryption="curve")
    assert launcher.seeds() == [7]
    found = load_sweep(repeated(1))
    simulated = Swept.look(found, found.cells, tmp_path / "swept", Manner(simulated=True))
    assert [simulated.state(cell) for cell in found.cells] == ["missing"]


def test_equal_experiments_are_run_once(launcher: Launcher, tmp_path: Path) -> None:
    same = tables({"x": {"a": {}, "b": {"plan.gather_every": 10}, "c": {"plan.gather_every": 10}}})
    same["plan"] = {"steps": 20, "gather_every": 10}
    done = sweep(same, runs=tmp_path)
    assert launcher.seeds() == [7, 8]
    assert {done.state(cell) for cell in done.chosen} == {"done"}
    assert done.sweep.repeated == 4


def test_two_sweeps_of_one_name_are_not_run_at_once(launcher: Launcher, tmp_path: Path) -> None:
    with alone_in(tmp_path / "swept"), pytest.raises(ConfigError, match="another sweep of this"):
        sweep(repeated(), runs=tmp_path)
    assert launcher.seeds() == []
    sweep(repeated(), runs=tmp_path)
    assert launcher.seeds() == [7, 8, 9], "the lock has gone with its holder"


def test_a_folder_that_cannot_be_used(tmp_path: Path) -> None:
    (tmp_path / "swept").write_text("a file")
    with pytest.raises(ConfigError, match=r"swept: cannot be used: (File exists|Not a directory)"):
        sweep(repeated(), runs=tmp_path)


def test_simulated(tmp_path: Path) -> None:
    given = {**tables(), "plan": {"steps": 4}, "training": {"task": "digits"}}
    done = sweep(given, runs=tmp_path, simulated=True, only=["system=byzsgd", "what=mute"])
    assert done.shortfalls() == []
    [run, _] = done.runs.values()
    assert (run.simulated, run.status, run.steps) == (True, "finished", 4)
    assert json.loads((tmp_path / "swept" / "sweep-simulated.json").read_text())["simulated"]
    assert not (tmp_path / "swept" / "sweep.json").exists()
    assert run.step_s == pytest.approx(run.seconds / 4, rel=0.5)


def test_a_view_is_told_of_every_run(launcher: Launcher, tmp_path: Path) -> None:
    told: list[str] = []

    class Told:
        def start(self, known: Swept, cells: object) -> None:
            told.append(f"start {[known.state(cell) for cell in known.chosen]}")

        def begin(self, cell: object) -> None:
            told.append(f"begin {cell}")

        def show(self, progress: Progress) -> None: ...

        def end(self, ended: Ended) -> None:
            told.append(f"end {ended.run.status if ended.run else ended.error}")

    found: Sweep = load_sweep(repeated(1))
    run_missing(found, found.cells, tmp_path, Manner(), Told())
    assert told == ["start ['missing']", "begin seed 7", "end finished"]
