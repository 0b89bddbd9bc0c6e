"""Where the time of a step went: the measures of `nodes/NODE.jsonl` as a few parts that add up.

A node has a lane for computations, one after the other, and beside it an event loop, which moves
frames while the lane computes and while it has nothing to do. So the parts are the lane's, and what
the loop sends stands beside them.
"""

import math
from collections.abc import Mapping
from typing import Any, Final

PARTS: Final = ("compute", "encode", "aggregate", "apply", "wait", "other")
"""What a step is made of."""
BESIDE: Final = "send"
"""The event loop's, at the same time as any of those."""

MEASURED: Final = {
    "compute": ("compute_s", "forge_s"),
    "encode": ("encode_s",),
    "send": ("send_s",),
    "aggregate": ("prepare_s", "stack_s", "aggregate_s", "contract_s", "watch_s"),
    "apply": ("apply_s",),
}
"""Seconds of work, by part. Absent measures are 0."""

WAITING: Final = ("in_gradients_s", "in_models_s", "in_pulling_s")
"""Phases in which a node waits for others."""

MEANWHILE: Final = ("encode_s", "prepare_s")
"""Work that begins in those phases and keeps the lane busy: the rest of them is waiting."""

WORKING: Final = {
    "in_gradient_s": "compute",
    "in_updating_s": "aggregate",
    "in_contracting_s": "aggregate",
}
"""Phases of work. A simulated run measures no work, so there they stand for it."""

_STARTING: Final = "in_starting_s"
_SECONDS_MAX: Final = 1e9
"""Thirty years: more is damage."""


def split(line: Mapping[str, Any]) -> dict[str, float]:
    """The seconds of one step by part, and of what was sent beside them.

    `PARTS` add up to the step, or to more where the measures overlap: what was begun while waiting
    may end after the wait, and no wait is less than 0. "other" is what no measure covers: handing
    work from thread to thread, waiting for a core, a slow machine's slowness.
    """
    took = {part: sum(_seconds(line, name) for name in names) for part, names in MEASURED.items()}
    if not any(took[part] for part in PARTS if part in MEASURED):
        for phase, part in WORKING.items():
            took[part] += _seconds(line, phase)
    waiting = sum(_seconds(line, phase) for phase in WAITING)
    meanwhile = sum(_seconds(line, name) for name in MEANWHILE)
    took["wait"] = max(0.0, waiting - meanwhile)
    spent = sum(value for part, value in took.items() if part != BESIDE)
    return {**took, "other": max(0.0, _total(line) - spent)}


def waited(line: Mapping[str, Any]) -> float:
    """The seconds until the quorum, or the pulled model, was there, whatever was done meanwhile."""
    return sum(_seconds(line, phase) for phase in WAITING)


def _total(line: Mapping[str, Any]) -> float:
    phases = [name for name in line if name.startswith("in_") and name != _STARTING]
    return sum(_seconds(line, phase) for phase in phases)


def _seconds(line: Mapping[str, Any], name: str) -> float:
    value = number(line.get(name))
    return value if 0 < value < _SECONDS_MAX else 0.0


def number(value: object) -> float:
    """A finite number of a record, NaN for whatever else stands there."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return math.nan
    try:
        return float(value) if math.isfinite(value) else math.nan
    except OverflowError:  # a whole number of a thousand digits
        return math.nan
