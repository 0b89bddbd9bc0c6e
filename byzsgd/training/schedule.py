"""The learning rate, by step number only: replicas that agree on the step agree on the rate."""

import math
from collections.abc import Callable
from dataclasses import dataclass

from byzsgd.errors import ConfigError, unknown_name


@dataclass(frozen=True)
class Schedule:
    """The learning rate of every step, a pure function of its number (0, 1, …).

    `constant`: initial. `inverse`: initial·r/(t + r) (Bulyan, arXiv 1802.07927).
    `step`: initial·factor^(milestones reached). `cosine`: half a cosine from initial at step 0
    to 0 at step `steps`, and 0 from there on (arXiv 1608.03983, without restarts).

    Raises ConfigError for an unknown shape or a value out of range.
    """

    initial: float
    shape: str = "constant"
    r: float = 10_000.0
    milestones: tuple[int, ...] = ()
    factor: float = 0.1
    steps: int = 0

    def __post_init__(self) -> None:
        if self.shape not in SHAPES:
            raise unknown_name("learning rate schedule", self.shape, SHAPES)
        _positive("learning rate", self.initial)
        _positive("r of the inverse schedule", self.r)
        _positive("factor of the step schedule", self.factor)
        negative = any(milestone < 0 for milestone in self.milestones)
        if negative or list(self.milestones) != sorted(set(self.milestones)):
            raise ConfigError(f"milestones must be rising step numbers, not {self.milestones}")
        if self.shape == "step" and not self.milestones:
            raise ConfigError("the step schedule needs milestones, such as [1000, 2000]")
        if self.shape == "cosine" and self.steps < 1:
            raise ConfigError("the cosine schedule needs steps, the step at which it reaches 0")

    def at(self, step: int) -> float:
        return self.initial * SHAPES[self.shape](self, step)


def _inverse(schedule: Schedule, step: int) -> float:
    return schedule.r / (step + schedule.r)


def _step(schedule: Schedule, step: int) -> float:
    reached = sum(milestone <= step for milestone in schedule.milestones)
    return float(schedule.factor**reached)


def _cosine(schedule: Schedule, step: int) -> float:
    return 0.5 * (1 + math.cos(math.pi * min(step / schedule.steps, 1.0)))


SHAPES: dict[str, Callable[[Schedule, int], float]] = {
    "constant": lambda schedule, step: 1.0,
    "inverse": _inverse,
    "step": _step,
    "cosine": _cosine,
}


def _positive(name: str, value: float) -> None:
    if not (math.isfinite(value) and value > 0):
        raise ConfigError(f"the {name} must be positive, not {value}")
