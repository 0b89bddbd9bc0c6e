"""What a sweep's records add up to."""

import json
import math
from pathlib import Path

import pytest

from byzsgd.experiment.config import Experiment
from byzsgd.experiment.files import Lines
from byzsgd.experiment.page.gather import gather
from byzsgd.experiment.record import Record, Run, measures_path
from byzsgd.experiment.sweep.cells import load_sweep
from byzsgd.experiment.sweep.manifest import Manner, write_manifest
from byzsgd.experiment.sweep.summary import Row, rows
from byzsgd.experiment.sweep.swept import Swept
from byzsgd.experiment.sweep.text import swept_text
from tests.unit.sweep.tables import BASE, tables


def timed(runs: Path, experiment: Experiment, step_s: float, accuracy: float) -> None:
    """A record of a run whose first steps are slow, as is the end of it."""
    record = Record.begin(experiment, runs)
    for at, share in ((1.0, 0.4), (2.0, accuracy)):
        record.evaluation(step=1, accuracy=share, loss=0, diameter=0, models=1, seconds=at)
    for number, server in enumerate(experiment.honest_servers):
        with Lines(measures_path(record.path, server)) as lines:
            for step in range(1, 21):
                # one server in five is very slow, and the first steps are so everywhere
                pace = 100 * step_s if number == 4 else step_s
                lines.write(step=step, seconds=50.0 + 1000 * min(step, 3) + pace * step)
    record.finish(
        "finished", accuracy=accuracy, steps=20, diameter=0, seconds=9e3, encryption="curve"
    )


def figures(runs: Path, paces: dict[str, tuple[float, float]]) -> dict[str, Row]:
    found = load_sweep(tables(target=0.5))
    for cell in found.cells:
        if cell.experiment and str(cell) in paces:
            timed(runs, cell.experiment, *paces[str(cell)])
    swept = Swept.look(found, found.cells, runs / "swept", Manner())
    return {", ".join(row.labels.values()): row for row in rows(swept)}


def test_figures_are_medians_and_ratios_are_taken_seed_by_seed(tmp_path: Path) -> None:
    found = figures(
        tmp_path,
        {
            "system=plain, what=nothing, seed 7": (0.1, 0.9),
            "system=plain, what=nothing, seed 8": (0.2, 0.8),
            "system=byzsgd, what=nothing, seed 7": (0.4, 0.7),
            "system=byzsgd, what=nothing, seed 8": (0.4, 0.45),
            "system=byzsgd, what=mute, seed 8": (0.4, 0.6),
        },
    )
    plain, byzsgd = found["plain, nothing"], found["byzsgd, nothing"]
    assert plain.accuracy == pytest.approx((0.85, 0.8, 0.9, 2))
    assert plain.steps_per_second == pytest.approx((7.5, 5, 10, 2))
    assert plain.step_ratio == pytest.approx((1, 1, 1, 2))
    assert byzsgd.step_ratio == pytest.approx((3, 2, 4, 2))
    assert byzsgd.reached_s == (math.inf, 2.0, math.inf, 2), "one of two never did"
    assert byzsgd.reached == 1
    assert json.loads(json.dumps(byzsgd.to_dict()))["reached_s"]["high"] is None
    assert found["byzsgd, mute"].states == {"missing": 1, "done": 1}
    assert found["byzsgd, mute"].step_ratio is None, "there is nothing to compare it with"
    assert found["plain, mute"].accuracy is None
    assert found["plain, mute"].states == {"impossible": 2}


def test_the_page_and_the_terminal_say_the_same(tmp_path: Path) -> None:
    found = figures(
        tmp_path,
        {
            "system=plain, what=nothing, seed 7": (0.1, 0.9),
            "system=byzsgd, what=nothing, seed 7": (0.4, 0.7),
            "system=byzsgd, what=nothing, seed 8": (0.5, 0.45),
            "system=byzsgd, what=mute, seed 8": (0.6, 0.6),
        },
    )
    write_manifest(load_sweep(tables(target=0.5)), tmp_path / "swept", Manner())
    [study] = gather([tmp_path]).studies
    assert len(study.cells) == len(found) == 4
    for cell in study.cells:
        row = found[", ".join(variant for _, variant in cell.labels)]
        assert cell.over(lambda run: run.accuracy) == row.accuracy
        assert cell.over(lambda run: run.rate) == row.steps_per_second
        assert study.ratio(cell, lambda run: run.step_s) == row.step_ratio
        assert cell.times(lambda run: run.seconds_to(0.5)) == row.reached_s


def test_a_seed_that_never_got_there_is_told_of(tmp_path: Path) -> None:
    nothing = "system=byzsgd, what=nothing, seed"
    found = load_sweep(tables(target=0.5))
    figures(tmp_path, {f"{nothing} 7": (0.1, 0.9), f"{nothing} 8": (0.1, 0.45)})
    text = swept_text(Swept.look(found, found.cells, tmp_path / "swept", Manner()))
    assert "never (2–never), 1 of 2 seeds" in text


def test_how_long_a_step_takes_and_when_an_accuracy_was_reached(tmp_path: Path) -> None:
    experiment = Experiment.from_dict({**BASE, "byzantine": {"server-0": {"attack": "mute"}}})
    timed(tmp_path, experiment, 0.25, 0.9)
    [path] = (tmp_path / "swept").iterdir()
    run = Run.open(path)
    assert run.step_s == pytest.approx(0.25)
    assert [run.reached(share) for share in (0.4, 0.41, 0.9, 0.95)] == [1.0, 2.0, 2.0, None]
    for file in (path / "nodes").iterdir():
        file.write_text(file.read_text().split("\n")[0] + "\n")
    assert Run.open(path).step_s == 9e3 / 20, "one line is not enough"


def test_a_step_of_a_run_that_made_none(tmp_path: Path) -> None:
    record = Record.begin(Experiment.from_dict(BASE), tmp_path)
    run = record.finish("failed", accuracy=math.nan, steps=0, diameter=math.nan, seconds=1)
    assert math.isnan(run.step_s)
    assert run.reached(0.1) is None
