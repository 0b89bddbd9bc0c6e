"""A sweep in figures: a row for each combination of variants, over all of its seeds."""

import math
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from byzsgd.experiment.results import Run
from byzsgd.experiment.sweep.cells import Cell, Labels
from byzsgd.experiment.sweep.spread import Spread, ratios, spread, spread_of_times
from byzsgd.experiment.sweep.swept import State, Swept


@dataclass(frozen=True)
class Row:
    """The finished runs of one combination; a figure is None where there is none.

    `step_ratio` compares the time of a step with that of the reference variant, seed by seed, with
    all other labels equal; `reached_s` is when the target was reached, infinite by those that never
    did, and `reached` how many did.
    """

    labels: Labels
    states: dict[State, int]
    impossible: str
    accuracy: Spread | None
    steps_per_second: Spread | None
    step_ratio: Spread | None
    reached_s: Spread | None
    reached: int
    runs: tuple[Run, ...]

    def to_dict(self) -> dict[str, Any]:
        spreads = {
            "accuracy": self.accuracy,
            "steps_per_second": self.steps_per_second,
            "step_ratio": self.step_ratio,
            "reached_s": self.reached_s,
        }
        return {
            "labels": dict(self.labels),
            "states": self.states,
            **({"impossible": self.impossible} if self.impossible else {}),
            **{name: _plain(value) for name, value in spreads.items() if value},
            **({"reached": self.reached} if self.reached_s else {}),
            "runs": [str(run.path) for run in self.runs],
        }


def rows(swept: Swept) -> Iterator[Row]:
    """One for each combination that was chosen, in their order."""
    combinations: dict[tuple[str, ...], list[Cell]] = {}
    for cell in swept.chosen:
        combinations.setdefault(tuple(cell.labels.values()), []).append(cell)
    references = _references(swept)
    for cells in combinations.values():
        yield _row(swept, cells, references)


References = dict[tuple[str, ...], dict[int, float]]
"""The time of a step of the reference variant, by the labels of all other axes, then by seed."""


def _references(swept: Swept) -> References:
    sweep, found = swept.sweep, References()
    for cell in sweep.cells:
        if [*cell.labels.values()][:1] == [sweep.reference] and (run := _done(swept, cell)):
            found.setdefault(_situation(cell), {})[cell.seed] = run.step_s
    return found


def _row(swept: Swept, cells: list[Cell], references: References) -> Row:
    done = [(cell, run) for cell in cells if (run := _done(swept, cell))]
    target = swept.sweep.table.target
    times_s = [run.reached(target) for _, run in done] if target else []
    steps_s = {cell.seed: run.step_s for cell, run in done}
    return Row(
        cells[0].labels,
        dict(Counter(map(swept.state, cells))),
        cells[0].impossible,
        accuracy=spread(run.accuracy for _, run in done),
        steps_per_second=spread(1 / step_s for step_s in steps_s.values() if step_s),
        step_ratio=spread(ratios(steps_s, references.get(_situation(cells[0]), {}))),
        reached_s=spread_of_times(math.nan if at is None else at for at in times_s),
        reached=sum(at is not None for at in times_s),
        runs=tuple(run for _, run in done),
    )


def _situation(cell: Cell) -> tuple[str, ...]:
    """What a cell is compared in: the labels of all axes but the first."""
    return tuple(cell.labels.values())[1:]


def _done(swept: Swept, cell: Cell) -> Run | None:
    return swept.run_of(cell) if swept.state(cell) == "done" else None


def _plain(found: Spread) -> dict[str, float | None]:
    """For JSON, which knows no infinity: what never came is null."""
    return {name: value if value < math.inf else None for name, value in found._asdict().items()}
