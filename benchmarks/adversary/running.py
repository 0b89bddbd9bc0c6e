"""Runs what a preset still lacks, and says what came of it."""

from pathlib import Path
from typing import Final

from benchmarks.adversary.found import Found
from benchmarks.adversary.preset import Preset, Size, verdicts
from byzsgd.errors import ConfigError
from byzsgd.experiment.sweep.cells import load_sweep
from byzsgd.experiment.sweep.manifest import Manner
from byzsgd.experiment.sweep.run import run_missing
from byzsgd.experiment.sweep.view import SweepView
from byzsgd.training.task import load_task

INSTEAD: Final = "digits"
SIMULATED: Final = Manner(simulated=True)


class StoppedError(Exception):
    """Whoever ran it stopped it: what is missing is run the next time."""


def perform(preset: Preset, runs: Path, quick: bool) -> str:
    """Run what is missing, one experiment after the other; the preset's report as Markdown."""
    size = Size(_task(preset.task), quick)
    found = Found({}, quick)
    for tables in preset.sweeps(size):
        sweep = load_sweep(tables)
        with SweepView() as view:
            swept = run_missing(sweep, sweep.cells, runs, SIMULATED, view)
        if swept.interrupted:
            raise StoppedError
        found.swept[part(preset, size, sweep.name)] = swept
    return told(preset, found, size.task)


def part(preset: Preset, size: Size, name: str) -> str:
    """What a sweep's name says beyond the preset's."""
    return name.removeprefix(size.name(preset.name)).removeprefix("-")


def told(preset: Preset, found: Found, task: str) -> str:
    report = preset.report(found)
    lines = [
        f"### {preset.name}: {preset.title}",
        "",
        _setting(preset, found, task),
        "",
        *report.lines,
        "",
        *verdicts(report.claims),
        *_missing(found.shortfalls(preset.stuck)),
    ]
    return "\n".join(lines) + "\n"


def _setting(preset: Preset, found: Found, task: str) -> str:
    size = "A quick look, too short for any verdict. " if found.quick else ""
    instead = "" if task == preset.task else f", as there is no {preset.task}"
    return f"{size}Data: {task}{instead}; {found.count()} runs, {found.minutes:.1f} min."


def _missing(shortfalls: list[str]) -> list[str]:
    return ["", *(f"- missing: {text}" for text in shortfalls)] if shortfalls else []


def _task(wanted: str) -> str:
    """The task, or the one that is always there."""
    try:
        return load_task(wanted).name
    except ConfigError:
        return INSTEAD
