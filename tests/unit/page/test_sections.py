"""What single sections count."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from byzsgd.experiment.page.agreement import agree
from byzsgd.experiment.page.gather import gather
from byzsgd.experiment.page.section import Section, Table
from byzsgd.experiment.page.section_against import against
from byzsgd.experiment.page.section_assumptions import assumptions
from byzsgd.experiment.page.section_judged import fates_of, judged
from byzsgd.experiment.page.section_liars import liars, suspects
from byzsgd.experiment.page.section_paper import paper
from byzsgd.experiment.page.study import Cell, Study
from byzsgd.experiment.totals import rejected_of
from tests.unit.page.records import STEP_S, experiment, manifest, record, studies, sweep


def table_of(section: Section | None) -> Table:
    assert section is not None
    [shown] = section.shown
    assert shown.table is not None
    return shown.table


def test_liars_and_late_models_are_no_false_rejections(swept: Path) -> None:
    real, _ = studies(swept)
    node = next(node for node in real.samples[0].nodes if node.role == "worker")
    assert node.judged["late", False] == 20
    workers = 7 * 2
    honest, lying = (fates_of(real.cells[0], lies) for lies in (False, True))
    assert rejected_of(honest) == (2 * workers, 20 * workers)
    assert rejected_of(lying) == (18 * workers, 18 * workers)
    assert lying["not finite"] == 4 * workers
    assert len(real.samples[0].nodes) == 11, "of 12 nodes one lies, and measures nothing for us"


def test_every_fate_is_told_of_under_its_own_name(undrawn: None, swept: Path) -> None:
    real, _ = studies(swept)
    first = real.samples[0]
    odd = replace(first.nodes[-1], judged={("stale", False): 3, ("accepted", False): 1})
    cell = Cell(real.cells[0].labels, {1: replace(first, nodes=(odd,))})
    section = judged(Study("x", False, real.axes, (cell,)), "m")
    assert section
    head, [row] = table_of(section).head, table_of(section).rows
    told = dict(zip(head, row, strict=True))
    assert told | {"judged": "4", "stale": "3", "not finite": "0", "late": "0"} == told
    assert told["rejected of the judged"] == "75.0 %"
    legend = [name for name, _ in section.shown[0].legend]
    assert legend == ["accepted", "lipschitz", "outlier", "not finite", "stale"], "late is beside"


@pytest.mark.parametrize(
    ("ratio", "agreed"), [(0.74, False), (0.75, True), (1.0, True), (1.25, True), (1.26, False)]
)
def test_simulated_and_real_agree_within_a_quarter_of_the_real_one(
    ratio: float, agreed: bool
) -> None:
    assert agree(ratio * 0.5, 0.5) is agreed


def test_the_ratio_is_told_beside_the_bound(undrawn: None, swept: Path) -> None:
    real, _ = studies(swept)
    section = assumptions(real, "m")
    assert section
    rows = table_of(section).rows
    assert len(rows) == 5, "each cell with a run, the failed one as well"
    assert rows[0][2:7] == ("mda", "1.27", "1.00", "33.3 %", "96"), "√1.625; 2 seeds, 4 servers"
    curves = [node.ratios for node in real.samples[0].nodes if node.role == "server"]
    assert [len(curve) for curve in curves] == [12] * 4
    assert curves[0][3].tolist() == [3.0, 1.0, 1.0]


def test_liars_and_suspects_are_those_of_the_record(swept: Path) -> None:
    real, _ = studies(swept)
    first = table_of(liars(real)).rows[0]
    assert first[2:4] == ("server-0", "nan")
    assert first[5:7] == ("84 of 84", "–"), "12 steps of 7 workers; nobody chooses models"
    found = [row[2:] for row in table_of(suspects(real)).rows[:3]]
    assert ("worker-6", "–", "–", "unselected 100 % (0 %)") in found
    assert found[0][0] == "server-0", "its models were rejected more often"


def test_records_of_before_have_no_such_sections(undrawn: None, tmp_path: Path) -> None:
    path = record(tmp_path, experiment())
    for name in ("assumptions.json", "potency.json", "suspicion.json"):
        (path / name).unlink()
    study = gather([path]).studies[0]
    assert (assumptions(study, "m"), liars(study), suspects(study)) == (None, None, None)


def situations(runs: Path, paces: dict[tuple[str, str, str], tuple[float, float]]) -> Study:
    """A study of steps that took so long with seeds 1 and 2, by system, situation and size."""
    axes = {
        axis: list(dict.fromkeys(labels[at] for labels in paces)) for at, axis in enumerate("abc")
    }
    cells = []
    for place, (labels, steps_s) in enumerate(paces.items()):
        for seed, step_s in enumerate(steps_s, start=1):
            made = experiment(seed=seed, window=3 + place)
            record(runs, made, step_s)
            named = dict(zip("abc", labels, strict=True))
            cells.append({"labels": named, "seed": seed, "digest": made.digest})
    manifest(runs / "swept", cells, axes)
    [study] = gather([runs]).studies
    return study


def test_each_situation_is_held_against_the_first_one_of_its_axis(
    undrawn: None, tmp_path: Path
) -> None:
    study = situations(
        tmp_path,
        {
            ("async", "nothing wrong", "7"): (0.01, 0.03),
            ("async", "slow", "7"): (0.02, 0.03),
            ("sync", "nothing wrong", "7"): (0.02, 0.02),
            ("sync", "slow", "7"): (0.2, 0.2),
            ("sync", "slow", "25"): (0.4, 0.8),
        },
    )
    section = against(study, "m")
    assert section
    assert section.title == "Against nothing wrong and c = 7"
    ratios = [
        {row[:3]: row[5:] for row in shown.table.rows if row[5] != "–"}
        for shown in section.shown
        if shown.table
    ]
    assert ratios == [
        {
            ("async", "slow", "7"): ("1.50×\n1.00×–2.00×", "−25 %\n−50 to +0 %", "2"),
            ("sync", "slow", "7"): ("10.00×", "−90 %", "2"),
        },
        {("sync", "slow", "25"): ("3.00×\n2.00×–4.00×", "−62 %\n−75 to −50 %", "2")},
    ]
    alone = situations(tmp_path / "alone", {("async", "nothing wrong", "7"): (0.01, 0.01)})
    assert against(alone, "m") is None


def test_a_system_that_never_converges_has_no_flattering_ratio(tmp_path: Path) -> None:
    cells = []
    for system, bests in (("plain", (0.9, 0.9, 0.3)), ("byzsgd-async", (0.9, 0.3, 0.9))):
        for seed, best in enumerate(bests, start=1):
            made = experiment(seed=seed, window=3 + len(system))
            record(tmp_path, made, STEP_S[system], best=best)
            cells.append({"labels": {"a": system}, "seed": seed, "digest": made.digest})
    manifest(tmp_path / "swept", cells, {"a": ["plain", "byzsgd-async"]})
    step, target = table_of(paper(gather([tmp_path]).studies[0])).rows
    assert step[2:] == ("+100 %", "+100 %", "1 of 1", "3 of 3")
    assert target[2:] == ("never", "never", "1 of 1", "2 of 3")


def test_the_papers_figures_are_compared_with_plain_wherever_it_stands(tmp_path: Path) -> None:
    folder = sweep(tmp_path)
    tables = json.loads((folder / "sweep.json").read_text())
    tables["axes"]["system"].reverse()
    (folder / "sweep.json").write_text(json.dumps(tables))
    rows = table_of(paper(gather([folder]).studies[0])).rows
    ours = {row[0]: row[2] for row in rows}
    assert ours["throughput overhead, synchronous"] == "+200 %"
    assert ours["throughput overhead, asynchronous"] == "+100 %"
    assert ours["time to converge, asynchronous"] == "+100 %"
