"""Were the assumptions of the rule's theorem met? The variance-norm ratio beside its bound."""

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from byzsgd.experiment.findings.seen import number, table, whole
from byzsgd.experiment.page.figure import (
    WIDTH_IN,
    color,
    grid,
    height_in,
    svg,
    swatches,
    wrapped,
)
from byzsgd.experiment.page.node import Floats
from byzsgd.experiment.page.section import Section, Shown, Table
from byzsgd.experiment.page.study import Cell, Labels, Study
from byzsgd.experiment.page.words import NOTHING, percent, plain, situation_text, told
from byzsgd.experiment.sweep.spread import spread

SITUATIONS_MAX: Final = 12
POINTS_MAX: Final = 150
TITLE: Final = "Were the assumptions met?"

_CAPTION: Final = (
    "A rule is proven to point the right way while the honest gradients' standard deviation is at "
    "most a multiple of their mean's norm: the ratio of the two, as honest servers saw it at each "
    "step (the median over servers and seeds), and dashed the rule's bound. Above its bound a rule "
    "may still do well, but no theorem says so. The ratio is measured on the k honest vectors of a "
    "quorum: of pure noise it is about the root of k. The table tells as well at how many of the "
    "same updates each rule's own bound held that could have been used."
)


def assumptions(study: Study, mark: str) -> Section | None:
    figures = _table(study)
    if not figures.rows:
        return None
    every = [labels for labels in study.situations if _drawn(study, labels)]
    situations = every[:SITUATIONS_MAX]
    if not situations:
        return Section(TITLE, [Shown(_CAPTION, table=figures)])

    def draw(figure: Figure) -> None:
        for axes, situation in zip(grid(figure, len(situations), 2), situations, strict=True):
            _panel(axes, study, situation)

    drawing = svg(mark, TITLE, draw, WIDTH_IN, height_in(-(-len(situations) // 2), 2.3))
    more = f" The first {SITUATIONS_MAX} situations." if len(every) > SITUATIONS_MAX else ""
    return Section(TITLE, [Shown(_CAPTION + more, drawing, figures, swatches(study.variants))])


def _drawn(study: Study, situation: Labels) -> list[tuple[int, Floats]]:
    """(place of the variant, its curve), where there is one."""
    cells = ((place, study.cell(each, situation)) for place, each in enumerate(study.variants))
    return [(place, found) for place, cell in cells if len(found := _curve(cell))]


def _curve(cell: Cell | None) -> Floats:
    """(k, 3): of groups of steps the first, the median ratio, and the median bound."""
    each = [node.ratios for run in (cell.shown if cell else ()) for node in run.nodes]
    points = np.concatenate([*each, np.empty((0, 3), np.float32)])
    points = points[np.argsort(points[:, 0], kind="stable")]
    steps, firsts = np.unique(points[:, 0], return_index=True)
    wide = -(-len(steps) // POINTS_MAX) or 1
    groups = np.split(points, firsts[::wide][1:]) if len(points) else []
    return np.array([(g[0, 0], np.median(g[:, 1]), _middle(g[:, 2])) for g in groups]).reshape(
        -1, 3
    )


def _middle(values: Floats) -> float:
    known = values[~np.isnan(values)]
    return float(np.median(known)) if len(known) else math.nan


def _panel(axes: Axes, study: Study, situation: Labels) -> None:
    axes.set_title(wrapped(situation_text(situation), 48))
    for place, curve in _drawn(study, situation):
        marker = "o" if len(curve) < 3 else ""
        axes.plot(curve[:, 0], curve[:, 1], color=color(place), marker=marker)
        axes.plot(curve[:, 0], curve[:, 2], color=color(place), linestyle="--", linewidth=1)
    axes.set_ylim(bottom=0)
    axes.set_xlabel("steps")
    axes.set_ylabel("deviation / norm of the mean")


def _table(study: Study) -> Table:
    head = (*study.axes, "rule", "deviation / norm", "bound", "met at", "of updates", "by rule")
    rows = [row for cell in study.cells if (row := tuple(_row(cell)))]
    return Table(head, rows, len(study.axes) + 1)


def _row(cell: Cell) -> Iterator[str]:
    found = [run.assumptions for run in cell.shown if whole(run.assumptions.get("updates"))]
    if not found:
        return
    judged, met = (sum(whole(each.get(name)) for each in found) for name in ("judged", "met"))
    roots = (math.sqrt(max(0.0, number(each.get("ratio")))) for each in found)
    yield from (variant for _, variant in cell.labels)
    yield str(found[0].get("rule"))
    yield told(spread(root for root in roots if not math.isnan(root)), plain)
    yield told(spread(number(each.get("bound")) for each in found), plain)
    yield percent(met / judged) if judged else NOTHING
    yield f"{judged:,}"
    yield "\n".join(_by_rule(found)) or NOTHING


def _by_rule(found: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """At how many of the same updates the bound of each rule held."""
    known = sum(whole(each.get("known")) for each in found)
    for name in sorted({name for each in found for name in table(each, "within")} if known else ()):
        within = sum(whole(table(each, "within").get(name)) for each in found)
        yield f"{name} {percent(within / known)}"
