"""What a sweep's folder says about it: its cells, who works there, and what has been recorded."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from byzsgd.errors import ConfigError
from byzsgd.experiment.files import PENDING, write_json
from byzsgd.experiment.results import Run
from byzsgd.experiment.sweep.cells import Cell, Sweep
from byzsgd.runtime.roster import Encryption

LOCK: Final = "sweep.lock"
MANIFESTS: Final = {False: "sweep.json", True: "sweep-simulated.json"}
"""What a sweep's manifest is called, by whether it was simulated."""


@dataclass(frozen=True)
class Manner:
    """How the experiments of a sweep are run: only records of the same manner count as done."""

    simulated: bool = False
    encryption: Encryption = "curve"

    @property
    def manifest(self) -> str:
        return MANIFESTS[self.simulated]

    def is_of(self, run: Run) -> bool:
        """Whether a run was made so, as far as is known of one that has not ended."""
        if self.simulated or is_simulated(run):
            return self.simulated is is_simulated(run)
        return not run.result or encryption_of(run) == self.encryption


def is_simulated(run: Run) -> bool:
    """A run that has not ended is told by the logs that only real nodes write."""
    return run.simulated if run.result else not any((run.path / "logs").glob("*"))


def encryption_of(run: Run) -> str:
    """Between the nodes of a real run; those of older versions are all encrypted."""
    return str(run.result.get("encryption", "curve"))


def write_manifest(sweep: Sweep, folder: Path, manner: Manner) -> Path:
    """In one piece; of a file that was changed since the last time only the present cells."""
    path = folder / manner.manifest
    write_json(path, manifest(sweep, manner))
    return path


def manifest(sweep: Sweep, manner: Manner) -> dict[str, Any]:
    return {
        "name": sweep.name,
        "repeat": sweep.table.repeat,
        "target": sweep.table.target,
        "simulated": manner.simulated,
        "encryption": None if manner.simulated else manner.encryption,
        "axes": {axis: list(variants) for axis, variants in sweep.table.axes.items()},
        "cells": [_cell(cell) for cell in sweep.cells],
    }


@contextmanager
def alone_in(folder: Path) -> Iterator[None]:
    """No other sweep works in this folder meanwhile. Raises `ConfigError` if one does.

    The lock goes with the process that holds it, however that ends; the file stays.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        file = (folder / LOCK).open("a+")
    except OSError as error:
        raise ConfigError(f"{folder}: cannot be used: {error.strerror}") from None
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ConfigError(_taken(folder)) from None
        file.truncate(0)
        file.write(f"{os.getpid()}\n")
        file.flush()
        yield


def recorded(folder: Path, manner: Manner) -> dict[str, Run]:
    """The newest finished run of each experiment, by digest; a failed one where none finished.

    Broken, interrupted and pending ones do not count.
    """
    found: dict[str, Run] = {}
    for path in sorted(folder.glob("*/result.json")):
        run = _sound(path.parent)
        if run and manner.is_of(run) and run.status in ("finished", "failed"):
            before = found.get(run.experiment_digest)
            if run.status == "finished" or before is None or before.status == "failed":
                found[run.experiment_digest] = run
    return found


def _sound(path: Path) -> Run | None:
    try:
        return None if path.name.endswith(PENDING) else Run.open(path)
    except ConfigError:
        return None


def _cell(cell: Cell) -> dict[str, Any]:
    what = {"impossible": cell.impossible} if cell.impossible else {"digest": cell.digest}
    return {"labels": dict(cell.labels), "seed": cell.seed, **what}


def _taken(folder: Path) -> str:
    pid = (folder / LOCK).read_text().strip() or "unknown"
    return (
        f"{folder}: another sweep of this name is running there (process {pid}): wait for its "
        f"end, or give this one another folder with --runs or another name with --set name=…"
    )
