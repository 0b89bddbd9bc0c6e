"""The experiments of a sweep: every combination of variants, seed by seed."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import product
from os import PathLike
from typing import Any, Final

from byzsgd.errors import ConfigError
from byzsgd.experiment.config import Experiment
from byzsgd.experiment.load import read_table, with_overrides
from byzsgd.experiment.sweep.table import Changes, SweepTable, sweep_table

Labels = Mapping[str, str]
"""Which variant of each axis, in the order of the axes."""

_TYPO: Final = ": unknown "
"""In what is said of a key or a name that nobody knows."""
_SHOWN_MAX: Final = 10


@dataclass(frozen=True)
class Cell:
    """One experiment of a sweep, or the faults for which it is not possible."""

    labels: Labels
    seed: int
    experiment: Experiment | None
    faults: tuple[str, ...] = ()

    @property
    def impossible(self) -> str:
        """Why; empty if it is possible."""
        return "; ".join(self.faults)

    @property
    def digest(self) -> str:
        """The experiment's; empty where there is none."""
        return self.experiment.digest if self.experiment else ""

    def __str__(self) -> str:
        variants = (f"{axis}={variant}" for axis, variant in self.labels.items())
        return ", ".join([*variants, f"seed {self.seed}"])


@dataclass(frozen=True)
class Sweep:
    """All cells in the order in which they run: all of one seed, then all of the next."""

    name: str
    table: SweepTable
    cells: tuple[Cell, ...]

    @property
    def reference(self) -> str | None:
        """The variant that others are compared with: the first one of the first axis."""
        return next((next(iter(axis)) for axis in self.table.axes.values()), None)

    @property
    def repeated(self) -> int:
        """How many of the experiments equal an earlier one, with which they share a run."""
        digests = [cell.digest for cell in self.cells if cell.digest]
        return len(digests) - len(set(digests))

    def impossible(self) -> list[tuple[Labels, str]]:
        """Each combination that is not possible, once for all seeds, and why."""
        found: dict[tuple[str, ...], tuple[Labels, str]] = {}
        for cell in self.cells:
            if cell.impossible:
                found.setdefault(tuple(cell.labels.values()), (cell.labels, cell.impossible))
        return list(found.values())


def load_sweep(
    given: str | PathLike[str] | Mapping[str, Any], overrides: Mapping[str, object] | None = None
) -> Sweep:
    """The sweep of a file, or of its tables; `overrides` are made before any variant's changes.

    Raises `ConfigError` for what is wrong in `[sweep]`, for names that nobody knows, and where no
    cell at all is possible. Any other cell that is not legal is kept as impossible.
    """
    source = "sweep" if isinstance(given, Mapping) else str(given)
    tables = given if isinstance(given, Mapping) else read_table(given)
    tables = with_overrides(tables, overrides or {})
    if "sweep" not in tables:
        raise ConfigError(f"{source}: sweep: is missing; byzsgd run takes a single experiment")
    table = sweep_table(tables.pop("sweep"), source)
    cells = tuple(_cells(tables, table))
    _refuse(cells, source)
    return Sweep(str(tables["name"]), table, cells)


def told(labels: Labels) -> str:
    return ", ".join(f"{axis}={variant}" for axis, variant in labels.items()) or "the experiment"


def _cells(tables: Mapping[str, Any], table: SweepTable) -> Iterator[Cell]:
    first = tables.get("seed", 1)
    for number in range(table.repeat):
        # a seed that is none is found by the experiment
        seed = first + number if type(first) is int else first
        for variants in product(*(axis.items() for axis in table.axes.values())):
            labels = dict(zip(table.axes, (name for name, _ in variants), strict=True))
            yield _cell(tables, labels, seed, [changes for _, changes in variants])


def _cell(tables: Mapping[str, Any], labels: Labels, seed: Any, all_changes: list[Changes]) -> Cell:
    source = "cell"
    try:
        changed = {**tables, "seed": seed}
        # Of two that change one key the earlier axis has the last word: a first axis of systems
        # keeps what makes them so, whatever the other axes vary.
        for changes in reversed(all_changes):
            changed = with_overrides(changed, changes)
        return Cell(labels, seed, Experiment.from_dict(changed, source))
    except ConfigError as error:
        first, *others = str(error).removeprefix(f"{source}: ").split("\n  ")
        # the first line of several is how many they are
        return Cell(labels, seed, None, tuple(others or [first]))


def _refuse(cells: tuple[Cell, ...], source: str) -> None:
    """A name that nobody knows is a mistake and no limit, and so is what leaves nothing to run."""
    hopeless = all(cell.faults for cell in cells)
    wrong: dict[str, list[Cell]] = {}
    for cell in cells:
        for fault in cell.faults:
            if hopeless or _TYPO in fault:
                wrong.setdefault(fault, []).append(cell)
    if not wrong:
        return
    lines = [f"{fault} ({_where(found)})" for fault, found in wrong.items()]
    if len(lines) > _SHOWN_MAX:
        lines[_SHOWN_MAX:] = [f"and {len(lines) - _SHOWN_MAX} more"]
    text = f"{source}: faults in the experiments that [sweep] makes of it"
    raise ConfigError("\n  ".join([text, *lines]))


def _where(cells: list[Cell]) -> str:
    more = f" and {len(cells) - 1} more" if len(cells) > 1 else ""
    return f"{cells[0]}{more}"
