"""Where the time of a step goes: asynchronous ByzSGD against plain settings.

    .venv/bin/python -m benchmarks.step --repeat 5

Every node is a process of its own on this machine. The configurations take turns, so that a noisy
machine is noisy to all of them; what is printed are medians over the repetitions, and ratios within
one repetition. Parts are seconds of one node in one step, the median over its steps: servers and
workers overlap, so they do not add up to a step.
"""

import argparse
import json
import platform
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any, Final

from byzsgd.experiment.config import Experiment
from byzsgd.experiment.files import read_json, read_lines
from byzsgd.experiment.local import run_local
from byzsgd.experiment.results import Run
from byzsgd.runtime.roster import Encryption

BYZSGD: Final = {"servers": 5, "workers": 7, "f_servers": 1, "f_workers": 2}
PLAIN: Final = {"servers": 1, "workers": 7}
WARM_UP: Final = 3
"""Steps at the start of a run that do not count."""
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


@dataclass(frozen=True)
class Case:
    """One configuration. `stall` runs the ticker, so its times are not compared with others'."""

    model: str
    steps: int
    byzantine: bool
    encryption: Encryption
    stall: bool = False

    @property
    def name(self) -> str:
        return f"{'byzsgd' if self.byzantine else 'plain'}, {self.encryption}"

    def experiment(self) -> Experiment:
        rules = {} if self.byzantine else {"aggregation": {"gradients": "average"}}
        return Experiment(
            name=f"step-{self.model}",
            cluster=BYZSGD if self.byzantine else PLAIN,
            plan={"steps": self.steps, "save_every": self.steps},
            training={"task": f"benchmarks.tasks:{self.model}", "learning_rate": 0.01},
            **rules,
        )


def main() -> None:
    options = _options()
    cases = [
        Case(model, steps, byzantine, encryption)
        for model, steps in (("mnist_mlp", options.small), ("cifar_cnn", options.large))
        for encryption in options.encryption
        for byzantine in (True, False)
    ]
    results: dict[Case, list[dict[str, Any]]] = {case: [] for case in cases}
    with tempfile.TemporaryDirectory() as folder:
        for round_ in range(options.repeat):
            for case in cases:
                print(f"{round_ + 1}/{options.repeat} {case.model} {case.name}", file=sys.stderr)
                results[case].append(measured(case, Path(folder)))
        stall = measured(Case("cifar_cnn", options.large, True, "curve", stall=True), Path(folder))
    print(_machine())
    for model in ("mnist_mlp", "cifar_cnn"):
        print(f"\n### {model}\n")
        print(table({case: rows for case, rows in results.items() if case.model == model}))
    print(
        f"\nLongest event-loop stall of a node, cifar_cnn with CURVE: {1e3 * stall['stall']:.0f} ms"
    )


def measured(case: Case, folder: Path) -> dict[str, Any]:
    """One run, and what its record says of it."""
    run = run_local(
        case.experiment(), runs=folder, encryption=case.encryption, measure_stall=case.stall
    )
    if run.status != "finished":
        raise SystemExit(f"{run.path}: {run.status}: {read_json(run.path / 'result.json')}")
    servers = _rows(run, "server")
    totals = [line for line in read_lines(run.path / "events.jsonl") if line["event"] == "totals"]
    times = [row["seconds"] for row in _rows(run, "server", WARM_UP)[0]]
    return {
        "step": (times[-1] - times[0]) / (len(times) - 1),
        "server": _parts(servers, SERVER_PARTS),
        "worker": _parts(_rows(run, "worker"), WORKER_PARTS),
        "bytes": sum(line["bytes_sent"] for line in totals) / case.steps,
        "cpu": sum(line["cpu_s"] for line in totals) / case.steps,
        "stall": max(line.get("stall_s", 0.0) for line in totals),
        "pss": read_json(run.path / "result.json")["nodes_pss_bytes"],
    }


def table(results: dict[Case, list[dict[str, Any]]]) -> str:
    """Markdown: a column for each case, in milliseconds, and the ratios to plain."""
    lines = ["| | " + " | ".join(case.name for case in results) + " |"]
    lines.append("|---|" + "---|" * len(results))
    for label, key, scale in (
        ("step, ms", "step", 1e3),
        ("CPU of all nodes, ms a step", "cpu", 1e3),
        ("sent by all nodes, MB a step", "bytes", 1e-6),
        ("memory of all nodes (PSS), MB", "pss", 1e-6),
    ):
        cells = (f"{scale * median(row[key] for row in rows):.1f}" for rows in results.values())
        lines.append(_line(label, cells))
    for role, parts in (("server", SERVER_PARTS), ("worker", WORKER_PARTS)):
        for part in parts:
            cells = (
                f"{1e3 * median(row[role][part] for row in rows):.2f}" for rows in results.values()
            )
            lines.append(_line(f"{role}: {part}, ms", cells))
    lines.append(_line("**step / plain step**", _ratios(results)))
    return "\n".join(lines)


def _ratios(results: dict[Case, list[dict[str, Any]]]) -> Iterable[str]:
    for case, rows in results.items():
        plain = next(r for c, r in results.items() if c.name == f"plain, {case.encryption}")
        ratios = [mine["step"] / theirs["step"] for mine, theirs in zip(rows, plain, strict=True)]
        yield f"**{median(ratios):.2f}** ({min(ratios):.2f}–{max(ratios):.2f})"


def _rows(run: Run, role: str, skip: int = WARM_UP) -> list[list[dict[str, Any]]]:
    paths = sorted((run.path / "nodes").glob(f"{role}-*.jsonl"))
    return [read_lines(path)[skip:] for path in paths]


def _parts(
    nodes: Sequence[Sequence[dict[str, Any]]], parts: Mapping[str, tuple[str, ...]]
) -> dict[str, float]:
    """Mean seconds a step of each part, over the steps of all nodes."""
    rows = [row for node in nodes for row in node]
    return {
        part: sum(row.get(key, 0.0) for row in rows for key in keys) / len(rows)
        for part, keys in parts.items()
    }


def _line(label: str, cells: Iterable[str]) -> str:
    return f"| {label} | " + " | ".join(cells) + " |"


def _machine() -> str:
    commit = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False
    ).stdout.strip()
    return json.dumps(
        {
            "commit": commit,
            "python": platform.python_version(),
            "machine": platform.machine(),
            "command": " ".join(["python -m benchmarks.step", *sys.argv[1:]]),
        }
    )


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--repeat", type=int, default=5, help="repetitions of every case")
    parser.add_argument("--small", type=int, default=100, help="steps with d = 79,510")
    parser.add_argument("--large", type=int, default=15, help="steps with d = 1,756,426")
    parser.add_argument("--encryption", nargs="+", default=["curve", "none"])
    return parser.parse_args()


if __name__ == "__main__":
    main()
