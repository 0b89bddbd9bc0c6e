"""Costs out of a record: sums that anybody can check by hand."""

import json
from pathlib import Path
from typing import Any

import pytest

import byzsgd
from byzsgd.errors import ConfigError
from byzsgd.experiment.config import Experiment
from byzsgd.experiment.costs import costs
from byzsgd.experiment.record import Record
from byzsgd.simulation.cost import Cost

STEPS = 8
SERVER = {"prepare_s": 0.001, "stack_s": 0.002, "aggregate_s": 0.003, "apply_s": 0.004}
WORKER = {"compute_s": 0.02, "stack_s": 0.001, "contract_s": 0.002}
PARTS_S = STEPS * (sum(SERVER.values()) + 2 * sum(WORKER.values()))
VECTORS = 50


def recorded(folder: Path, status: Any = "finished", **total: Any) -> Path:
    """A run of one server and two workers, who measured the same at every step."""
    experiment = Experiment(
        name="calibrated", cluster={"servers": 1, "workers": 2}, plan={"steps": STEPS}
    )
    record = Record.begin(experiment, folder)
    for node in experiment.cluster.nodes:
        measures = SERVER if node.role == "server" else WORKER
        lines = [json.dumps({"step": step, **measures}) for step in range(1, STEPS + 1)]
        (record.path / "nodes" / f"{node}.jsonl").write_text("\n".join(lines) + "\n")
    totals = {"clock": "cpu", "cores": 2, "vector_bytes": 1000, "bytes_received": 0}
    spent = {"bytes_sent": 1000 * VECTORS, "cpu_s": PARTS_S + VECTORS * 0.005}
    nothing = {"bytes_sent": 0, "cpu_s": 0.0}
    for node, its in zip(experiment.cluster.nodes, (spent, nothing, nothing), strict=True):
        record.event("totals", node=str(node), **{**totals, **its, **total})
    return record.finish(status, accuracy=0.5, steps=STEPS, diameter=0, seconds=1).path


def test_costs_are_what_the_parts_took_and_the_rest_is_the_vectors(tmp_path: Path) -> None:
    path = recorded(tmp_path)
    found = costs(byzsgd.load(path / "experiment.json"), path)
    assert found.to_dict() == pytest.approx(
        Cost(
            gradient_s=0.02,
            update_s=0.01,
            contract_s=0.003,
            send_s=0.005,
            receive_s=0.005,
            cores=2,
        ).to_dict()
    )


@pytest.mark.parametrize(
    "wrong", [{"clock": "wall"}, {"status": "failed"}, {"clock": None}], ids=repr
)
def test_only_a_finished_run_measured_in_cpu_seconds_tells_costs(
    tmp_path: Path, wrong: dict[str, Any]
) -> None:
    path = recorded(tmp_path, **wrong)
    with pytest.raises(ConfigError, match="--cpu-times"):
        costs(byzsgd.load(path / "experiment.json"), path)


def test_a_record_without_totals_tells_none(tmp_path: Path) -> None:
    path = recorded(tmp_path)
    (path / "events.jsonl").write_text("")
    with pytest.raises(ConfigError, match="--cpu-times"):
        costs(byzsgd.load(path / "experiment.json"), path)
