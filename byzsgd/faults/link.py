"""One link with every kind of fault: what is lost, late, doubled or out of line."""

import math
from collections.abc import Callable
from typing import TypeAlias

from byzsgd.faults.plan import Chance, Delay
from byzsgd.faults.rules import Cuts, Rules

Stream: TypeAlias = Callable[[], float]
"""The next number of [0, 1) of one purpose and link."""


class Coin:
    """Falls on its bad side with the probability that holds at a time."""

    __slots__ = ("_draw", "_rules")

    def __init__(self, rules: Rules[Chance], draw: Stream) -> None:
        self._rules = rules
        self._draw = draw

    def falls(self, now_s: float) -> bool:
        share, rule = self._draw(), self._rules.at(now_s)
        return rule is not None and share < rule.probability


class Wait:
    """How long a message takes that sets out at a time."""

    __slots__ = ("_draw", "_rules")

    def __init__(self, rules: Rules[Delay], draw: Stream) -> None:
        self._rules = rules
        self._draw = draw

    def after(self, now_s: float) -> float:
        share, rule = self._draw(), self._rules.at(now_s)
        return rule.distribution.at(share) if rule else 0.0


class Course:
    """How one copy of each message travels; None where no rule can change that."""

    __slots__ = ("_lost", "_strays", "_wait")

    def __init__(self, lost: Coin | None, strays: Coin | None, wait: Wait | None) -> None:
        self._lost = lost
        self._strays = strays
        self._wait = wait

    def travel(self, out_s: float) -> tuple[float, bool]:
        """The seconds it takes, infinite if it is lost, and whether it strays."""
        lost = self._lost is not None and self._lost.falls(out_s)
        strays = self._strays is not None and self._strays.falls(out_s)
        delay_s = self._wait.after(out_s) if self._wait is not None else 0.0
        return (math.inf if lost else delay_s), strays


class Link:
    """A message that a partition holds is as if it set out when the partition ends.

    The copy that doubles a message goes its own way right behind it: it has a loss, a delay and a
    chance to stray of its own.
    """

    __slots__ = ("_cuts", "_doubled", "_first", "_latest_s", "_second")

    def __init__(
        self, cuts: Cuts, first: Course, doubled: Coin | None, second: Course | None
    ) -> None:
        assert (doubled is None) == (second is None)
        self._cuts = cuts
        self._first = first
        self._doubled = doubled
        self._second = second
        self._latest_s = -math.inf

    def fate(self, now_s: float) -> tuple[float, ...]:
        out_s = self._cuts.through(now_s) if self._cuts else now_s
        fate = self._arrival(now_s, out_s, *self._first.travel(out_s))
        if self._doubled is None or self._second is None:
            return fate
        course = self._second.travel(out_s)  # drawn also where there is no copy
        if self._doubled.falls(out_s):
            fate += self._arrival(now_s, out_s, *course)
        return fate

    def _arrival(
        self, now_s: float, out_s: float, takes_s: float, strays: bool
    ) -> tuple[float, ...]:
        delay_s = out_s - now_s + takes_s
        if delay_s == math.inf:
            return ()
        if not strays:
            delay_s = in_line(now_s, delay_s, self._latest_s)
            self._latest_s = now_s + delay_s
        return (delay_s,)


def in_line(now_s: float, delay_s: float, latest_s: float) -> float:
    """`delay_s`, or more: so much that `now_s + delay_s` as computed is not before `latest_s`."""
    if now_s + delay_s < latest_s:
        delay_s = latest_s - now_s
        while now_s + delay_s < latest_s:  # at most once: half a unit in the last place is missing
            delay_s = math.nextafter(delay_s, math.inf)
    return delay_s
