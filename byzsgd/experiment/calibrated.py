"""Costs of virtual time out of the record of a real run: what its nodes took, in seconds of CPU.

    byzsgd run FILE --cpu-times
    byzsgd simulate FILE --cost runs/NAME/STAMP

A cost measured with the machine to itself says nothing of twelve processes on two cores. Here all
of them share the cores that the run had, and what no part accounts for, the event loop and the
threads of ZeroMQ, is a cost of the vectors that went through them.
"""

from collections.abc import Iterable
from pathlib import Path
from statistics import fmean
from typing import Any, Final

from byzsgd.errors import ConfigError
from byzsgd.experiment.results import Run
from byzsgd.simulation.cost import Cost

UPDATE: Final = ("prepare_s", "stack_s", "aggregate_s", "apply_s", "watch_s")
CONTRACT: Final = ("stack_s", "contract_s", "watch_s")
PARTS: Final = ("compute_s", "contract_s", *UPDATE)
SKIPPED: Final = 3
"""Steps at the start of a run in which things are done for the first time."""


def calibrated(path: Path) -> Cost:
    """The costs of the run at `path`, and the cores that it had.

    Raises `ConfigError` unless it is a finished real run that was measured in CPU seconds.
    """
    run = Run.open(path)
    totals = [event for event in run.events if event["event"] == "totals"]
    measured = totals and all(total.get("clock") == "cpu" for total in totals)
    if run.status != "finished" or not measured:
        raise ConfigError(
            f"{path}: is no finished run with CPU times; make one with "
            f"`byzsgd run {run.path / 'experiment.json'} --cpu-times`"
        )
    servers, workers = (_rows(run, role) for role in ("server", "worker"))
    vector_s = _per_vector(run, totals)
    return Cost(
        gradient_s=_mean(workers, ("compute_s",)),
        update_s=_mean(servers, UPDATE),
        contract_s=_mean([row for row in workers if "contract_s" in row], CONTRACT),
        send_s=vector_s,
        receive_s=vector_s,
        cores=int(totals[0]["cores"]),
    )


def _per_vector(run: Run, totals: list[dict[str, Any]]) -> float:
    """What the CPU did besides, shared evenly by all that were sent and all that were received."""
    everything: float = sum(total["cpu_s"] for total in totals)
    parts: float = sum(row.get(part, 0.0) for node in _nodes(run) for row in node for part in PARTS)
    moved = sum(total["bytes_sent"] + total["bytes_received"] for total in totals)
    vectors: float = moved / totals[0]["vector_bytes"]
    besides = max(0.0, everything - parts)
    return besides / max(1.0, vectors)


def _rows(run: Run, role: str) -> list[dict[str, Any]]:
    names = [node for node in run.experiment.honest if node.role == role]
    return [row for node in names for row in run.measures(node)[SKIPPED:]]


def _nodes(run: Run) -> Iterable[list[dict[str, Any]]]:
    return (run.measures(node) for node in run.experiment.cluster.nodes)


def _mean(rows: list[dict[str, Any]], parts: tuple[str, ...]) -> float:
    if not rows:
        raise ConfigError(f"too few steps to tell costs from: run more than {SKIPPED}")
    return fmean(sum(row.get(part, 0.0) for part in parts) for row in rows)
