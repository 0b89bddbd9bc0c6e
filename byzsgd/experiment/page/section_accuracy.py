"""How good the model was over time and over steps."""

import math
from collections.abc import Callable, Sequence
from typing import Final, Literal

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from byzsgd.experiment.page.figure import (
    WIDTH_IN,
    color,
    grid,
    height_in,
    share_scale,
    svg,
    swatches,
    wrapped,
)
from byzsgd.experiment.page.sample import Sample
from byzsgd.experiment.page.section import Section, Shown, Table
from byzsgd.experiment.page.study import Cell, Labels, Study
from byzsgd.experiment.page.words import percent, seconds, situation_text, told, whole
from byzsgd.experiment.sweep.spread import spread

Over = Literal["seconds", "step"]
OVER: Final[tuple[Over, Over]] = ("seconds", "step")
ROOMY: Final = 3
"""With more situations than this there are two of them beside one another."""

SITUATIONS_MAX: Final = 40


def accuracy(study: Study, mark: str) -> Section | None:
    if not any(_curve(run) for run in study.samples):
        return None
    situations = _with_curves(study)[:SITUATIONS_MAX]

    def draw(figure: Figure) -> None:
        panels = grid(figure, 2 * len(situations), columns, sharey=True)
        each = [(situation, over) for situation in situations for over in OVER]
        for axes, (situation, over) in zip(panels, each, strict=True):
            _panel(axes, over, study, situation)

    columns = 2 if len(situations) <= ROOMY else 4
    height = height_in(-(-2 * len(situations) // columns), 2.3 if columns == 2 else 1.9)
    drawing = svg(mark, "Accuracy over seconds and over steps", draw, WIDTH_IN, height)
    shown = Shown(_caption(study), drawing, _table(study), swatches(study.variants))
    return Section("Accuracy", [shown])


def _with_curves(study: Study) -> list[Labels]:
    cells = [cell for cell in study.cells if any(_curve(run) for run in cell.shown)]
    return [labels for labels in study.situations if labels in {cell.labels[1:] for cell in cells}]


def _panel(axes: Axes, over: Over, study: Study, situation: Labels) -> None:
    axes.set_title(wrapped(situation_text(situation), 36))
    for place, variant in enumerate(study.variants):
        if cell := study.cell(variant, situation):
            _line(axes, cell, over, color(place))
    virtual = "seconds of virtual time" if study.simulated else "seconds"
    axes.set_xlabel(virtual if over == "seconds" else "steps")
    axes.set_ylabel("accuracy")
    share_scale(axes.yaxis)
    if study.target is not None:
        axes.axhline(study.target, color="#80868f", linewidth=0.8, linestyle=":")


def _line(axes: Axes, cell: Cell, over: Over, shade: str) -> None:
    """A point for each step that was evaluated in every seed, at the median of its seconds."""
    curves = [curve for run in cell.shown if (curve := _curve(run))]
    steps = sorted(set.intersection(*map(set, curves))) if curves else []
    if not steps:
        return
    times, values = (np.array([[c[s][i] for s in steps] for c in curves]) for i in (0, 1))
    at = np.median(times, axis=0) if over == "seconds" else steps
    style, marker = "-" if cell.finished else "--", "o" if len(steps) < 3 else ""
    axes.plot(at, np.median(values, axis=0), color=shade, linestyle=style, marker=marker)
    if len(curves) > 1:
        low, high = values.min(axis=0), values.max(axis=0)
        axes.fill_between(at, low, high, color=shade, alpha=0.18, linewidth=0)


def _curve(run: Sample) -> dict[float, tuple[float, float]]:
    """(seconds, accuracy) by step; where the model was not finite there is no accuracy."""
    known = [found for found in run.evaluations if not math.isnan(found.accuracy)]
    return {found.step: (found.seconds, found.accuracy) for found in known}


def _caption(study: Study) -> str:
    words = (
        "Accuracy of the median of the honest servers' models on the test examples: the median "
        "over seeds at each evaluated step, bands from the least to the most. Over seconds each "
        "step is at the median of its times; the scales of time differ. "
    )
    if any(cell.shown and not cell.finished for cell in study.cells):
        words += "Dashed: no run of the cell is finished. "
    if study.target is not None:
        words += f"Dotted: the target, {100 * study.target:g} %. "
    if len(_with_curves(study)) > SITUATIONS_MAX:
        words += f"The first {SITUATIONS_MAX} situations; the table has all. "
    return words.rstrip()


def _table(study: Study) -> Table:
    head = (*study.axes, "best", "last", "at step", "after")
    return Table(head, [_row(cell) for cell in study.cells], len(study.axes))


def _row(cell: Cell) -> Sequence[str]:
    def over(figure: Callable[[Sample], float], form: Callable[[float], str]) -> str:
        return told(spread(figure(run) for run in cell.shown if run.evaluations), form)

    return (
        *(variant for _, variant in cell.labels),
        over(lambda run: max((e.accuracy for e in run.evaluations), default=0.0), percent),
        over(lambda run: run.evaluations[-1].accuracy, percent),
        over(lambda run: run.evaluations[-1].step, whole),
        over(lambda run: run.evaluations[-1].seconds, seconds),
    )
