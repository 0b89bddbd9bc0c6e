"""The configurations of `benchmarks.step`: runs, and the gradients alone."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, Final, Literal

import torch

from benchmarks.processes import meet, part_of, timed
from byzsgd.cluster import NodeId
from byzsgd.experiment.build import build
from byzsgd.experiment.config import Experiment
from byzsgd.experiment.files import read_json, read_lines
from byzsgd.experiment.local import run_local
from byzsgd.experiment.results import Run
from byzsgd.protocol import ComputeGradient
from byzsgd.runtime.malloc import keep_freed_memory

System = Literal["byzsgd", "plain", "gradients alone"]
Links = Literal["curve", "none", "memory"]

BYZSGD: Final = {"servers": 5, "workers": 7, "f_servers": 1, "f_workers": 2}
PLAIN: Final = {"servers": 1, "workers": 7}
SERVER_PARTS: Final = {
    "wait for gradients": ("in_gradients_s",),
    "gather: wait for models": ("in_models_s",),
    "copy in, distances as they come": ("prepare_s", "stack_s"),
    "aggregate": ("aggregate_s", "contract_s"),
    "apply": ("apply_s",),
    "encode": ("encode_s",),
}
WORKER_PARTS: Final = {
    "wait for models": ("in_models_s",),
    "copy in": ("stack_s",),
    "median": ("contract_s",),
    "compute": ("compute_s",),
    "encode": ("encode_s",),
}
AGGREGATION: Final = ("prepare_s", "stack_s", "aggregate_s", "contract_s")


@dataclass(frozen=True)
class Case:
    """One configuration. `stall` runs the ticker, so its times are not compared with others'."""

    model: str
    steps: int
    system: System
    links: Links = "none"
    stall: bool = False

    @property
    def name(self) -> str:
        return self.system if self.system == "gradients alone" else f"{self.system}, {self.links}"

    @property
    def warm_up(self) -> int:
        """Steps at the start that do not count: memory is still being taken from the system."""
        return max(3, self.steps // 3)

    def experiment(self) -> Experiment:
        byzantine = self.system != "plain"
        rules = {} if byzantine else {"aggregation": {"gradients": "average"}}
        return Experiment(
            name=f"step-{self.model}",
            cluster=BYZSGD if byzantine else PLAIN,
            plan={"steps": self.steps, "save_every": self.steps},
            training={"task": f"benchmarks.tasks:{self.model}", "learning_rate": 0.01},
            **rules,
        )


def measured(case: Case, folder: Path) -> dict[str, Any]:
    """One run and what its record says of it; or the floor under every such run."""
    return gradients_alone(case) if case.system == "gradients alone" else run_measured(case, folder)


def gradients_alone(case: Case) -> dict[str, Any]:
    """All workers compute, each in a process and on a thread, and nobody sends anything."""
    experiment = case.experiment()

    def work(index: int, pipe: Connection) -> None:
        torch.set_num_threads(1)
        torch.set_flush_denormal(True)
        keep_freed_memory()
        compute = build(experiment, NodeId("worker", index)).compute
        params = compute.flat.vector()
        for step in range(case.steps):
            if step == case.warm_up:
                meet(pipe)
            compute.run(ComputeGradient(step, params))
        meet(pipe)

    wall_s, cpu_s = timed([part_of(work, index) for index in range(BYZSGD["workers"])])
    counted = case.steps - case.warm_up
    return {"step": wall_s / counted, "cpu": cpu_s / counted}


def run_measured(case: Case, folder: Path) -> dict[str, Any]:
    run = run_local(
        case.experiment(),
        runs=folder,
        encryption="curve" if case.links == "curve" else "none",
        measure_stall=case.stall,
        measure_cpu=True,
        shared_memory=case.links == "memory",
    )
    if run.status != "finished":
        raise SystemExit(f"{run.path}: {run.status}: {read_json(run.path / 'result.json')}")
    servers, workers = (_rows(run, role, case.warm_up) for role in ("server", "worker"))
    totals = [line for line in read_lines(run.path / "events.jsonl") if line["event"] == "totals"]
    times = [row["seconds"] for row in servers[0]]
    cpu_s = sum(_cpu_a_step(rows) for rows in [*servers, *workers])
    return {
        "step": (times[-1] - times[0]) / (len(times) - 1),
        "server": _parts(servers, SERVER_PARTS),
        "worker": _parts(workers, WORKER_PARTS),
        "bytes": sum(line["bytes_sent"] for line in totals) / case.steps,
        "cpu": cpu_s,
        "aggregation": _sum_of_nodes([*servers, *workers], AGGREGATION) / cpu_s,
        "stall": max(line.get("stall_s", 0.0) for line in totals),
        "pss": read_json(run.path / "result.json")["nodes_pss_bytes"],
    }


Rows = Sequence[dict[str, Any]]


def _rows(run: Run, role: str, skip: int) -> list[Rows]:
    paths = sorted((run.path / "nodes").glob(f"{role}-*.jsonl"))
    return [read_lines(path)[skip:] for path in paths]


def _parts(nodes: Sequence[Rows], parts: Mapping[str, tuple[str, ...]]) -> dict[str, float]:
    """Mean seconds a step of each part, over the steps of all nodes."""
    return {part: _sum_of_nodes(nodes, keys) / len(nodes) for part, keys in parts.items()}


def _cpu_a_step(rows: Rows) -> float:
    """Seconds of CPU of one node, all of its threads."""
    return float(rows[-1]["process_cpu_s"] - rows[0]["process_cpu_s"]) / (len(rows) - 1)


def _sum_of_nodes(nodes: Sequence[Rows], keys: Sequence[str]) -> float:
    """Seconds a step that all nodes together spend on these."""
    spent = [sum(row.get(key, 0.0) for row in rows for key in keys) / len(rows) for rows in nodes]
    return float(sum(spent))
