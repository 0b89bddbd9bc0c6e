"""The presets of `benchmarks.adversary`: what they would run, and what they say of records."""

import json
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from benchmarks.adversary import alie, both_sides, hidden_vulnerability, momentum
from benchmarks.adversary.__main__ import PRESETS
from benchmarks.adversary.found import Found, accuracy
from benchmarks.adversary.leeway import DIMENSIONS, Leeway, slope
from benchmarks.adversary.preset import Claim, Preset, Report, Size, every, verdicts
from benchmarks.adversary.running import SIMULATED, part, perform, told
from byzsgd.attacks import ATTACKS
from byzsgd.experiment.results import Run
from byzsgd.experiment.sweep.cells import load_sweep
from byzsgd.experiment.sweep.swept import Swept

Labels = Mapping[str, str]


@dataclass(frozen=True)
class Told(Run):
    """A record that says what a test wants it to say."""

    figure: float = 0.0
    ended: str = "finished"
    steps: int = 10

    @property
    def status(self) -> str:
        return self.ended

    @property
    def accuracy(self) -> float:
        return self.figure

    @property
    def seconds(self) -> float:
        return 1.0

    @property
    def diameter(self) -> float:
        return self.figure

    @property
    def evaluations(self) -> list[dict[str, Any]]:
        return [{"accuracy": self.figure}, {"accuracy": 0.1}]


def made_up(preset: Preset, say: Callable[[str, Labels], Run | None]) -> Found:
    """All cells of a preset, with the records that `say` makes of sweep and labels."""
    size = Size(preset.task)
    found = Found({})
    for tables in preset.sweeps(size):
        sweep = load_sweep(tables)
        name = part(preset, size, sweep.name)
        runs = {cell.digest: run for cell in sweep.cells if (run := say(name, cell.labels))}
        found.swept[name] = Swept(sweep, SIMULATED, sweep.cells, Path(), runs)
    return found


def answers(report: Report) -> list[bool | None]:
    return [claim.holds for claim in report.claims]


@pytest.mark.parametrize("quick", [True, False])
@pytest.mark.parametrize("preset", PRESETS.values(), ids=PRESETS)
def test_every_experiment_of_every_preset_is_legal_and_another(preset: Preset, quick: bool) -> None:
    for task in (preset.task, "digits"):
        sweeps = [load_sweep(tables) for tables in preset.sweeps(Size(task, quick))]
        for sweep in sweeps:
            assert sweep.impossible() == []
            assert sweep.repeated == 0, "two cells are one experiment"
        assert len({sweep.name for sweep in sweeps}) == len(sweeps), "they would share a folder"


@pytest.mark.parametrize("preset", PRESETS.values(), ids=PRESETS)
def test_without_records_nothing_is_claimed_of_training(
    preset: Preset, monkeypatch: pytest.MonkeyPatch
) -> None:
    measured = Leeway((1.0, 2.0, 3.0, 4.0), (1.0, 1.0, 1.0, 1.0))
    monkeypatch.setattr(hidden_vulnerability, "leeway", lambda rule: measured)
    report = preset.report(made_up(preset, lambda sweep, labels: None))
    of_training = [claim for claim in report.claims if "slope" not in claim.figures]
    assert {claim.holds for claim in of_training} == {None}


def test_alie_answers_from_the_figures(tmp_path: Path) -> None:
    (tmp_path / "potency.json").write_text(json.dumps({"liars": [{"selected": 3}] * 2}))
    points = {"krum": 70, "trimmed_mean": 80, "bulyan": 85, "median": 85, "mda": 85, "average": 88}

    def say(sweep: str, labels: Labels, other: Mapping[str, float]) -> Run:
        rule = labels["case"].partition(",")[0] if sweep == "knowing" else labels.get("rule", "")
        better = 5 * (labels.get("pre") == "nnm") + (labels.get("momentum") == "0.9")
        known = 91 if sweep == "honest" else {**points, **other}[rule] + better
        return Told(tmp_path, known / 100)

    def answered(**other: float) -> list[bool | None]:
        found = made_up(alie.PRESET, lambda sweep, labels: say(sweep, labels, other))
        return answers(alie.report(found))

    assert answered() == [True] * 5
    assert answered(bulyan=85.1) == [False, True, True, True, True]
    assert answered(krum=84, average=83) == [True, False, False, True, True]


@pytest.mark.parametrize(
    ("server", "worker", "expected"),
    [(60.0, 80.0, ("yes", "yes")), (60.0, 79.9, ("yes", "no")), (60.1, 90.0, ("no", ""))],
)
def test_momentum_counts_by_the_papers_definitions(
    tmp_path: Path, server: float, worker: float, expected: tuple[str, str]
) -> None:
    for place, ratio in (("server", 4.0), ("worker", 2.0)):
        (tmp_path / place).mkdir()
        (tmp_path / place / "assumptions.json").write_text(json.dumps({"ratio": ratio}))

    def say(sweep: str, labels: Labels) -> Run:
        attacked = server if labels["at"] == "server" else worker
        return Told(tmp_path / labels["at"], (80.0 if sweep else attacked) / 100)

    report = momentum.PRESET.report(made_up(momentum.PRESET, say))
    cells = [line.split(" | ") for line in report.lines[2:-1]]
    assert {(row[7], row[8].strip()) for row in cells} == {expected}
    assert len(cells) == 16, "each seed is a case"
    assert answers(report)[-1] is True, "2 is less than 4"


def test_both_sides_tells_the_cell_that_is_broken_and_who_is_stuck() -> None:
    def say(sweep: str, labels: Labels) -> Run:
        worker, server = labels.get("worker", "nobody"), labels.get("server", "nobody")
        if sweep:
            return Told(Path(), 0.1, ended="failed")
        return Told(Path(), 0.6 if (worker, server) == ("alie", "drift") else 0.9)

    report = both_sides.PRESET.report(made_up(both_sides.PRESET, say))
    assert answers(report) == [False, True, True, True]
    assert "alie with drift, 60.0 %" in report.claims[0].figures
    assert sum("stuck" in line for line in report.lines) == 1 + len(ATTACKS)


def test_what_does_not_hold_is_told_with_its_reason() -> None:
    claims = [Claim("A.", True, "1", "never shown"), Claim("B.", False, "2", "since")]
    text = "\n".join(verdicts(claims))
    assert "| A. | yes | 1 |" in text
    assert "| B. | **no** | 2 |" in text
    assert "never shown" not in text
    assert text.endswith("- No: B. since")


def test_every_knows_what_is_not_known() -> None:
    assert every({"a": True, "b": True}) is True
    assert every({"a": True, "b": None}) is None
    assert every({"a": None, "b": False}) is False
    assert every({}) is None


def test_a_model_that_is_not_finite_has_no_accuracy_at_all() -> None:
    assert accuracy(Told(Path(), math.nan)) == 0


@pytest.mark.parametrize("exponent", [0.5, 0.0, 1.0])
def test_the_slope_is_the_exponent(exponent: float) -> None:
    assert slope(tuple(3 * d**exponent for d in DIMENSIONS)) == pytest.approx(exponent)


def test_a_preset_goes_on_from_its_records(tmp_path: Path) -> None:
    def sweeps(size: Size) -> list[dict[str, Any]]:
        axes = {"plan.steps": [1, 2] if first else [1, 2, 3]}
        cluster = {"servers": 1, "workers": 2}
        gradients = {"gradients": "average"}
        tables = {"name": size.name("tiny"), "cluster": cluster, "plan": {"steps": 1}}
        return [{**tables, "aggregation": gradients, "sweep": {"axes": axes}}]

    def report(found: Found) -> Report:
        return Report([], [Claim("It runs.", len(found.runs()) == 3, "")])

    tiny = Preset("tiny", "Two runs", "digits", sweeps, report)
    first = True
    assert "| It runs. | **no** |" in perform(tiny, tmp_path, quick=True)
    before = set((tmp_path / "adversary-tiny-quick").glob("*/result.json"))
    first = False
    text = perform(tiny, tmp_path, quick=True)
    assert "| It runs. | yes |" in text
    assert "3 runs" in text
    after = set((tmp_path / "adversary-tiny-quick").glob("*/result.json"))
    assert before < after, "what was done is done again"
    assert (len(before), len(after)) == (2, 3)


def test_a_report_says_which_data_it_is_about() -> None:
    preset = PRESETS["alie"]
    found = made_up(preset, lambda sweep, labels: None)
    assert "Data: mnist;" in told(preset, found, "mnist")
    assert "Data: digits, as there is no mnist;" in told(preset, found, "digits")
