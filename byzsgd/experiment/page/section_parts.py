"""Where the time of a step went, at servers and at workers."""

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Final

import numpy as np

from byzsgd.experiment.page.bars import Row, Stack, inches, rows_of, stacked
from byzsgd.experiment.page.figure import WIDTH_IN, svg
from byzsgd.experiment.page.node import EACH, Floats
from byzsgd.experiment.page.parts import BESIDE, PARTS
from byzsgd.experiment.page.section import Section, Shown, Table
from byzsgd.experiment.page.study import Cell, Study
from byzsgd.experiment.page.words import seconds

SIDES: Final = ("server", "worker")
APART: Final = 12
"""Steps that differ by more than this factor have no scale in common."""

COLORS: Final = ("#0072b2", "#56b4e9", "#d55e00", "#cc79a7", "#d3d7dc", "#80868f")
"""What is no work is grey."""

_CAPTION: Final = (
    "A step by what it was spent on: of each part the mean over steps, of the honest node in the "
    "middle. Aggregate is copying vectors in, distances, the rule, medians of models, and "
    "measuring for the record what came of them. What of this and of encoding is done while "
    "waiting counts as work and not as wait. Other is what no measure covers: handing over "
    "between threads, waiting for a core, and a slow machine's slowness. Send is the event loop "
    "moving frames, some while the node computes and some while it waits: it goes on beside the "
    "other parts, so it is written at the bar's end and subtracted from none. The table has the "
    "median and the 99th percentile over all steps of all honest nodes."
)


def parts(study: Study, mark: str) -> Section | None:
    rows = rows_of(study, lambda cell: any(_means(cell, side) for side in SIDES))
    if not rows:
        return None
    stacks = [_stack(rows, side) for side in SIDES]
    drawing = svg(
        mark, "Where the time went", stacked(rows, stacks, PARTS, COLORS), WIDTH_IN, inches(rows)
    )
    legend = tuple(zip(PARTS, COLORS, strict=True))
    caption = _CAPTION
    if study.simulated:
        caption += " Simulated nodes measure phases only: they stand for compute and aggregate."
    return Section("Where the time went", [Shown(caption, drawing, _table(study), legend)])


def _stack(rows: Sequence[Row], side: str) -> Stack:
    """In milliseconds, or in shares of the step where steps differ too much for one scale."""
    means = [_means(row.cell, side) for row in rows]
    totals = [sum(values[part] for part in PARTS) if values else 0.0 for values in means]
    ends = [_end(total, values) for total, values in zip(totals, means, strict=True)]
    known = [total for total in totals if total]
    if known and max(known) > APART * min(known):
        shares = [
            {part: 100 * values[part] / total for part in PARTS} if total else {}
            for values, total in zip(means, totals, strict=True)
        ]
        return Stack(f"a {side}'s step, %", shares, ends, shares=True)
    stacked_ms = [{part: values[part] for part in PARTS} if values else {} for values in means]
    return Stack(f"a {side}'s step, ms", stacked_ms, ends)


def _end(total_ms: float, means: Mapping[str, float]) -> str:
    sent = f"; send {seconds(means[BESIDE] / 1e3)}" if total_ms and means[BESIDE] else ""
    return seconds(total_ms / 1e3) + sent if total_ms else ""


def _means(cell: Cell | None, side: str) -> dict[str, float]:
    """Milliseconds by part, for the bars: of nodes the median, so that no slow one shows."""
    nodes = [node for node in _nodes(cell, side) if len(node["wait"])]
    if not nodes:
        return {}
    means = {part: [float(node[part].mean()) for node in nodes] for part in EACH}
    return {part: 1e3 * float(np.median(values)) for part, values in means.items()}


def _nodes(cell: Cell | None, side: str) -> Iterator[dict[str, Floats]]:
    for run in cell.finished.values() if cell else ():
        yield from (dict(node.parts) for node in run.nodes if node.role == side)


def _table(study: Study) -> Table:
    head = (*study.axes, "of a", *PARTS, f"{BESIDE}, beside")
    rows = [
        (*(variant for _, variant in cell.labels), f"{side}'s step", *_percentiles(cell, side))
        for cell in study.cells
        for side in SIDES
        if cell.finished
    ]
    return Table(head, rows, len(study.axes) + 1)


def _percentiles(cell: Cell, side: str) -> Iterator[str]:
    nodes = list(_nodes(cell, side))
    for part in EACH:
        values = np.concatenate([node[part] for node in nodes]) if nodes else np.empty(0)
        middle, high = np.percentile(values, (50, 99)) if len(values) else (math.nan, math.nan)
        yield f"{seconds(float(middle))}\np99 {seconds(float(high))}"
