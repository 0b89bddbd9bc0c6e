"""Horizontal bars, whose names can be long: one row a cell, under a heading for each situation."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator

from byzsgd.experiment.page.figure import Draw, color, height_in, shortened
from byzsgd.experiment.page.study import Cell, Study
from byzsgd.experiment.page.words import Form, situation_text, variant_text
from byzsgd.experiment.sweep.spread import Spread

ROWS_MAX: Final = 120
"""More would be no figure any more; the table has them all."""

TALL: Final = 30
"""With more rows the scale is told above them as well."""

ROW_IN: Final = 0.2


@dataclass(frozen=True)
class Row:
    """A bar's name and colour, or the heading of those that follow (then without a cell)."""

    name: str
    place: int = 0
    cell: Cell | None = None


@dataclass(frozen=True)
class Panel:
    """One scale, with a value for each row. `even` is where a ratio is 1."""

    label: str
    values: Sequence[Spread | None]
    form: Form
    ticks: Form = "{:g}".format
    even: float | None = None


@dataclass(frozen=True)
class Stack:
    """One scale, with the parts of each row's bar, and what is written at its end."""

    label: str
    values: Sequence[Mapping[str, float]]
    ends: Sequence[str]
    shares: bool = False
    """Of each row, in per cent."""


def rows_of(study: Study, wanted: Callable[[Cell], object] = lambda _: True) -> list[Row]:
    """A row for each cell by situation, in the manifest's order, not more than a figure holds."""
    rows: list[Row] = []
    for situation in study.situations:
        inside = [
            Row(variant_text(study.axis, variant), place, cell)
            for place, variant in enumerate(study.variants)
            if (cell := study.cell(variant, situation)) and wanted(cell)
        ]
        heading = [Row(situation_text(situation))] if situation and inside else []
        rows += heading + inside
    return rows[:ROWS_MAX]


def inches(rows: Sequence[Row]) -> float:
    return height_in(len(rows), ROW_IN)


def bars(rows: Sequence[Row], panels: Sequence[Panel]) -> Draw:
    """Medians, with whiskers over the range, and each figure written at its bar's end."""

    def draw(figure: Figure) -> None:
        for axes, panel in zip(_panels(figure, rows, len(panels)), panels, strict=True):
            _scale(axes, panel)
            for y, (row, value) in enumerate(zip(rows, panel.values, strict=True)):
                if row.cell:
                    _bar(axes, y, row, row.cell, value, panel)

    return draw


def stacked(
    rows: Sequence[Row], stacks: Sequence[Stack], parts: Sequence[str], colors: Sequence[str]
) -> Draw:
    """Parts that add up, each in its own colour."""

    def draw(figure: Figure) -> None:
        for axes, stack in zip(_panels(figure, rows, len(stacks)), stacks, strict=True):
            axes.set_xlabel(stack.label)
            totals = [sum(values.values()) for values in stack.values]
            axes.set_xlim(0, (1.6 if stack.shares else 1.45) * max(totals, default=0) or 1)
            if stack.shares:
                axes.set_xticks(range(0, 101, 20))
            for y, (values, end) in enumerate(zip(stack.values, stack.ends, strict=True)):
                left = 0.0
                for part, shade in zip(parts, colors, strict=True):
                    axes.barh(y, values.get(part, 0.0), left=left, height=0.72, color=shade)
                    left += values.get(part, 0.0)
                _write(axes, end, left, y)

    return draw


def _panels(figure: Figure, rows: Sequence[Row], count: int) -> list[Axes]:
    panels = list(figure.subplots(1, count, sharey=True, squeeze=False)[0])
    for axes in panels:
        axes.set_ylim(len(rows) - 0.4, -0.6)
        axes.grid(visible=False, axis="y")
        axes.tick_params(axis="y", length=0)
        axes.spines["left"].set_visible(False)
        if len(rows) > TALL:
            axes.tick_params(axis="x", top=True, labeltop=True)
    panels[0].set_yticks(range(len(rows)), [shortened(row.name) for row in rows])
    for row, tick in zip(rows, panels[0].get_yticklabels(), strict=True):
        tick.set_fontweight("normal" if row.cell else "bold")
    return panels


def _scale(axes: Axes, panel: Panel) -> None:
    axes.set_xlabel(panel.label)
    axes.xaxis.set_major_locator(MaxNLocator(5))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: panel.ticks(value)))
    if known := [value for value in panel.values if value]:
        axes.set_xlim(0, 1.3 * max(value.high for value in known) or 1)
    if panel.even is not None:
        axes.axvline(panel.even, color="#80868f", linewidth=0.8, zorder=0.5)


def _bar(axes: Axes, y: int, row: Row, cell: Cell, value: Spread | None, panel: Panel) -> None:
    if value is None:
        _write(axes, cell.state, 0, y, style="italic")
        return
    axes.barh(y, value.median, height=0.72, color=color(row.place))
    if value.values > 1:
        whiskers = [[value.median - value.low], [value.high - value.median]]
        axes.errorbar(value.median, y, xerr=whiskers, fmt="none", ecolor="#5a5f66", capsize=2)
    _write(axes, panel.form(value.median), value.high, y)


def _write(axes: Axes, text: str, x: float, y: float, style: str = "normal") -> None:
    beside = {"xytext": (4, 0), "textcoords": "offset points", "va": "center"}
    axes.annotate(text, (x, y), fontsize=7.5, fontstyle=style, **beside)  # type: ignore[arg-type]
