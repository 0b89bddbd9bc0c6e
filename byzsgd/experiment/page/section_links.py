"""What links carried, how old it was on arrival, and how long nodes waited for a quorum."""

import math
from collections import Counter
from collections.abc import Iterator
from itertools import chain
from typing import Final

import numpy as np
from numpy.typing import NDArray

from byzsgd.experiment.page.bars import Panel, bars, inches, rows_of
from byzsgd.experiment.page.figure import WIDTH_IN, height_in, svg, swatches
from byzsgd.experiment.page.histogram import COLUMNS, Panels, Shares
from byzsgd.experiment.page.section import Section, Shown, Table
from byzsgd.experiment.page.study import Cell, Study
from byzsgd.experiment.page.words import nbytes, percent, seconds
from byzsgd.experiment.sweep.spread import Spread

KINDS: Final = (("server", "worker"), ("worker", "server"), ("server", "server"))
SIDES: Final = {"at servers": "server", "at workers": "worker"}
LAG_MAX: Final = 30
WAITS: Final = np.geomspace(1e-5, 1e3, 73)
"""Nine bins a decade; waits outside are in the first or the last."""


def links(study: Study, mark: str) -> Section | None:
    shown = [
        *_bytes(study, f"{mark}-bytes"),
        *_lags(study, f"{mark}-lags"),
        *_waits(study, f"{mark}-waits"),
    ]
    return Section("Links, staleness and waits", shown) if shown else None


# --- bytes ----------------------------------------------------------------------------------------


def _bytes(study: Study, mark: str) -> Iterator[Shown]:
    rows = rows_of(study, lambda cell: any(_carried(cell, kind) for kind in KINDS))
    panels = [
        Panel(f"{kind[0]} to {kind[1]}, a step", carried, nbytes, ticks=nbytes)
        for kind in KINDS
        if any(carried := [_carried(row.cell, kind) for row in rows])
    ]
    if panels:
        caption = (
            "Bytes that a link carried in one direction per step: bars are the median link, "
            "whiskers reach from the least to the busiest one, over all finished runs."
        )
        drawing = svg(mark, "Bytes per link", bars(rows, panels), WIDTH_IN, inches(rows))
        yield Shown(caption, drawing, _bytes_table(study))


def _carried(cell: Cell | None, kind: tuple[str, str]) -> Spread | None:
    runs = cell.finished.values() if cell else ()
    values = sorted(value for run in runs for value in run.links.get(kind, ()))
    if not values or math.isnan(values[0]):
        return None
    return Spread(float(np.median(values)), values[0], values[-1], len(values))


def _bytes_table(study: Study) -> Table:
    named = [
        f"{sender} to {to}, {which}" for sender, to in KINDS for which in ("median", "busiest")
    ]
    rows = []
    for cell in study.cells:
        found = [_carried(cell, kind) for kind in KINDS]
        figures = [(s.median, s.high) if s else (math.nan, math.nan) for s in found]
        labels = (variant for _, variant in cell.labels)
        rows.append((*labels, *(nbytes(value) for value in chain.from_iterable(figures))))
    return Table((*study.axes, *named), rows, len(study.axes))


# --- staleness ------------------------------------------------------------------------------------


def _lags(study: Study, mark: str) -> Iterator[Shown]:
    panels = Panels(study, tuple(SIDES), _lag_shares, "steps behind the receiver", log_y=True)
    if panels.filled():
        caption = (
            "How many steps a message was behind its receiver when it arrived. At 0 it is of the "
            "step that the receiver was at: some complete a quorum, those beyond it are of no use. "
            "Less than 0 is of a later step, for which it is kept as far as the window reaches. "
            "More than 0 is of a step that the receiver has left: a vector is of no use then, but "
            "who pulls a model is answered whatever the lag. Shares of all messages that honest "
            f"nodes received, those of liars as well; {LAG_MAX} and more are one bin."
        )
        yield _histograms(study, mark, "Staleness", panels, caption, _lag_table(study))


def _counted(cell: Cell, kind: str) -> Counter[int]:
    lags: Counter[int] = Counter()
    for run in cell.finished.values():
        for node in run.nodes:
            if node.role == SIDES[kind]:
                lags.update(node.lags)
    return lags


def _lag_shares(cell: Cell, kind: str) -> Shares | None:
    lags = _counted(cell, kind)
    total = sum(lags.values())
    if not total:
        return None
    near: Counter[int] = Counter()
    for lag, count in lags.items():
        near[max(-LAG_MAX, min(LAG_MAX, lag))] += count
    low, high = min(near), max(near)
    shares = [near[lag] / total for lag in range(low, high + 1)]
    return np.arange(low, high + 2) - 0.5, np.array(shares)


def _lag_table(study: Study) -> Table:
    rows = []
    for cell in study.cells:
        for kind in SIDES:
            lags = _counted(cell, kind)
            if total := sum(lags.values()):
                ahead = sum(count for lag, count in lags.items() if lag < 0)
                behind = sum(count for lag, count in lags.items() if lag > 0)
                shares = (percent(part / total) for part in (ahead, lags[0], behind))
                labels = (variant for _, variant in cell.labels)
                rows.append((*labels, kind, f"{total:,}", *shares, str(min(lags)), str(max(lags))))
    head = (*study.axes, "received", "messages", "ahead", "same step", "behind", "least", "most")
    return Table(head, rows, len(study.axes) + 1)


# --- waits ----------------------------------------------------------------------------------------


def _waits(study: Study, mark: str) -> Iterator[Shown]:
    panels = Panels(study, tuple(SIDES), _wait_shares, "waited in a step", times=True)
    if panels.filled():
        caption = (
            "How long a node waited in a step until its quorum was complete, or its pulled model "
            "there: shares of all steps of honest nodes after the first few; 10 µs and less "
            "are one bin."
        )
        yield _histograms(study, mark, "Waits for a quorum", panels, caption, _wait_table(study))


def _waited(cell: Cell, kind: str) -> NDArray[np.float64]:
    waits = [n.waits for run in cell.finished.values() for n in run.nodes if n.role == SIDES[kind]]
    return np.concatenate([np.empty(0), *waits])


def _wait_shares(cell: Cell, kind: str) -> Shares | None:
    waits = _waited(cell, kind)
    if not len(waits):
        return None
    counts, _ = np.histogram(np.clip(waits, WAITS[0], WAITS[-1]), WAITS)
    filled = np.flatnonzero(counts)
    low, high = filled[0], filled[-1] + 1
    return WAITS[low : high + 1], counts[low:high] / len(waits)


def _wait_table(study: Study) -> Table:
    rows = []
    for cell in study.cells:
        for kind in SIDES:
            waits = _waited(cell, kind)
            if len(waits):
                figures = [seconds(float(q)) for q in np.percentile(waits, (1, 50, 90, 99, 100))]
                rows.append((*(variant for _, variant in cell.labels), kind, *figures))
    head = (*study.axes, "waits", "p1", "median", "p90", "p99", "longest")
    return Table(head, rows, len(study.axes) + 1)


def _histograms(
    study: Study, mark: str, title: str, panels: Panels, caption: str, table: Table
) -> Shown:
    height = height_in(-(-len(panels.filled()) // COLUMNS), 1.75)
    drawing = svg(mark, title, panels.draw, WIDTH_IN, height)
    return Shown(caption, drawing, table, swatches(study.variants))
