"""What records add up to: cells, medians, ratios, and which run is of which cell."""

import math
import shutil
from pathlib import Path
from typing import Any

import pytest

from byzsgd.experiment.page import page
from byzsgd.experiment.page.gather import gather
from byzsgd.experiment.page.section_overview import overview
from byzsgd.experiment.page.words import seconds, told
from byzsgd.experiment.sweep.spread import spread
from tests.unit.page.records import STEPS, Text, experiment, manifest, record, studies, sweep


def test_what_a_sweep_adds_up_to(swept: Path) -> None:
    real, simulated = studies(swept)
    assert (real.simulated, simulated.simulated) == (False, True)
    assert [cell.status for cell in real.cells] == [
        *("2 of 2", "2 of 2", "2 of 2"),
        *("2 of 2", "0 of 2\n1 failed", "impossible"),
    ]
    sync = real.cells[2]
    assert sync.over(lambda run: run.step_s) == pytest.approx((0.045, 0.03, 0.06, 2))
    assert sync.over(lambda run: run.cpu_s) == pytest.approx((0.12, 0.12, 0.12, 2))
    assert sync.over(lambda run: run.seconds_to(0.6)) == pytest.approx((0.36, 0.24, 0.48, 2))
    assert sync.over(lambda run: run.steps_to(0.6)) == (8, 8, 8, 2)
    assert sync.over(lambda run: run.steps_to(0.95)) is None
    assert simulated.cells[2].over(lambda run: run.step_s) == pytest.approx(
        (0.0495, 0.033, 0.066, 2)
    )


def test_what_nodes_and_links_add_up_to(swept: Path) -> None:
    real, _ = studies(swept)
    run = real.cells[0].samples[1]
    assert run.links == {("server", "worker"): (100,) * 35, ("worker", "server"): (100,) * 35}
    assert run.sent_bytes == 1200 * 70 / STEPS
    [*servers, _] = [node for node in run.nodes if node.role == "server"]
    assert servers[0].lags == {-1: 10, 0: 80, 2: 10}
    assert servers[0].waits == pytest.approx([0.008] * (STEPS - 3)), "without the warm-up"
    assert servers[0].parts["wait"] == pytest.approx([0.006] * (STEPS - 3))


def test_ratios_are_of_equal_seeds(swept: Path) -> None:
    """Seed 2 took twice the time of seed 1 everywhere: no ratio may show that."""
    real, _ = studies(swept)
    sync = real.cells[2]
    assert real.ratio(sync, lambda run: run.step_s) == pytest.approx((3, 3, 3, 2))
    assert real.ratio(sync, lambda run: run.step_s, "byzsgd-async") == pytest.approx(
        (1.5,) * 3 + (2,)
    )
    assert real.ratio(real.cells[4], lambda run: run.step_s) is None, "nothing of it is finished"


def test_one_seed_here_and_another_there_give_no_ratio(tmp_path: Path) -> None:
    folder = sweep(tmp_path)
    real = gather([folder]).studies[0]
    plain, sync = real.cells[0], real.cells[2]
    for cell, seed in ((plain, 1), (sync, 2)):
        shutil.rmtree(cell.samples[seed].path)
    again = gather([folder]).studies[0]
    assert len(again.cells[2].finished) == len(again.cells[0].finished) == 1
    assert again.ratio(again.cells[2], lambda run: run.step_s) is None


def test_a_seed_that_never_reached_the_target_is_the_last_one(tmp_path: Path) -> None:
    made = [experiment(seed=seed) for seed in (1, 2, 3)]
    for each, best in zip(made, (0.9, 0.5, 0.7), strict=True):
        record(tmp_path, each, 0.01 * each.seed, best=best)
    cells = [{"labels": {"a": "x"}, "seed": e.seed, "digest": e.digest} for e in made]
    manifest(tmp_path / "swept", cells, {"a": ["x"]})
    [study] = gather([tmp_path]).studies
    [cell] = study.cells
    assert cell.times(lambda run: run.steps_to(0.6)) == (12, 8, math.inf, 3)
    late = cell.times(lambda run: run.seconds_to(0.8))
    assert late == pytest.approx((math.inf, 0.12, math.inf, 3)), "most never did"
    assert told(cell.times(lambda run: run.seconds_to(0.6)), seconds) == "360 ms\n80.0 ms–never"
    table = overview(study).shown[0].table
    assert table
    told_ = dict(zip(table.head, table.rows[0], strict=True))
    assert (told_["target reached"], told_["steps to it"]) == ("2 of 3 seeds", "12\n8–never")


def test_a_finished_run_counts_before_a_newer_failed_one(tmp_path: Path) -> None:
    made = experiment()
    good = record(tmp_path, made, 0.01)
    record(tmp_path, made, 0.05, status="failed")
    record(tmp_path, made, 0.05, status=None)
    stranger = record(tmp_path, experiment(seed=9))
    cells = [{"labels": {"a": "x"}, "seed": 1, "digest": made.digest}]
    manifest(tmp_path / "swept", cells, {"a": ["x"]})
    [study] = gather([tmp_path, tmp_path / "swept", tmp_path / "swept" / ".."]).studies
    assert [run.path for run in study.samples] == [str(good)]
    assert study.strangers == (stranger.name,)


def test_runs_of_another_manner_are_strangers_and_do_not_vanish(tmp_path: Path) -> None:
    made = experiment()
    record(tmp_path, made, 0.01)
    bare = record(tmp_path, made, 0.05, encryption="none")
    virtual = record(tmp_path, made, 0.05, simulated=True)
    cells = [{"labels": {"a": "x"}, "seed": 1, "digest": made.digest}]
    manifest(tmp_path / "swept", cells, {"a": ["x"]}, encryption="curve")
    [study] = gather([tmp_path]).studies
    assert [run.step_s for run in study.samples] == pytest.approx([0.01])
    assert set(study.strangers) == {
        *(f"{bare.name} (real, encryption none)", f"{virtual.name} (simulated)")
    }
    manifest(tmp_path / "swept", cells, {"a": ["x"]}, simulated=True)
    real, simulated = studies(tmp_path / "swept")
    assert real.strangers == (f"{bare.name} (real, encryption none)",)
    assert [run.path for run in simulated.samples] == [str(virtual)]
    assert simulated.strangers == (), "they are told of once"


def test_a_pending_run_is_of_the_cell_that_its_name_says(tmp_path: Path) -> None:
    made = experiment()
    record(tmp_path, made, status=None)
    for simulated in (False, True):
        cells = [{"labels": {"a": "x"}, "seed": 1, "digest": made.digest}]
        manifest(tmp_path / "swept", cells, {"a": ["x"]}, simulated=simulated)
    real, simulated_ = studies(tmp_path / "swept")
    assert real.cells[0].status == "pending"
    assert simulated_.cells[0].status == "not run yet", "its nodes wrote logs"


def test_a_sweep_without_axes_is_one_cell(undrawn: None, tmp_path: Path) -> None:
    made = [experiment(seed=seed) for seed in (1, 2)]
    for each in made:
        record(tmp_path, each)
    cells: list[dict[str, Any]] = [
        {"labels": {}, "seed": each.seed, "digest": each.digest} for each in made
    ]
    manifest(tmp_path / "swept", cells, {})
    [cell] = gather([tmp_path]).studies[0].cells
    assert (cell.labels, cell.status) == ((("experiment", "swept"),), "2 of 2")
    assert "2 of 2" in Text(page([tmp_path]))


def test_variants_stand_together_whatever_order_they_were_run_in(tmp_path: Path) -> None:
    cells = [
        {"labels": {"system": system, "what": what}, "seed": 1, "digest": "0" * 64}
        for system in ("a", "b")
        for what in ("x", "y")
    ]
    manifest(tmp_path / "swept", cells, {"system": ["a", "b"], "what": ["x", "y"]})
    [study] = gather([tmp_path]).studies
    assert [" ".join(dict(cell.labels).values()) for cell in study.cells] == [
        *("a x", "b x", "a y", "b y")
    ]


def test_figures_in_words() -> None:
    assert [seconds(value) for value in (0, 2.5e-6, 0.0123, 1.5, 4321.0)] == [
        *("0 s", "2.50 µs", "12.3 ms", "1.50 s", "4,321 s")
    ]
    assert told(spread([0.03, 0.01, 0.02, math.nan]), seconds) == "20.0 ms\n10.0–30.0 ms"
    assert told(spread([0.0009, 0.0011]), seconds) == "1.00 ms\n900 µs–1.10 ms"
    assert told(spread([math.nan]), seconds) == "–"
