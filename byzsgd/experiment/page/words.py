"""Figures and labels as people read them."""

import math
from collections.abc import Callable

from byzsgd.experiment.page.study import Labels
from byzsgd.experiment.sweep.spread import Spread
from byzsgd.experiment.text import size

NOTHING = "–"
NEVER = "never"
Form = Callable[[float], str]


def seconds(value: float) -> str:
    """In a unit that fits, to three digits."""
    if math.isnan(value):
        return NOTHING
    for unit, factor in (("s", 1.0), ("ms", 1e3)):
        if abs(value) * factor >= 1:
            return f"{_three(value * factor)} {unit}"
    return f"{_three(value * 1e6)} µs" if value else "0 s"


def plain(value: float) -> str:
    return NOTHING if math.isnan(value) else _three(value)


def percent(value: float) -> str:
    return NOTHING if math.isnan(value) else f"{100 * value:.1f} %"


def times(value: float) -> str:
    return NOTHING if math.isnan(value) else f"{value:.2f}×"


def more(value: float) -> str:
    """A ratio as what it is more or less than 1: +32 %."""
    return NOTHING if math.isnan(value) else f"{100 * (value - 1):+.0f} %".replace("-", "−")


def whole(value: float) -> str:
    return NOTHING if math.isnan(value) else f"{value:,.0f}"


def nbytes(value: float) -> str:
    return NOTHING if math.isnan(value) else size(value)


def told(spread: Spread | None, form: Form) -> str:
    """The median, and on a line of its own the range if the runs differ."""
    if spread is None:
        return NOTHING
    middle, low, high = (known(value, form) for value in spread[:3])
    return middle if low == high else f"{middle}\n{_range(low, high)}"


def known(value: float, form: Form) -> str:
    """A figure that may be infinite, which is when something never came."""
    return NEVER if value == math.inf else form(value)


def reached(runs: int, of: int) -> str:
    return f"{runs} of {of} {'seed' if of == 1 else 'seeds'}"


def _range(low: str, high: str) -> str:
    """A unit that both have is told once: 15.1–30.2 ms."""
    number, space, unit = low.rpartition(" ")
    low = number if space and high.endswith(f" {unit}") else low
    return f"{low} to {high}" if low[0] in "+−" else f"{low}–{high}"


def is_number(variant: str) -> bool:
    try:
        return math.isfinite(float(variant))
    except ValueError:
        return False


def variant_text(axis: str, variant: str) -> str:
    """A variant by its name; where that is a key's value, which key's."""
    key = axis.rpartition(".")[2]
    return f"{key} = {variant}" if "." in axis or is_number(variant) else variant


def situation_text(labels: Labels) -> str:
    return " · ".join(variant_text(axis, variant) for axis, variant in labels)


def count(number: int, thing: str) -> str:
    return f"{number:,} {thing}{'' if number == 1 else 's'}"


def _three(value: float) -> str:
    """Three digits, never as a power of ten below a million."""
    if value == 0 or not 1e-4 <= abs(value) < 1e6:
        return f"{value:.3g}"
    digits = max(0, 2 - math.floor(math.log10(abs(value))))
    return f"{value:,.{digits}f}"
