"""Potency: what each liar said, whether anybody honest aggregated it, and what came of that.

A lie that changes nothing is no attack: a published code base ships one, and a run that uses such
an attack says nothing of the defence. So a run warns of each liar that had no effect.
"""

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from byzsgd.cluster import NodeId
from byzsgd.experiment.config import Experiment
from byzsgd.experiment.findings.seen import middle, node_named, nodes, number, table, whole


@dataclass
class Potency:
    """Of one liar. `words` and `changed` are its own account, None where it could give none."""

    node: NodeId
    attack: str
    silent: bool
    """Whether the attack is to have no word of it aggregated."""
    covers: Callable[[int], bool] = field(repr=False)
    """Whether it lies at a step: only such words are lies."""
    words: int | None = None
    changed: int | None = None
    """How many it had to say, and how many of them it did not say as they were."""
    poisoned: int | None = None
    """How many examples it falsified, if that is its attack."""
    aggregations: int = 0
    """Of honest nodes, of words of its side, at steps at which it lies."""
    aggregated: int = 0
    """In how many of them was one of its own."""
    selections: int = 0
    """How many of these chose, and how often a word of the liar was among the chosen."""
    selected: int = 0
    norms: list[float] = field(default_factory=list)
    cosines: list[float] = field(default_factory=list)
    """Against the mean of the honest gradients."""
    distances: list[float] = field(default_factory=list)
    """Of its models to the mean of the honest ones, in units of that one's norm."""
    own_norms: list[float] = field(default_factory=list)
    own_cosines: list[float] = field(default_factory=list)
    """Of what it said against what it would have said."""
    moved: list[float] = field(default_factory=list)
    """How far the aggregate was from the mean of the honest, in such units."""

    def told(self) -> dict[str, Any]:
        """Plain data; of what was measured at each aggregation the medians."""
        return {
            "node": str(self.node),
            "attack": self.attack,
            "words": self.words,
            "changed": self.changed,
            **({} if self.poisoned is None else {"poisoned": self.poisoned}),
            "aggregations": self.aggregations,
            "aggregated": self.aggregated,
            "selected": self.selected if self.selections else None,
            "norm": middle(self.norms),
            "cosine": middle(self.cosines),
            "distance": middle(self.distances),
            "own_norm": middle(self.own_norms),
            "own_cosine": middle(self.own_cosines),
            "moved": middle(self.moved),
        }

    def without_effect(self) -> str | None:
        """Why it had none; None if it had some, or if that is not known."""
        if self.words == 0:
            return "it never had a word to lie about"
        if self.words is not None and not self.changed:
            return f"none of its {self.words} words was another than the truth"
        if self.poisoned == 0:
            return "it falsified no example"
        if self.aggregations and not self.aggregated and not self.silent:
            return f"no honest node aggregated any word of it, in {self.aggregations} aggregations"
        return None


class Potencies:
    """Adds up what honest nodes recorded of each liar, and what liars told of themselves."""

    def __init__(self, experiment: Experiment) -> None:
        self._of = {
            node: Potency(node, lie.attack, _silent(lie.attack), lie.window.covers)
            for node, lie in experiment.liars.items()
        }
        for potency in self._of.values():
            potency.poisoned = 0 if _on_data(potency.attack) else None

    def add(self, observer: NodeId, line: Mapping[str, Any]) -> None:
        """One step of an honest node."""
        if observer.role == "server" and "quorum" in line:
            self._add_update(line)
        if seen := table(line, "models"):
            self._add_contraction(observer, seen)

    def add_own(self, liar: NodeId, line: Mapping[str, Any]) -> None:
        """One step of a liar."""
        potency, lie = self._of[liar], table(line, "lie")
        _keep(potency.own_norms, lie.get("norm"))
        _keep(potency.own_cosines, lie.get("cosine"))
        if potency.poisoned is not None:
            potency.poisoned += whole(line.get("poisoned"))

    def ended(self, totals: Mapping[str, Any]) -> None:
        """What a node told at its end."""
        node, lies = node_named(totals.get("node")), table(totals, "lies")
        if node in self._of and lies:
            potency = self._of[node]
            potency.words = (potency.words or 0) + whole(lies.get("words"))
            potency.changed = (potency.changed or 0) + whole(lies.get("changed"))

    def told(self) -> list[dict[str, Any]]:
        return [potency.told() for potency in self._of.values()]

    def warnings(self) -> Iterator[str]:
        for potency in self._of.values():
            if why := potency.without_effect():
                yield f"attack {potency.attack} of {potency.node} had no effect: {why}"

    def _add_update(self, line: Mapping[str, Any]) -> None:
        quorum, chosen, seen = (
            nodes(line, "quorum"),
            nodes(line, "chosen"),
            table(line, "gradients"),
        )
        for potency in self._lying("worker", seen):
            potency.aggregations += 1
            if potency.node in quorum:
                potency.aggregated += 1
                potency.selections += bool(chosen)
                potency.selected += potency.node in chosen
                _keep(potency.moved, seen.get("moved"))
                lie = table(seen, "lies").get(str(potency.node))
                if isinstance(lie, list) and len(lie) > 1:
                    _keep(potency.norms, lie[0])
                    _keep(potency.cosines, lie[1])

    def _add_contraction(self, observer: NodeId, seen: Mapping[str, Any]) -> None:
        of = set(nodes(seen, "of"))
        for potency in self._lying("server", seen):
            potency.aggregations += 1
            if potency.node in of:
                potency.aggregated += 1
                _keep(potency.moved, seen.get("moved"))
                _keep(potency.distances, table(seen, "lies").get(str(potency.node)))

    def _lying(self, role: str, seen: Mapping[str, Any]) -> Iterator[Potency]:
        """Of this side, those who lie at the step of what was aggregated."""
        step = seen.get("step")
        for potency in self._of.values():
            in_time = not isinstance(step, int) or potency.covers(step)
            if potency.node.role == role and in_time:
                yield potency


def _keep(values: list[float], value: object) -> None:
    if not math.isnan(known := number(value)):
        values.append(known)


def _silent(attack: str) -> bool:
    from byzsgd.attacks import resolve

    return resolve(attack).silent


def _on_data(attack: str) -> bool:
    from byzsgd.attacks import resolve

    return resolve(attack).data is not None
