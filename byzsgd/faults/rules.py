"""Which of a plan's rules are for one link: worked out once, so that few are looked at later."""

from collections.abc import Iterable
from typing import Generic, TypeVar

from byzsgd.cluster import NodeId
from byzsgd.faults.plan import Chance, Delay, Partition

Rule = TypeVar("Rule", Delay, Chance)


class Rules(Generic[Rule]):
    """Those of one list that are for one link; false where there is none.

    `always` holds where none of `timed` does, which has the last of the list first.
    """

    __slots__ = ("always", "timed")

    def __init__(self, rules: Iterable[Rule], sender: NodeId, receiver: NodeId) -> None:
        self.always: Rule | None = None
        self.timed: list[Rule] = []
        for rule in rules:
            if rule.covers(sender, receiver):
                self._override(rule)

    def __bool__(self) -> bool:
        return self.always is not None or bool(self.timed)

    def at(self, now_s: float) -> Rule | None:
        for rule in self.timed:
            if rule.from_s <= now_s < rule.until_s:
                return rule
        return self.always

    def _override(self, rule: Rule) -> None:
        if rule.lasts:
            self.always, self.timed = rule, []
        else:
            self.timed.insert(0, rule)


class Cuts:
    """The partitions that cut one link; false where there is none.

    Those that lose stand first, then those that hold longest: so the order of a file is no matter.
    """

    __slots__ = ("_partitions",)

    def __init__(self, partitions: Iterable[Partition], sender: NodeId, receiver: NodeId) -> None:
        cutting = [one for one in partitions if one.cuts(sender, receiver)]
        self._partitions = sorted(cutting, key=lambda one: (one.kind == "hold", -one.until_s))

    def __bool__(self) -> bool:
        return bool(self._partitions)

    def through(self, now_s: float) -> float:
        """When a message of now is let through, which may be now; infinite for one that is lost."""
        while cut := self._at(now_s):
            if cut.kind == "lose":
                return float("inf")
            now_s = cut.until_s
        return now_s

    def _at(self, now_s: float) -> Partition | None:
        for one in self._partitions:
            if one.from_s <= now_s < one.until_s:
                return one
        return None
