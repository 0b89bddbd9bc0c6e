"""What there is of a preset's sweeps: figures of cells by their labels."""

import math
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, replace
from statistics import median
from typing import TypeAlias

from byzsgd.experiment.results import Run
from byzsgd.experiment.sweep.swept import State, Swept

Figure: TypeAlias = Callable[[Run], float]


def accuracy(run: Run) -> float:
    """The last one, in percent; of a model that is not finite 0."""
    return _percent(run.accuracy)


def best_accuracy(run: Run) -> float:
    """The highest of all evaluations, in percent: what "Distributed Momentum" compares."""
    return max(_percent(float(entry.get("accuracy") or 0)) for entry in run.evaluations)


@dataclass(frozen=True)
class Found:
    """The sweeps of a preset by what their names end with, "" for one, and its size.

    With a `seed` figures are those of that seed alone.
    """

    swept: dict[str, Swept]
    quick: bool = False
    seed: int | None = None

    def runs(self, sweep: str = "", **labels: str) -> list[Run]:
        """The finished ones of all cells with these labels; of other axes all variants."""
        known = self.swept[sweep]
        cells = (cell for cell in known.sweep.cells if labels.items() <= cell.labels.items())
        found = (
            known.run_of(cell)
            for cell in cells
            if self.seed in (None, cell.seed) and known.state(cell) == "done"
        )
        return [run for run in found if run]

    def state(self, sweep: str = "", **labels: str) -> State:
        """Of the first cell with these labels."""
        known = self.swept[sweep]
        cells = (cell for cell in known.sweep.cells if labels.items() <= cell.labels.items())
        return known.state(next(cells))

    def figure(self, of: Figure, sweep: str = "", **labels: str) -> float:
        """The median over seeds and whatever else the labels leave open; NaN where none is."""
        values = [of(run) for run in self.runs(sweep, **labels)]
        known = [value for value in values if not math.isnan(value)]
        return median(known) if known else math.nan

    def seeds(self) -> list[tuple[int, "Found"]]:
        """Each of them, and what there is of it."""
        numbers = {cell.seed for swept in self.swept.values() for cell in swept.sweep.cells}
        return [(seed, replace(self, seed=seed)) for seed in sorted(numbers)]

    def variants(self, axis: str, sweep: str = "") -> list[str]:
        return list(self.swept[sweep].sweep.table.axes[axis])

    @property
    def minutes(self) -> float:
        """What the runs took, however often the preset was started."""
        walls = (float(run.result.get("wall_s") or 0) for run in self._all())
        return sum(walls) / 60

    def shortfalls(self, stuck: Collection[str] = ()) -> list[str]:
        """Why this is not all that there is to know; of sweeps that may be `stuck` it is."""
        known = (swept for part, swept in self.swept.items() if part not in stuck)
        return [text for swept in known for text in swept.shortfalls()]

    def count(self) -> int:
        return sum(1 for _ in self._all())

    def _all(self) -> Iterator[Run]:
        for swept in self.swept.values():
            for cell in swept.distinct():
                if run := swept.run_of(cell):
                    yield run


def shown(value: float, form: str = ".1f") -> str:
    """– where it is not known."""
    return "–" if math.isnan(value) else f"{value:{form}}"


def at_least(value: float, bound: float) -> bool | None:
    """None where either is not known."""
    return None if math.isnan(value) or math.isnan(bound) else value >= bound


def _percent(share: float) -> float:
    return 0.0 if math.isnan(share) else 100 * share
