"""Running what a sweep still lacks, one experiment after the other."""

import time
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

from byzsgd.errors import ConfigError
from byzsgd.experiment.config import Experiment
from byzsgd.experiment.progress import Progress, View
from byzsgd.experiment.results import Run
from byzsgd.experiment.sweep.cells import Cell, Sweep
from byzsgd.experiment.sweep.manifest import Manner, alone_in, recorded, write_manifest
from byzsgd.experiment.sweep.swept import Swept

Launch = Callable[[Experiment, Path, View], Run]


@dataclass(frozen=True)
class Ended:
    """How a cell's run ended. Without a `run` it was by an `error`; a bug's has its `trace`."""

    cell: Cell
    seconds: float
    run: Run | None
    error: str = ""
    trace: str = ""


class SweepView(Protocol):
    """Is told what will run, and of each run that it begins, how it goes and how it ended."""

    def start(self, known: Swept, cells: Sequence[Cell]) -> None: ...
    def begin(self, cell: Cell) -> None: ...
    def show(self, progress: Progress) -> None: ...
    def end(self, ended: Ended) -> None: ...


def run_missing(
    sweep: Sweep,
    chosen: tuple[Cell, ...],
    runs: Path,
    manner: Manner,
    view: SweepView,
    again: bool = False,
) -> Swept:
    """Run what is not done yet, and with `again` what failed. Ctrl-C ends it, with what there is.

    No experiment that fails or raises an error keeps the others from running. Raises `ConfigError`
    where another sweep of this name is running.
    """
    folder = runs / sweep.name
    with alone_in(folder):
        write_manifest(sweep, folder, manner)
        known = Swept.look(sweep, chosen, folder, manner)
        errors: dict[str, str] = {}
        interrupted = _run_all(known.to_run(again), known, view, errors)
        found = recorded(folder, manner)
    return replace(known, runs=found, errors=errors, interrupted=interrupted)


def _run_all(cells: list[Cell], known: Swept, view: SweepView, errors: dict[str, str]) -> bool:
    """Whether it was interrupted; fills in the `errors`."""
    launch, runs = launcher(known.manner), known.folder.parent
    try:
        view.start(known, cells)
        for cell in cells:
            view.begin(cell)
            ended = _run(cell, runs, launch, view)
            view.end(ended)
            if ended.run is None:
                errors[cell.digest] = ended.error
            elif ended.run.status == "interrupted":
                return True
    except KeyboardInterrupt:
        return True
    return False


def _run(cell: Cell, runs: Path, launch: Launch, view: View) -> Ended:
    assert cell.experiment
    start = time.monotonic()
    run, error, trace = None, "", ""
    try:
        run = launch(cell.experiment, runs, view)
    except ConfigError as wrong:
        error = str(wrong)
    except Exception as bug:  # to be seen, but not at the price of a night's other experiments
        error, trace = f"{type(bug).__name__}: {bug}", traceback.format_exc()
    return Ended(cell, time.monotonic() - start, run, error, trace)


def launcher(manner: Manner) -> Launch:
    if manner.simulated:
        from byzsgd.experiment.simulate import simulate_recorded

        return simulate_recorded
    from byzsgd.experiment import local

    def launch(experiment: Experiment, runs: Path, view: View) -> Run:
        return local.run_local(experiment, runs=runs, view=view, encryption=manner.encryption)

    return launch
