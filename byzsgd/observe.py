"""What a node tells about itself: one hook at its border."""

from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Protocol

from byzsgd.protocol import Event, Message

Measures = Mapping[str, Any]


@dataclass(frozen=True)
class Outcome:
    """The event that answers a computation, and what is worth recording.

    `measures` add up over a step, seconds by part; `notes` do not, such as whose vectors were used.
    """

    event: Event
    measures: Mapping[str, float] = field(default_factory=dict)
    notes: Mapping[str, object] = field(default_factory=dict)


LAG_MAX: Final = 32
"""Whoever is farther off counts here: the step of a message is its sender's to choose."""


class Lags(Counter[int]):
    """How far behind its receiver what was heard was, in steps; negative is ahead."""

    def heard(self, step: int, message: Message) -> None:
        self[max(-LAG_MAX, min(LAG_MAX, step - message.step))] += 1


class Observer(Protocol):
    """Listens to one node. Must be cheap: it is called on the event loop."""

    def stepped(self, step: int, measures: Measures) -> None:
        """The node arrived at `step`; the measures are those since the step before."""

    def happened(self, event: str, details: Measures) -> None:
        """Something rare: a link up or down, a catch-up, the end."""


@dataclass
class Stopwatch:
    """Adds up measures of one step, and the time spent in each phase of the machine."""

    now: float
    phase: str = "starting"

    def __post_init__(self) -> None:
        self._sums: defaultdict[str, float] = defaultdict(float)
        self._notes: dict[str, Any] = {}

    def enter(self, phase: str, now: float) -> None:
        self._sums[f"in_{self.phase}_s"] += now - self.now
        self.now, self.phase = now, phase

    def add(self, measures: Mapping[str, float]) -> None:
        for name, value in measures.items():
            self._sums[name] += value

    def note(self, notes: Mapping[str, Any]) -> None:
        """What is no sum: the last word counts."""
        self._notes.update(notes)

    def lap(self) -> dict[str, Any]:
        """The sums and notes since the last lap."""
        lap = {**self._sums, **self._notes}
        self._sums.clear()
        self._notes.clear()
        return lap
