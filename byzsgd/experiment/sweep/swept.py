"""A sweep beside what has been recorded of it: what is done, and what is not."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from byzsgd.errors import ConfigError, unknown_name
from byzsgd.experiment.results import Run
from byzsgd.experiment.sweep.cells import Cell, Sweep
from byzsgd.experiment.sweep.manifest import Manner, recorded

State = Literal["done", "failed", "missing", "impossible"]


@dataclass(frozen=True)
class Swept:
    """What there is of the cells that were `chosen`, and of all others in the folder.

    `runs` are by digest. `errors` are of experiments, by digest, that ended without a record.
    """

    sweep: Sweep
    manner: Manner
    chosen: tuple[Cell, ...]
    folder: Path
    runs: dict[str, Run]
    errors: dict[str, str] = field(default_factory=dict)
    interrupted: bool = False

    @classmethod
    def look(cls, sweep: Sweep, chosen: tuple[Cell, ...], folder: Path, manner: Manner) -> "Swept":
        """What there is now."""
        return cls(sweep, manner, chosen, folder, recorded(folder, manner))

    def run_of(self, cell: Cell) -> Run | None:
        return self.runs.get(cell.digest)

    def state(self, cell: Cell) -> State:
        """A "failed" one has run and has not reached its last step."""
        if cell.impossible:
            return "impossible"
        run = self.run_of(cell)
        return "missing" if run is None else "done" if run.status == "finished" else "failed"

    def to_run(self, again: bool) -> list[Cell]:
        """Each experiment once, in the order of the cells; failed ones only `again`."""
        wanted = ("missing", "failed") if again else ("missing",)
        return [cell for cell in self.distinct() if self.state(cell) in wanted]

    def distinct(self) -> list[Cell]:
        """The chosen cells that are possible; of those with one experiment the first."""
        cells: dict[str, Cell] = {}
        for cell in self.chosen:
            if not cell.impossible:
                cells.setdefault(cell.digest, cell)
        return list(cells.values())

    def shortfalls(self) -> list[str]:
        """Why this is not all that was asked for: empty if every possible cell is done."""
        cells = self.distinct()
        found = [f"{cell}: {why}" for cell in cells if (why := self._why_not(cell))]
        untried = [cell for cell in self.to_run(again=False) if cell.digest not in self.errors]
        more = [f"{len(untried)} of {len(cells)} experiments are missing"] if untried else []
        return [*found, *more]

    def _why_not(self, cell: Cell) -> str:
        run = self.run_of(cell)
        if run and self.state(cell) == "failed":
            return "; ".join(run.shortfalls())
        return "" if run else self.errors.get(cell.digest, "")


def choose(sweep: Sweep, only: Iterable[str]) -> tuple[Cell, ...]:
    """The cells that have one of the named variants, for each axis of which any is named.

    `only` are words such as `system=plain`. Raises `ConfigError` for an axis or a variant that
    there is not.
    """
    wanted: dict[str, set[str]] = {}
    for word in only:
        axis, variant = _named(sweep, word)
        wanted.setdefault(axis, set()).add(variant)
    return tuple(
        cell
        for cell in sweep.cells
        if all(cell.labels[axis] in variants for axis, variants in wanted.items())
    )


def _named(sweep: Sweep, word: str) -> tuple[str, str]:
    axes = sweep.table.axes
    for axis in axes:  # its name may have an = of its own
        if word.startswith(f"{axis}="):
            variant = word.removeprefix(f"{axis}=")
            if variant not in axes[axis]:
                raise unknown_name(f"variant of axis {axis!r}", variant, axes[axis])
            return axis, variant
    if "=" not in word:
        raise ConfigError(f"--only {word}: write AXIS=VARIANT, such as {_example(sweep)}")
    raise unknown_name("axis", word.partition("=")[0], axes)


def _example(sweep: Sweep) -> str:
    for axis, variants in sweep.table.axes.items():
        return f"{axis}={next(iter(variants))}"
    return "system=plain, if there were an axis"
