"""How long a step takes, and when a run was how good, from what was recorded along the way."""

import math
from collections.abc import Iterable, Sequence
from statistics import median
from typing import Any, Final

Line = dict[str, Any]

WARM_UP_STEPS: Final = 3
WARM_STEPS_MIN: Final = 10
"""Of runs of more steps than this, those of the warm-up do not count."""


def step_s(servers: Iterable[Sequence[Line]]) -> float:
    """The median over servers of a step's mean duration, from their measures; NaN without any.

    Neither the start nor whoever is slow to end counts. A server that was down, or that jumped
    ahead, is taken from its first step to its last.
    """
    paces = [pace for lines in servers if (pace := _pace(lines)) is not None]
    return median(paces) if paces else math.nan


def first_reached(evaluations: Iterable[Line], accuracy: float) -> float | None:
    """The seconds of the first evaluation of at least this accuracy; None if there was none."""
    for line in evaluations:
        measured = line.get("accuracy")  # null where the model was not finite
        if measured is not None and measured >= accuracy:
            return float(line["seconds"])
    return None


def _pace(lines: Sequence[Line]) -> float | None:
    # a line is written at the end of a step
    counted = lines[WARM_UP_STEPS - 1 :] if len(lines) > WARM_STEPS_MIN else lines
    if not counted:
        return None
    first, last = counted[0], counted[-1]
    steps = last["step"] - first["step"]
    return float(last["seconds"] - first["seconds"]) / steps if steps > 0 else None
