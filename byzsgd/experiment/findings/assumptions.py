"""Were the assumptions of the rule's theorem met? At how many updates of honest servers.

A rule is proven to point the right way as long as the honest vectors' standard deviation is not too
large a multiple of the norm of their mean (`Rule.variance_bound`; arXiv 1905.03853 for MDA,
Distributed Momentum, ICLR 2021, for the others).
"""

import math
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

from byzsgd.cluster import NodeId
from byzsgd.experiment.config import Experiment
from byzsgd.experiment.findings.seen import middle, number, row, table


class Assumptions:
    """Adds up what honest servers recorded of their updates."""

    def __init__(self, experiment: Experiment) -> None:
        self._experiment = experiment
        self._tolerated = experiment.aggregation.tolerated(experiment.cluster)
        self._updates = self._judged = self._met = 0
        self._ratios: list[float] = []
        self._bounds: list[float] = []
        self._known = 0
        self._within: Counter[str] = Counter()
        self._bounds_of: dict[int, dict[str, float]] = {}

    def add(self, observer: NodeId, line: Mapping[str, Any]) -> None:
        seen = table(line, "gradients")
        if not seen or observer.role != "server":
            return
        self._updates += 1
        if isinstance(seen.get("met"), int):
            self._judged += 1
            self._met += seen["met"]
        for name, values in (("ratio", self._ratios), ("bound", self._bounds)):
            if not math.isnan(value := number(seen.get(name))):
                values.append(value)
        if not math.isnan(ratio := number(seen.get("ratio"))):
            self._compare(ratio, len(row(line, "quorum")))

    def told(self) -> dict[str, Any]:
        """Of how many `updates` it is known (`judged`), and so (`met`), and medians.

        `ratio` is E ‖x − Ex‖² / ‖Ex‖² of the honest, `bound` is for its root. None: not known, or
        of the bound that there is none. `within` says for each rule that could have been used at
        how many of the `known` ratios its own bound held.
        """
        return {
            "rule": _name(self._experiment),
            "updates": self._updates,
            "judged": self._judged,
            "met": self._met,
            "ratio": middle(self._ratios),
            "bound": middle(self._bounds),
            "known": self._known,
            "within": {name: self._within[name] for name in sorted(self._rules())},
        }

    def _compare(self, ratio: float, n: int) -> None:
        """With the bounds of all rules, as though each had aggregated these n gradients."""
        self._known += 1
        if n not in self._bounds_of:
            self._bounds_of[n] = dict(_bounds(n, self._tolerated))
        self._within.update(name for name, bound in self._bounds_of[n].items() if ratio <= bound**2)

    def _rules(self) -> set[str]:
        return {name for bounds in self._bounds_of.values() for name in bounds}


def _bounds(n: int, f: int) -> Iterator[tuple[str, float]]:
    """Of each rule that tolerates f of n and has one."""
    from byzsgd.aggregators import AGGREGATORS

    for name, rule in AGGREGATORS.items():
        if rule.variance_bound and rule.minimum_n(f) <= n:
            yield name, rule.variance_bound(n, f)


def _name(experiment: Experiment) -> str:
    """With what is done to the gradients before it."""
    rules = experiment.aggregation
    names = [_called(step) for step in rules.pre]
    return " + ".join([*names, _called(rules.gradients)])


def _called(named: object) -> str:
    return str(named["name"]) if isinstance(named, Mapping) else str(named)
