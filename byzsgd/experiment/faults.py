"""`[faults]`: what goes wrong with messages and nodes, in virtual time and over real sockets.

delay = { mean = 0.002 }                # exponential; a bare number is a constant delay
loss = { probability = 0.01, sender = "worker-0..2", receiver = "server-1", until = 5 }
duplicate = 0.05                        # the same, always and for all
reorder = 0.1                           # whatever strays neither waits in line nor is waited for
partition = { nodes = ["server-0", "worker-0..2"], kind = "hold", from = 1, until = 2 }
slow = { nodes = "worker-3", factor = 10 }
crash = [{ node = "server-2", from = 3, until = 6 }, { node = "server-1", from = 8 }]

Each may be a list: of delays and chances the last one for a link and a time holds. Times are
seconds since the start of training; without `until` a fault stays, and a crashed node stays down.
"""

from collections.abc import Iterable, Iterator
from itertools import combinations
from typing import TypeAlias

from pydantic import ValidationError, ValidationInfo, field_validator

from byzsgd.cluster import Cluster, NodeId
from byzsgd.experiment.complaints import Fault, Faults, faults_in
from byzsgd.experiment.fault_entries import (
    ENTRIES,
    ChanceEntry,
    CrashEntry,
    DelayEntry,
    PartitionEntry,
    SlowEntry,
)
from byzsgd.experiment.fault_fields import Entry, cluster_of
from byzsgd.experiment.guarantees import during
from byzsgd.experiment.patterns import patterns_of
from byzsgd.faults import FaultPlan

Span: TypeAlias = tuple[tuple[NodeId, ...], float, float]


class FaultTable(Entry):
    """All that goes wrong. What is left out never does."""

    delay: tuple[DelayEntry, ...] = ()
    loss: tuple[ChanceEntry, ...] = ()
    duplicate: tuple[ChanceEntry, ...] = ()
    reorder: tuple[ChanceEntry, ...] = ()
    partition: tuple[PartitionEntry, ...] = ()
    slow: tuple[SlowEntry, ...] = ()
    crash: tuple[CrashEntry, ...] = ()

    def plan(self, cluster: Cluster) -> FaultPlan:
        """The same for those who carry it out; crashes in order of time."""
        crashes = [entry.rule(cluster) for entry in self.crash]
        return FaultPlan(
            delays=tuple(entry.rule(cluster) for entry in self.delay),
            losses=tuple(entry.rule(cluster) for entry in self.loss),
            duplicates=tuple(entry.rule(cluster) for entry in self.duplicate),
            reorders=tuple(entry.rule(cluster) for entry in self.reorder),
            partitions=tuple(entry.rule(cluster) for entry in self.partition),
            slow=tuple(entry.rule(cluster) for entry in self.slow),
            crashes=tuple(sorted(crashes, key=lambda crash: (crash.at_s, crash.node))),
        )

    @field_validator("*", mode="before")
    @classmethod
    def _listed(cls, given: object, info: ValidationInfo) -> tuple[Entry, ...]:
        """One entry, or a list of some; of each everything that is wrong."""
        items = given if isinstance(given, list | tuple) else [given]
        entries: list[Entry] = []
        found: list[Fault] = []
        for number, item in enumerate(items, 1):
            which = f" (entry {number})" if len(items) > 1 else ""
            try:
                entries.append(ENTRIES[str(info.field_name)](item, info.context))
            except Faults as error:
                found += [fault._replace(text=fault.text + which) for fault in error.faults]
        if found:
            raise Faults(found)
        return tuple(entries)

    @field_validator("slow")
    @classmethod
    def _slow_once(
        cls, entries: tuple[SlowEntry, ...], info: ValidationInfo
    ) -> tuple[SlowEntry, ...]:
        cluster = cluster_of(info)
        rules = [entry.rule(cluster) for entry in entries] if cluster else []
        spans = [(rule.nodes, rule.from_s, rule.until_s) for rule in rules]
        found = [
            Fault((), f"{which} slow {who} at once, {when}: let one end before the other begins")
            for which, who, when, lasts in _overlaps(spans)
            if lasts
        ]
        if found:
            raise Faults(found)
        return entries

    @field_validator("crash")
    @classmethod
    def _down_once(
        cls, entries: tuple[CrashEntry, ...], info: ValidationInfo
    ) -> tuple[CrashEntry, ...]:
        """Nor may a node crash at the very moment of its restart: which of the two comes first?"""
        cluster = cluster_of(info)
        rules = [entry.rule(cluster) for entry in entries] if cluster else []
        spans = [((rule.node,), rule.at_s, rule.ends_s) for rule in rules]
        found = [
            Fault((), f"{which} have {who} down at once, {when}: let it restart (until) in between")
            for which, who, when, _ in _overlaps(spans)
        ]
        if found:
            raise Faults(found)
        return entries


def fault_table(given: object, cluster: Cluster | None) -> FaultTable:
    """The table for these nodes; without them only its types are checked. Raises `Faults`."""
    if isinstance(given, FaultTable):  # perhaps of another cluster
        given = given.model_dump()
    try:
        return FaultTable.model_validate(given, context={"cluster": cluster})
    except ValidationError as error:
        raise Faults(faults_in(error)) from None


def _overlaps(spans: Iterable[Span]) -> Iterator[tuple[str, str, str, bool]]:
    """Which two entries meet in which nodes and when, and whether for longer than a moment."""
    for (i, one), (j, other) in combinations(enumerate(spans, 1), 2):
        nodes = [node for node in one[0] if node in other[0]]
        begin_s, end_s = max(one[1], other[1]), min(one[2], other[2])
        if nodes and begin_s <= end_s:
            who, when = ", ".join(patterns_of(nodes)), during(begin_s, end_s)
            yield f"entries {i} and {j}", who, when, begin_s < end_s
