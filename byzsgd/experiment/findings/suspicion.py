"""Who was excluded, and why: what honest nodes have against each sender, added up over a run.

What no honest node does is a proof: two words that differ under one name, an unasked or a malformed
one. Everything else happens to the honest as well, in an asynchronous run all the time: of every n
the last f come late. There it only counts how much more often than others of its side a node was
met with; see `RULE`.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from statistics import median
from typing import Any, Final

from byzsgd.cluster import NodeId
from byzsgd.experiment.config import Experiment
from byzsgd.experiment.findings.seen import counts, nodes, row, table
from byzsgd.experiment.totals import ACCEPTED, LATE

PROOFS: Final = ("equivocating", "malformed", "unasked")
USUAL: Final = (
    *("not finite", "excluded", "unselected", "rejected"),
    *("absent", "late", "surplus", "duplicate", "early"),
)
"""What happens to the honest as well."""
MORE: Final = 0.25
"""A share that is this much above the median of the others of the same side stands out."""
UNPROVEN: Final = frozenset({"epoch", "handshake", "key", "run", "user"})
"""Refusals of a link that come of connections that broke, or of anybody who connected."""
RULE: Final = (
    "first whom a proof is held against (equivocating, malformed, unasked), by how many; then by "
    "how far its shares are above the median of the others of its side"
)

Word = tuple[str, NodeId, int]
"""A kind of word, its sender, and its step: the same for all who hear it of an honest node."""


@dataclass
class Suspicion:
    """Of one sender. `seen` is how many honest aggregations there were of words of its side."""

    node: NodeId
    seen: int = 0
    counts: Counter[str] = field(default_factory=Counter)
    of: Counter[str] = field(default_factory=Counter)
    """Out of how many, where that is not `seen`."""

    @property
    def proofs(self) -> int:
        return sum(self.counts[name] for name in PROOFS)

    def share(self, name: str) -> float:
        """How often per occasion; messages can be more often than that."""
        occasions = self.of.get(name, self.seen)
        return self.counts[name] / occasions if occasions else 0.0


class Suspicions:
    """Adds up what honest nodes recorded of all others."""

    def __init__(self, experiment: Experiment, restarted: Iterable[NodeId] = ()) -> None:
        """Who was `restarted` may honestly say another thing of the same step."""
        self._experiment = experiment
        self._of = {node: Suspicion(node) for node in experiment.cluster.nodes}
        self._marks: dict[Word, object] = {}
        self._differ: set[Word] = set()
        self._unclear = frozenset(restarted)
        self._one_round = experiment.plan.gather_rounds == 1

    def add(self, observer: NodeId, line: Mapping[str, Any]) -> None:
        """One step of an honest node."""
        if observer.role == "server" and "quorum" in line:
            self._add_update(line)
        if seen := table(line, "models"):
            self._add_contraction(observer, seen)

    def ended(self, totals: Mapping[str, Any]) -> None:
        """What an honest node told at its end."""
        for sender, reason, count in counts(totals, "refused"):
            self._count(sender, reason, count)
        for sender, reason, count in counts(totals, "malformed"):
            if reason not in UNPROVEN:
                self._count(sender, "malformed", count)
        for sender, fate, count in counts(totals, "judged"):
            if fate != LATE and sender in self._of:
                self._of[sender].of["rejected"] += count
                self._count(sender, "rejected", count * (fate != ACCEPTED))

    def told(self) -> list[dict[str, Any]]:
        """Plain data, the most suspicious first."""
        for _, sender, _ in self._differ:
            self._of[sender].counts["equivocating"] += 1
        self._differ.clear()
        rows = [self._told(suspicion) for suspicion in self._of.values()]
        return sorted(rows, key=lambda row: (-row["proofs"], -row["excess"]))

    def _told(self, suspicion: Suspicion) -> dict[str, Any]:
        node = suspicion.node
        usual = {name: self._usual(node, name) for name in USUAL}
        above = {name: suspicion.share(name) - usual[name] for name in USUAL}
        lie = self._experiment.liars.get(node)
        return {
            "node": str(node),
            "lies_with": lie.attack if lie else None,
            "proofs": suspicion.proofs,
            "excess": round(sum(max(0.0, each) for each in above.values()), 4),
            "stands_out": [name for name in USUAL if above[name] >= MORE],
            "seen": suspicion.seen,
            "counts": {name: n for name, n in sorted(suspicion.counts.items()) if n},
            "shares": {name: round(suspicion.share(name), 4) for name in USUAL},
            "usual": {name: round(value, 4) for name, value in usual.items()},
        }

    def _usual(self, node: NodeId, name: str) -> float:
        side = [one for one in self._of.values() if one.node.role == node.role]
        shares = [one.share(name) for one in side if one.node != node]
        return median(shares) if shares else 0.0

    def _add_update(self, line: Mapping[str, Any]) -> None:
        quorum, seen = nodes(line, "quorum"), table(line, "gradients")
        chosen, excluded = set(nodes(line, "chosen")), set(nodes(line, "excluded"))
        present = set(quorum)
        for node in self._experiment.cluster.worker_ids:
            suspicion = self._of[node]
            suspicion.seen += 1
            suspicion.counts["absent"] += node not in present
            suspicion.counts["excluded"] += node in excluded
            if chosen and node in present:
                suspicion.of["unselected"] += 1
                suspicion.counts["unselected"] += node not in chosen
        self._broken(seen, quorum)
        self._compare("gradient", seen, quorum)

    def _add_contraction(self, observer: NodeId, seen: Mapping[str, Any]) -> None:
        """A quorum without the server's own model was for catching up: of which round is unknown.

        In a gather of several rounds the record does not tell which one it was, either.
        """
        of = nodes(seen, "of")
        for node in self._experiment.cluster.server_ids:
            if node != observer:
                self._of[node].seen += 1
                self._of[node].counts["absent"] += node not in of
        self._broken(seen, of)
        if observer.role == "worker":
            self._compare("scatter", seen, of)
        elif observer in of and self._one_round:
            self._compare("gather", seen, [None if node == observer else node for node in of])

    def _broken(self, seen: Mapping[str, Any], senders: list[NodeId | None]) -> None:
        """Those whose vectors were not finite: liars, or honest nodes of a run that diverged."""
        for place in row(seen, "broken"):
            if isinstance(place, int) and place < len(senders) and (sender := senders[place]):
                self._count(sender, "not finite", 1)

    def _compare(self, kind: str, seen: Mapping[str, Any], senders: list[NodeId | None]) -> None:
        """Whether others heard the same of the same senders."""
        marks, step = row(seen, "marks"), seen.get("step")
        if len(marks) != len(senders) or not isinstance(step, int):
            return
        for sender, mark in zip(senders, marks, strict=True):
            if sender in self._of and sender not in self._unclear:
                word = (kind, sender, step)
                if self._marks.setdefault(word, mark) != mark:
                    self._differ.add(word)

    def _count(self, sender: NodeId, what: str, count: int) -> None:
        if sender in self._of and count:
            self._of[sender].counts[what] += count


def standing_out(rows: Iterable[Mapping[str, Any]]) -> Iterator[Mapping[str, Any]]:
    """Those of a told table against whom there is something."""
    return (row for row in rows if row.get("proofs") or row.get("stands_out"))
