"""A run's directory: written, read back, and every way in which it can be broken."""

import json
import math
from pathlib import Path
from typing import Any

import pytest
import torch

from byzsgd.errors import ConfigError
from byzsgd.experiment import environment
from byzsgd.experiment.config import Experiment
from byzsgd.experiment.files import Lines, read_lines, saved_steps, to_json, write_json
from byzsgd.experiment.record import (
    Record,
    Run,
    load_model,
    measures_path,
    model_path,
    save_model,
)
from byzsgd.experiment.report import report

EXPERIMENT = Experiment(
    name="recorded",
    cluster={"servers": 5, "workers": 7, "f_servers": 1, "f_workers": 2},
    plan={"steps": 30},
    byzantine={"server-0": {"attack": "equivocate"}, "worker-0..2": {"attack": "alie"}},
    expect={"accuracy": 0.9},
)


@pytest.fixture(scope="module")
def dimension() -> int:
    from byzsgd.experiment.plan import dimension_of

    return dimension_of(EXPERIMENT)


def finished(runs: Path, accuracy: float = 0.95, steps: int = 30, **more: Any) -> Run:
    record, figures = Record.begin(EXPERIMENT, runs), {"diameter": 0.5, "seconds": 2.0, **more}
    return record.finish("finished", accuracy=accuracy, steps=steps, **figures)


def broken(path: Path) -> str:
    with pytest.raises(ConfigError) as caught:
        Run.open(path)
    return str(caught.value)


# --- writing and reading back ---------------------------------------------------------------------


def test_a_run_is_pending_until_it_ends(tmp_path: Path) -> None:
    record = Record.begin(EXPERIMENT, tmp_path)
    pending = record.path
    assert pending.parent == tmp_path / "recorded"
    assert pending.name.endswith(f"Z-{EXPERIMENT.digest[:6]}.pending")
    record.evaluation(step=10, accuracy=0.5, loss=1.0, diameter=0.1, models=4, seconds=1.0)
    early = Run.open(pending)
    assert (early.status, early.accuracy, early.steps) == ("pending", 0.5, 10)
    assert early.digest == EXPERIMENT.digest[:6]

    run = record.finish("finished", accuracy=0.95, steps=30, diameter=0.01, seconds=2.0, extra=1)
    assert not pending.exists()
    assert run.path == pending.with_name(pending.name.removesuffix(".pending"))
    assert (run.status, run.accuracy, run.steps, run.diameter) == ("finished", 0.95, 30, 0.01)
    assert (run.seconds, run.steps_per_second) == (2.0, 15.0)
    assert run.result["extra"] == 1
    assert run.digest == EXPERIMENT.digest
    assert run.experiment == EXPERIMENT
    assert f"it has not ended: {pending}" in broken_hint(pending, run)


def broken_hint(pending: Path, run: Run) -> str:
    """What is said when somebody asks for the final name of a run that is still pending."""
    run.path.rename(pending)
    return broken(run.path)


def test_what_was_written_along_the_way(tmp_path: Path) -> None:
    record = Record.begin(EXPERIMENT, tmp_path)
    record.event("ready", nodes=12)
    record.event("died", node="worker-3", how="killed by signal 9")
    record.evaluation(step=10, accuracy=0.5, loss=math.inf, diameter=0.1, models=4, seconds=1.0)
    with Lines(measures_path(record.path, "worker-0")) as measures:
        measures.write(step=0, loss=2.5)
        measures.write(step=1, loss=math.nan)
    run = record.finish("failed", accuracy=math.nan, steps=10, diameter=0.1, seconds=1.0)
    assert [event["event"] for event in run.events] == ["ready", "died"]
    assert run.events[1]["node"] == "worker-3"
    assert 0 <= run.events[0]["seconds"] <= run.events[1]["seconds"] < 10
    assert run.evaluations[0]["loss"] is None, "not finite is null: NaN is no JSON"
    assert run.measures("worker-0") == [{"step": 0, "loss": 2.5}, {"step": 1, "loss": None}]
    assert run.measures("worker-1") == []
    assert math.isnan(run.accuracy)


def test_the_record_says_what_it_ran_on_and_what_was_doubtful(tmp_path: Path) -> None:
    record = Record.begin(EXPERIMENT, tmp_path)
    found = json.loads((record.path / "environment.json").read_text())
    assert found["torch"].startswith("2.")
    assert {"python", "numpy", "pyzmq", "libzmq", "byzsgd", "platform", "cores"} <= found.keys()
    run = record.finish(
        "finished", accuracy=1, steps=30, diameter=0, seconds=1, warnings=("slow disk",)
    )
    assert run.warnings == (*EXPERIMENT.warnings, "slow disk")
    assert "3 workers lie" in run.warnings[0]


def test_the_commit_is_that_of_our_own_clone_only(tmp_path: Path) -> None:
    assert environment.git_commit(tmp_path) is None
    (tmp_path / ".git").mkdir()  # no repository, though it looks like one
    assert environment.git_commit(tmp_path) is None


def test_runs_that_begin_together_have_folders_of_their_own(tmp_path: Path) -> None:
    records = [Record.begin(EXPERIMENT, tmp_path) for _ in range(20)]
    assert len({record.path for record in records}) == 20
    for record in records:
        record.close()


def test_a_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "runs").write_text("a file")
    with pytest.raises(ConfigError, match="cannot be made"):
        Record.begin(EXPERIMENT, tmp_path / "runs")


def test_what_a_success_lacks(tmp_path: Path) -> None:
    assert finished(tmp_path).shortfalls() == []
    assert finished(tmp_path, accuracy=0.9).shortfalls() == []
    low = "accuracy 0.8900 is below the expected 0.9"
    assert finished(tmp_path, accuracy=0.89).shortfalls() == [low]
    assert finished(tmp_path, accuracy=math.nan).shortfalls() != []
    assert finished(tmp_path, steps=29).shortfalls() == ["finished at step 29 of 30"]


# --- models ---------------------------------------------------------------------------------------


def test_models_are_saved_whole_or_not_at_all(tmp_path: Path) -> None:
    path = model_path(tmp_path, "server-1", 300)
    assert path == tmp_path / "models" / "server-1" / "00000300.safetensors"
    params = torch.randn(1000)
    save_model(path, 300, params)
    assert torch.equal(load_model(path), params)
    save_model(path, 300, params + 1)
    assert torch.equal(load_model(path), params + 1)
    assert [file.name for file in path.parent.iterdir()] == [path.name], "nothing is left behind"
    assert saved_steps(tmp_path, "server-1") == [300]
    assert saved_steps(tmp_path, "server-2") == []


@pytest.mark.parametrize("cut", [0, 4, 100, -1])
def test_a_damaged_model_is_refused(tmp_path: Path, cut: int) -> None:
    path = model_path(tmp_path, "server-1", 3)
    save_model(path, 3, torch.randn(1000))
    path.write_bytes(path.read_bytes()[:cut])
    with pytest.raises(ConfigError, match="no sound model"):
        load_model(path)


def test_a_file_that_is_no_model_is_refused(tmp_path: Path) -> None:
    from safetensors.torch import save_file

    with pytest.raises(ConfigError, match="no sound model"):
        load_model(tmp_path / "none.safetensors")
    save_file({"other": torch.ones(3)}, tmp_path / "other.safetensors")
    with pytest.raises(ConfigError, match="no sound model"):
        load_model(tmp_path / "other.safetensors")
    save_file({"params": torch.ones(3, dtype=torch.float64)}, tmp_path / "double.safetensors")
    with pytest.raises(ConfigError, match=r"torch\.float64 of shape \(3,\) is no float32 vector"):
        load_model(tmp_path / "double.safetensors")


def test_the_model_is_the_median_of_honest_servers_at_the_last_common_step(
    tmp_path: Path, dimension: int
) -> None:
    run = finished(tmp_path)
    for server, value in ((0, 1e6), (1, 1.0), (2, 2.0), (3, 9.0)):  # server-0 lies
        save_model(
            model_path(run.path, f"server-{server}", 30), 30, torch.full((dimension,), value)
        )
    save_model(model_path(run.path, "server-1", 45), 45, torch.full((dimension,), 7.0))
    module = run.model()
    assert not module.training
    assert all(bool((parameter == 2.0).all()) for parameter in module.parameters())


def test_too_few_models_are_no_result(tmp_path: Path, dimension: int) -> None:
    run = finished(tmp_path)
    for server in (0, 1, 2):
        save_model(model_path(run.path, f"server-{server}", 30), 30, torch.zeros(dimension))
    with pytest.raises(ConfigError, match="no step of which 3 honest servers have saved a model"):
        run.model()


# --- broken directories ---------------------------------------------------------------------------


def test_broken_directories_say_what_is_wrong(tmp_path: Path) -> None:
    assert broken(tmp_path / "no").endswith("no: there is no such run")
    assert broken(tmp_path).endswith("is no run, it has no experiment.json")

    run = finished(tmp_path)
    (run.path / "experiment.json").write_text('{"name": ')
    assert "experiment.json: is no JSON" in broken(run.path)
    (run.path / "experiment.json").write_text("[]")
    assert broken(run.path).endswith("experiment.json: is no JSON object")

    run = finished(tmp_path)
    (run.path / "result.json").write_text("{}{")
    assert "result.json: is no JSON" in broken(run.path)
    (run.path / "result.json").unlink()
    assert broken(run.path).endswith("is broken, it ended without a result.json")

    run = finished(tmp_path)
    (run.path / "evaluations.jsonl").write_text('{"step": 1}\n{"st\n{"step": 3}\n')
    assert "evaluations.jsonl:2: is no JSON" in broken(run.path)


def test_a_last_line_may_be_cut_off(tmp_path: Path) -> None:
    path = tmp_path / "some.jsonl"
    path.write_bytes(b'{"step": 1}\n{"step": 2}\n{"note": "\xc3')
    assert read_lines(path) == [{"step": 1}, {"step": 2}]


def test_an_experiment_that_is_no_longer_legal_says_so(tmp_path: Path) -> None:
    run = finished(tmp_path)
    tables = EXPERIMENT.to_dict() | {"seed": -1}
    write_json(run.path / "experiment.json", tables)
    reopened = Run.open(run.path)
    assert reopened.accuracy == 0.95, "figures do not depend on it"
    with pytest.raises(ConfigError, match=r"experiment\.json: seed = -1"):
        _ = reopened.experiment


def test_json_has_no_nan() -> None:
    value = {"a": [1.5, math.nan, {"b": -math.inf}], "c": "NaN", "d": (True, None)}
    expected = {"a": [1.5, None, {"b": None}], "c": "NaN", "d": [True, None]}
    assert json.loads(to_json(value)) == expected


# --- reports --------------------------------------------------------------------------------------


def test_a_report_shows_runs_side_by_side_and_the_broken_ones_with_the_reason(
    tmp_path: Path,
) -> None:
    good, other, bad = (finished(tmp_path, accuracy=a) for a in (0.95, math.nan, 0.5))
    (bad.path / "result.json").write_text("{")
    pending = Record.begin(EXPERIMENT, tmp_path)
    pending.close()
    found = report([tmp_path, good.path, tmp_path / "missing"])
    assert [run.path for run in found.runs] == [good.path, other.path, pending.path]
    head, first, second, third, *rest = found.text().splitlines()
    assert head.split()[:4] == ["run", "status", "accuracy", "steps"]
    assert first.split()[1:] == [
        "finished", "95.0", "%", "30", "15", "2.0", "0.5", EXPERIMENT.digest[:8],
    ]  # fmt: skip
    assert second.split()[2] == "–"
    assert third.split()[1:] == ["pending", "–", "0", "–", "–", "–", EXPERIMENT.digest[:6]]
    assert len({len(line) for line in (head, first, second)}) == 1, "columns are aligned"
    assert [line for line in rest if line.startswith("broken: ")] == [
        f"broken: {bad.path}/result.json: is no JSON: Expecting property name enclosed in double "
        "quotes: line 1 column 2 (char 1)",
        f"broken: {tmp_path}/missing: there is no such run",
    ]
    data = json.loads(to_json(found.to_dict()))
    assert data["runs"][0]["accuracy"] == 0.95
    assert "accuracy" not in data["runs"][1]
    assert [entry["path"] for entry in data["broken"]] == [str(bad.path), f"{tmp_path}/missing"]


def test_a_report_on_nothing(tmp_path: Path) -> None:
    assert report([tmp_path]).text() == (
        f"no run was found\nbroken: {tmp_path}: is no run, it has no experiment.json"
    )


def test_a_report_has_a_column_for_the_backdoor_where_one_was_planted(tmp_path: Path) -> None:
    plain = finished(tmp_path / "plain", accuracy=0.9)
    assert "backdoor" not in report([plain.path]).text()
    planted = finished(tmp_path / "planted", accuracy=0.9, backdoor=0.25)
    [head, *rows] = report([plain.path, planted.path]).text().splitlines()[:3]
    assert head.split()[:4] == ["run", "status", "accuracy", "backdoor"]
    assert ["–" in rows[0], "25.0 %" in rows[1]] == [True, True]
