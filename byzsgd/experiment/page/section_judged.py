"""Synchronous workers: what became of the models that they pulled."""

import math
from collections import Counter
from collections.abc import Sequence
from typing import Final

from byzsgd.experiment.page.bars import Stack, inches, rows_of, stacked
from byzsgd.experiment.page.figure import WIDTH_IN, svg
from byzsgd.experiment.page.section import Section, Shown, Table
from byzsgd.experiment.page.study import Cell, Study
from byzsgd.experiment.page.words import percent
from byzsgd.experiment.totals import FATES, LATE, rejected_of

COLORS: Final = ("#009e73", "#d55e00", "#cc79a7", "#882255")
OTHERS: Final = ("#e69f00", "#56b4e9", "#999933", "#332288")
"""Of fates that this page does not know."""

SERVERS: Final = (("honest", False), ("lying", True))

_CAPTION: Final = (
    "What became of the models that honest synchronous workers asked one server for and judged: "
    "accepted, rejected by a filter (Lipschitz or outlier), or not finite. An honest server's "
    "model that was rejected is a false rejection. Beside the bars is the share of rejected ones, "
    "of how many, and how often a model was late: the worker went on to the next server before it "
    "came. Being late is no judgement, and not part of the bars: a late model that came within the "
    "same step may have been judged after all, and then counts in both figures."
)


def judged(study: Study, mark: str) -> Section | None:
    rows = rows_of(study, lambda cell: any(fates_of(cell, lies) for _, lies in SERVERS))
    if not rows:
        return None
    stacks = [
        Stack(
            f"judged models of {who} servers, %",
            [_shares(fates_of(row.cell, lies)) for row in rows],
            [_end(fates_of(row.cell, lies)) for row in rows],
            shares=True,
        )
        for who, lies in SERVERS
        if any(fates_of(row.cell, lies) for row in rows)
    ]
    verdicts = [fate for fate in _named(study) if fate != LATE]
    shades = (*COLORS, *OTHERS * len(verdicts))[: len(verdicts)]
    draw = stacked(rows, stacks, verdicts, shades)
    drawing = svg(mark, "Models pulled", draw, WIDTH_IN, inches(rows))
    legend = tuple(zip(verdicts, shades, strict=True))
    return Section("Models pulled", [Shown(_CAPTION, drawing, _table(study), legend)])


def fates_of(cell: Cell | None, lies: bool) -> Counter[str]:
    """How many pulled models of honest or lying servers had which fate, in all finished runs."""
    fates: Counter[str] = Counter()
    for run in cell.finished.values() if cell else ():
        for node in run.nodes:
            fates.update({fate: n for (fate, lying), n in node.judged.items() if lying == lies})
    return fates


def _named(study: Study) -> Sequence[str]:
    """All fates: those that everybody knows, then others under their own names."""
    known = {fate for cell in study.cells for _, lies in SERVERS for fate in fates_of(cell, lies)}
    return (*FATES, *sorted(known - {*FATES}))


def _shares(fates: Counter[str]) -> dict[str, float]:
    _, judged = rejected_of(fates)
    return {fate: 100 * count / judged for fate, count in fates.items() if fate != LATE and judged}


def _end(fates: Counter[str]) -> str:
    rejected, judged = rejected_of(fates)
    told = [f"{percent(rejected / judged)} of {judged:,}"] if judged else []
    return ", ".join(told + [f"{fates[LATE]:,} late"] * bool(fates[LATE]))


def _table(study: Study) -> Table:
    named = _named(study)
    head = (*study.axes, "servers", "judged", *named, "rejected of the judged")
    rows = []
    for cell in study.cells:
        for who, lies in SERVERS:
            if fates := fates_of(cell, lies):
                rejected, judged = rejected_of(fates)
                labels = (variant for _, variant in cell.labels)
                figures = (f"{count:,}" for count in (judged, *(fates[fate] for fate in named)))
                share = percent(rejected / judged if judged else math.nan)
                rows.append((*labels, who, *figures, share))
    return Table(head, rows, len(study.axes) + 1)
