"""SafeguardSGD by the names that an experiment gives its settings."""

from collections.abc import Mapping
from typing import Any, Final

from byzsgd.aggregators.inputs import AggregationError
from byzsgd.aggregators.safeguard_sgd import Safeguard

OPTIONS: Final = ("window", "long_window", "warm_up", "h0", "h1", "noise", "readmit")


def safeguard_of(options: Mapping[str, Any], seed: int = 0) -> Safeguard:
    """The rule with a memory; T0 = `window` steps, T1 = `long_window`, without it a single one.

    Thresholds `h0` and `h1`, of the two windows, are given all or none; without them they are found
    in the first `warm_up` steps, by default those of `window`. The paper takes one epoch and six
    (single: three): over many more than that what is peculiar to a worker's own few examples adds
    up, and may exclude it. With a warm_up of 0 distances of each step are all there is to go by:
    that is quick to exclude, also the honest, whose single gradients may be far off. `noise` and
    `readmit` are those of `Safeguard`. Raises `AggregationError`.
    """
    if strange := sorted(set(options) - set(OPTIONS)):
        knows = f"its options are {', '.join(OPTIONS)}"
        raise AggregationError(f"safeguard has no option {', '.join(strange)}: {knows}")
    _check_types(options)
    window, long_window = options.get("window"), options.get("long_window")
    if window is None:
        raise AggregationError("safeguard with options needs window, a number of steps")
    readmit = options.get("readmit", False)
    _check_windows(window, long_window, readmit)
    windows = (window,) if long_window is None else (long_window, window)
    limits = _thresholds(options.get("h0"), options.get("h1"), double=long_window is not None)
    if limits and "warm_up" in options:
        raise AggregationError("warm_up has no effect where h0 is given: leave one of them out")
    warm_up = options.get("warm_up", 0 if limits else window)
    return Safeguard(windows, limits, float(options.get("noise", 0)), seed, warm_up, readmit)


def _check_types(options: Mapping[str, Any]) -> None:
    for name, value in options.items():
        least = 0 if name == "warm_up" else 1
        if name in ("window", "long_window", "warm_up"):
            right, needed = type(value) is int and value >= least, f"a whole number, ≥ {least}"
        elif name == "readmit":
            right, needed = type(value) is bool, "true or false"
        else:
            right, needed = type(value) in (int, float), "a number"
        if not right:
            raise AggregationError(f"{name} = {value!r}: must be {needed}")


def _check_windows(window: int, long_window: int | None, readmit: bool) -> None:
    if long_window is None:
        return
    if long_window <= window:
        raise AggregationError(f"long_window = {long_window}: must be above window = {window}")
    if readmit and long_window % window:
        needed = f"must be a multiple of window = {window} to readmit anybody"
        raise AggregationError(f"long_window = {long_window}: {needed}")


def _thresholds(h0: float | None, h1: float | None, double: bool) -> tuple[float, ...] | None:
    """Of the windows, the longer first."""
    if h1 is not None and not double:
        raise AggregationError("h1 is the threshold of long_window: give both or neither")
    if (h0 is None) != (h1 is None) and double:
        raise AggregationError("h0 and h1 must be given both or not at all")
    given = tuple(h for h in (h1, h0) if h is not None)
    if double and h0 is not None and h1 is not None and h1 <= h0:
        raise AggregationError(f"h1 = {h1}: must be above h0 = {h0}, as its window is longer")
    return given or None
