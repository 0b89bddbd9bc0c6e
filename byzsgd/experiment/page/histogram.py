"""Histograms as small multiples: a panel for each situation, a line for each variant."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import NullLocator
from numpy.typing import NDArray

from byzsgd.experiment.page.figure import color, grid, share_scale, time_ticks, wrapped
from byzsgd.experiment.page.study import Cell, Labels, Study
from byzsgd.experiment.page.words import situation_text

COLUMNS: Final = 4

Shares = tuple[NDArray[Any], NDArray[Any]]
"""The edges of bins (n + 1,), and the share of all values that is in each (n,)."""


@dataclass(frozen=True)
class Panels:
    """What each panel shows: `of` gives a cell's shares for one of the `kinds`."""

    study: Study
    kinds: Sequence[str]
    of: Callable[[Cell, str], Shares | None]
    label: str
    times: bool = False
    log_y: bool = False

    def filled(self) -> list[tuple[Labels, str]]:
        """(situation, kind) for a panel each: situations of which there is something to show."""
        return [
            (situation, kind)
            for situation in self.study.situations
            if any(any(self._lines(situation, each)) for each in self.kinds)
            for kind in self.kinds
        ]

    def draw(self, figure: Figure) -> None:
        filled = self.filled()
        every = grid(figure, len(filled), COLUMNS, sharex=True, sharey=True)
        for place, (axes, (situation, kind)) in enumerate(zip(every, filled, strict=True)):
            title = f"{situation_text(situation)}, {kind}" if situation else kind
            axes.set_title(wrapped(title, 26))
            for line, shares in enumerate(self._lines(situation, kind)):
                if shares:
                    _stairs(axes, shares, color(line))
            self._finish(axes, first=place % COLUMNS == 0)

    def _lines(self, situation: Labels, kind: str) -> list[Shares | None]:
        cells = [self.study.cell(variant, situation) for variant in self.study.variants]
        return [self.of(cell, kind) if cell else None for cell in cells]

    def _finish(self, axes: Axes, first: bool) -> None:
        axes.set_xlabel(self.label)
        if self.times:
            axes.set_xscale("log")
            time_ticks(axes.xaxis)
        if self.log_y:
            axes.set_yscale("log")
            axes.yaxis.set_minor_locator(NullLocator())
        share_scale(axes.yaxis)
        if first:
            axes.set_ylabel("share")


def _stairs(axes: Axes, shares: Shares, shade: str) -> None:
    edges, heights = shares
    axes.stairs(heights, edges, color=shade, linewidth=1.4)
    axes.stairs(heights, edges, color=shade, fill=True, alpha=0.08)
