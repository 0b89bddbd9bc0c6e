"""A sweep as plain text: its cells before it runs, its figures after it."""

import math
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

from byzsgd.experiment.sweep.cells import told
from byzsgd.experiment.sweep.manifest import manifest
from byzsgd.experiment.sweep.spread import Spread
from byzsgd.experiment.sweep.summary import Row, rows
from byzsgd.experiment.sweep.swept import Swept
from byzsgd.experiment.text import table


def cells_text(swept: Swept) -> str:
    """Each cell and whether it is done, for `--dry-run`."""
    head = (*swept.sweep.table.axes, "seed", "state", "digest")
    lines = [
        (*cell.labels.values(), str(cell.seed), swept.state(cell), cell.digest[:8] or "–")
        for cell in swept.chosen
    ]
    return "\n".join([*_table([head, *lines], swept), "", counted(swept), *notes(swept)])


def cells_dict(swept: Swept) -> dict[str, Any]:
    """As the manifest, with the state of each cell that was chosen."""
    whole = manifest(swept.sweep, swept.manner)
    chosen = {id(cell) for cell in swept.chosen}
    cells = [
        {**entry, "state": swept.state(cell)}
        for cell, entry in zip(swept.sweep.cells, whole["cells"], strict=True)
        if id(cell) in chosen
    ]
    return {**whole, "cells": cells}


def swept_text(swept: Swept) -> str:
    """Medians over seeds, and the range where there are several."""
    columns = _columns(swept)
    heads = [*swept.sweep.table.axes, *(head for head, _ in columns)]
    lines = [[*row.labels.values(), *(figure(row) for _, figure in columns)] for row in rows(swept)]
    return "\n".join([*_table([heads, *lines], swept), "", counted(swept), *notes(swept)])


def swept_dict(swept: Swept) -> dict[str, Any]:
    return {
        "name": swept.sweep.name,
        "manifest": str(swept.folder / swept.manner.manifest),
        "simulated": swept.manner.simulated,
        "states": dict(Counter(map(swept.state, swept.chosen))),
        "interrupted": swept.interrupted,
        "rows": [row.to_dict() for row in rows(swept)],
        "shortfalls": swept.shortfalls(),
    }


def counted(swept: Swept) -> str:
    """24 experiments: 10 done, 12 missing, 2 impossible."""
    states = Counter(map(swept.state, swept.chosen))
    return f"{len(swept.chosen)} experiments: {_states(dict(states))}; {swept.folder}"


def notes(swept: Swept) -> list[str]:
    """Why what was chosen is not possible, and what is allowed but may not have been meant."""
    sweep, chosen = swept.sweep, {tuple(cell.labels.values()) for cell in swept.chosen}
    found = [
        f"impossible: {told(labels)}: {why}"
        for labels, why in sweep.impossible()
        if tuple(labels.values()) in chosen
    ]
    if "failed" in map(swept.state, swept.chosen):
        found.append("what failed is run once more with --again only")
    if sweep.repeated:
        found.append(
            f"warning: {sweep.repeated} experiments equal earlier ones, and share their run"
        )
    return found


def _table(lines: Sequence[Sequence[str]], swept: Swept) -> list[str]:
    """With the names of variants on the left of their columns."""
    axes = len(swept.sweep.table.axes)
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)][:axes]
    return table(
        [
            [*(name.ljust(width) for name, width in zip(line, widths, strict=False)), *line[axes:]]
            for line in lines
        ]
    )


def _states(states: dict[Any, int]) -> str:
    order = ("done", "failed", "missing", "impossible")
    return ", ".join(f"{states[state]} {state}" for state in order if state in states)


def _columns(swept: Swept) -> list[tuple[str, Callable[[Row], str]]]:
    columns: list[tuple[str, Callable[[Row], str]]] = [
        ("runs", lambda row: _states(row.states)),
        ("accuracy", lambda row: _spread(row.accuracy, ".1f", 100, " %")),
        ("steps/s", lambda row: _spread(row.steps_per_second)),
    ]
    if reference := swept.sweep.reference:
        columns.append((f"step time / {reference}", lambda row: _spread(row.step_ratio)))
    if target := swept.sweep.table.target:
        columns.append((f"s to {100 * target:.3g} %", _reached))
    return columns


def _spread(spread: Spread | None, form: str = ".3g", scale: float = 1, unit: str = "") -> str:
    """96.1 % (95.5–97)"""
    if spread is None:
        return "–"
    middle, low, high = (
        f"{scale * value:{form}}" if value < math.inf else "never" for value in spread[:3]
    )
    return f"{middle}{unit}" + (f" ({low}–{high})" if spread.values > 1 else "")


def _reached(row: Row) -> str:
    """When; and by how many seeds where not by all."""
    if row.reached_s is None:
        return "–"
    runs = row.reached_s.values
    some = f", {row.reached} of {runs} seeds" if row.reached < runs else ""
    return f"{_spread(row.reached_s)}{some}" if row.reached else f"never, 0 of {runs} seeds"
