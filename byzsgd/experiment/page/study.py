"""Cells and what their runs add up to: medians with ranges over seeds, ratios to a reference."""

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property

from byzsgd.experiment.page.sample import Sample
from byzsgd.experiment.sweep.spread import Spread, ratios, spread, spread_of_times

Labels = tuple[tuple[str, str], ...]
"""(axis, variant), in the axes' order."""

Figure = Callable[[Sample], float]
"""One of a run's, NaN where it has none."""


@dataclass(frozen=True)
class Cell:
    """One combination of variants. `samples` are by seed; of a seed run twice the best one."""

    labels: Labels
    samples: Mapping[int, Sample]
    planned: int = 1
    impossible: str = ""

    @property
    def finished(self) -> dict[int, Sample]:
        return {seed: run for seed, run in self.samples.items() if run.finished}

    @property
    def shown(self) -> list[Sample]:
        """Runs to draw curves of: unfinished ones only where there are no others."""
        return list((self.finished or self.samples).values())

    @property
    def state(self) -> str:
        """Why there is no figure of it, in a few words."""
        if self.impossible:
            return "impossible"
        known = list(self.samples.values())
        if self.finished or not known:
            return "–" if known else "not run yet"
        return f"{known[0].status} at step {known[0].steps}"

    @property
    def status(self) -> str:
        """How many of its runs are done, and what became of the others."""
        if self.impossible:
            return "impossible"
        if not self.samples:
            return "not run yet"
        if self.planned == 1:
            return next(iter(self.samples.values())).status
        counts = Counter(run.status for run in self.samples.values() if not run.finished)
        others = [f"\n{number} {status}" for status, number in counts.items()]
        return f"{len(self.finished)} of {self.planned}" + "".join(others)

    def figures(self, figure: Figure) -> dict[int, float]:
        """Of each seed that is finished."""
        return {seed: figure(run) for seed, run in self.finished.items()}

    def over(self, figure: Figure) -> Spread | None:
        """A figure over the seeds that are finished."""
        return spread(self.figures(figure).values())

    def times(self, figure: Figure) -> Spread | None:
        """When the seeds that are finished reached something; those that never did are last."""
        return spread_of_times(self.figures(figure).values())

    def multiples(self, base: "Cell | None", figure: Figure) -> list[float]:
        """A figure as a multiple of that in `base`, seed by seed where that is known."""
        return list(ratios(self.figures(figure), base.figures(figure))) if base else []


@dataclass(frozen=True)
class Study:
    """Cells that belong together: a sweep, or runs that happen to be side by side."""

    name: str
    simulated: bool
    axes: Mapping[str, tuple[str, ...]]
    cells: tuple[Cell, ...]
    target: float | None = None
    swept: bool = True
    strangers: tuple[str, ...] = ()
    """Runs beside a sweep's that are of none of its cells, by their folders."""

    @property
    def axis(self) -> str:
        """The first one: its variants are compared, the first of them is the reference."""
        return next(iter(self.axes), "")

    @property
    def variants(self) -> tuple[str, ...]:
        return self.axes.get(self.axis, ())

    @property
    def compared(self) -> bool:
        """Whether there is a reference to take ratios to."""
        return self.swept and len(self.variants) > 1

    @cached_property
    def situations(self) -> tuple[Labels, ...]:
        """What the variants are compared in: the other axes' combinations."""
        return tuple(dict.fromkeys(cell.labels[1:] for cell in self.cells))

    @property
    def samples(self) -> list[Sample]:
        return [run for cell in self.cells for run in cell.samples.values()]

    def cell(self, variant: str, situation: Labels) -> Cell | None:
        return self._by_labels.get(((self.axis, variant), *situation))

    def ratio(self, cell: Cell, figure: Figure, reference: str | None = None) -> Spread | None:
        """A figure as a multiple of the reference's, seed by seed where both have one."""
        base = self.cell(reference or self.variants[0], cell.labels[1:])
        return spread(cell.multiples(base, figure))

    @cached_property
    def _by_labels(self) -> dict[Labels, Cell]:
        return {cell.labels: cell for cell in self.cells}
