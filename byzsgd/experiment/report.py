"""Runs side by side, from their records and nothing else."""

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from byzsgd.errors import ConfigError
from byzsgd.experiment.findings.text import findings_text
from byzsgd.experiment.results import Run
from byzsgd.experiment.text import table

_HEAD = ("run", "status", "accuracy", "steps", "steps/s", "seconds", "diameter", "digest")


@dataclass(frozen=True)
class Report:
    """The runs that could be read, and why the others could not."""

    runs: tuple[Run, ...]
    broken: tuple[tuple[Path, str], ...]

    def text(self) -> str:
        lines = table(_rows(self.runs)) if self.runs else ["no run was found"]
        lines += [f"  {run.path}: {warning}" for run in self.runs for warning in run.warnings]
        lines += [f"broken: {reason}" for _, reason in self.broken]
        if len(self.runs) == 1 and (found := findings_text(self.runs[0])):
            lines += ["", found]
        return "\n".join(lines)

    def to_dict(self) -> dict[str, Any]:
        broken = [{"path": str(path), "reason": reason} for path, reason in self.broken]
        return {"runs": [summary(run) for run in self.runs], "broken": broken}


def report(paths: Iterable[Path]) -> Report:
    """Of runs, and of all runs in folders such as `runs` or `runs/NAME`; each path once."""
    runs: list[Run] = []
    broken: list[tuple[Path, str]] = []
    for run in dict.fromkeys(found for path in paths for found in _runs_under(path)):
        try:
            runs.append(Run.open(run))
        except ConfigError as error:
            broken.append((run, str(error)))
    return Report(tuple(runs), tuple(broken))


def summary(run: Run) -> dict[str, Any]:
    """A run in one flat object; what is not known is left out."""
    figures = {
        "accuracy": run.accuracy,
        "backdoor": run.backdoor,
        "diameter": run.diameter,
        "seconds": run.seconds,
        "steps_per_second": run.steps_per_second,
    }
    return {
        "name": run.name,
        "path": str(run.path),
        "status": run.status,
        "steps": run.steps,
        **{name: value for name, value in figures.items() if not math.isnan(value)},
        "digest": run.digest,
        "experiment_digest": run.experiment_digest,
        "simulated": run.simulated,
        "warnings": list(run.warnings),
        **{key: run.result[key] for key in ("false_rejections",) if key in run.result},
        **({"assumptions": run.assumptions} if run.assumptions.get("updates") else {}),
        **({"potency": run.potency} if run.potency else {}),
        **({"suspicion": run.suspicion} if run.suspicion else {}),
    }


def run_text(run: Run) -> str:
    """A run that has just ended, for people."""
    speed = f"{_figure(run.steps_per_second, '.3g')} steps/s"
    figures = [
        f"{run.status} at step {run.steps}",
        f"accuracy {_figure(100 * run.accuracy, '.1f', ' %')}",
        *([] if math.isnan(run.backdoor) else [f"backdoor {100 * run.backdoor:.1f} %"]),
        f"{_figure(run.seconds, '.3g')} s of virtual time" if run.simulated else speed,
        f"diameter {_figure(run.diameter, '.3g')}",
        *([f"digest {run.digest[:12]}"] if run.simulated else []),
    ]
    warnings = [f"warning: {text}" for text in run.warnings if text not in run.experiment.warnings]
    found = findings_text(run)
    said = [f"{run.name}: {', '.join(figures)}", str(run.path), *warnings]
    return "\n".join(said) + (f"\n\n{found}" if found else "")


def _runs_under(path: Path) -> Iterator[Path]:
    """The path itself if it looks like a run, else what lies one or two folders deeper."""
    if not path.is_dir() or _looks_like_a_run(path):
        yield path
        return
    inside = [found for depth in ("*", "*/*") for found in sorted(path.glob(depth))]
    found = [folder for folder in inside if folder.is_dir() and _looks_like_a_run(folder)]
    yield from found or [path]


def _looks_like_a_run(path: Path) -> bool:
    names = ("experiment.json", "result.json", "evaluations.jsonl")
    return any((path / name).exists() for name in names)


def _rows(runs: Sequence[Run]) -> list[tuple[str, ...]]:
    """With the head; how far a backdoor has come is a column where there is one."""
    rows = [_HEAD, *map(_row, runs)]
    if all(math.isnan(run.backdoor) for run in runs):
        return rows
    shares = ["backdoor", *(_figure(100 * run.backdoor, ".1f", " %") for run in runs)]
    return [(*row[:3], share, *row[3:]) for row, share in zip(rows, shares, strict=True)]


def _row(run: Run) -> tuple[str, ...]:
    return (
        f"{run.name}/{run.path.name}",
        f"{run.status}{', simulated' if run.simulated else ''}",
        _figure(100 * run.accuracy, ".1f", " %"),
        str(run.steps),
        _figure(run.steps_per_second, ".3g"),
        _figure(run.seconds, ".1f"),
        _figure(run.diameter, ".3g"),
        run.experiment_digest[:8],
    )


def _figure(value: float, form: str, unit: str = "") -> str:
    return "–" if math.isnan(value) else f"{value:{form}}{unit}"
