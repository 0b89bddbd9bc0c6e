"""When faults take more nodes than the declared f allow for, and every promise with them."""

import math
from collections.abc import Collection, Iterator
from itertools import groupby, pairwise
from typing import TypeAlias

from byzsgd.cluster import Cluster, NodeId, Role
from byzsgd.experiment.patterns import patterns_of
from byzsgd.faults import FaultPlan

Missing: TypeAlias = dict[NodeId, str]
"""Who does not do their part, and why."""


def beyond_declared(
    cluster: Cluster, liars: Collection[NodeId], faults: FaultPlan
) -> Iterator[str]:
    """A warning for each time in which a side misses more nodes than its f.

    Those that lie, are down or are cut off for ever count, each once. Liars alone are no matter of
    time: that they are too many is said elsewhere.
    """
    starts = _changes(faults)
    missing = [_missing(at_s, cluster, liars, faults) for at_s in starts]
    spans = list(pairwise([*starts, math.inf]))
    for role, f in _sides(cluster):
        of_role = [{n: why for n, why in all_.items() if n.role == role} for all_ in missing]
        for names, same in groupby(zip(of_role, spans, strict=True), lambda pair: pair[0]):
            times = [time_s for _, span in same for time_s in span]
            if len(names) > f and len(names) > len([n for n in liars if n.role == role]):
                yield (
                    f"{during(times[0], times[-1])} f_{role}s = {f} is exceeded "
                    f"({_who(names)}): no guarantee holds then"
                )


def during(from_s: float, until_s: float) -> str:
    if until_s == math.inf:
        return f"from {from_s:g} s on"
    return f"from {from_s:g} s to {until_s:g} s" if from_s < until_s else f"at {from_s:g} s"


def _sides(cluster: Cluster) -> tuple[tuple[Role, int], tuple[Role, int]]:
    return ("server", cluster.f_servers), ("worker", cluster.f_workers)


def _changes(faults: FaultPlan) -> list[float]:
    """Every time at which somebody goes missing or returns, from 0 on."""
    times = {0.0, *(cut.from_s for cut in faults.partitions if cut.until_s == math.inf)}
    for crash in faults.crashes:
        times |= {crash.at_s, crash.ends_s}
    return sorted(times - {math.inf})


def _missing(
    at_s: float, cluster: Cluster, liars: Collection[NodeId], faults: FaultPlan
) -> Missing:
    missing = dict.fromkeys(liars, "lying")
    for crash in faults.crashes:
        if crash.at_s <= at_s < crash.ends_s:
            missing.setdefault(crash.node, "down")
    left = [_with(missing, cluster, group) for group in _groups(at_s, cluster, faults)]
    return min(left, key=len)


def _groups(at_s: float, cluster: Cluster, faults: FaultPlan) -> list[list[NodeId]]:
    """Who stays together for ever, now or once the other partitions end: all, if none is for ever.

    The one that misses fewest goes on without the others: if any group misses no more than f of
    each side, which are less than half of the nodes, that is the one.
    """
    cuts = [c for c in faults.partitions if c.until_s == math.inf and c.from_s <= at_s]
    groups: dict[tuple[bool, ...], list[NodeId]] = {}
    for node in cluster.nodes:
        groups.setdefault(tuple(node in cut.nodes for cut in cuts), []).append(node)
    return list(groups.values())


def _with(missing: Missing, cluster: Cluster, group: list[NodeId]) -> Missing:
    others = (node for node in cluster.nodes if node not in group)
    return {**dict.fromkeys(others, "cut off"), **missing}


def _who(missing: Missing) -> str:
    reasons = [
        (why, [node for node, reason in missing.items() if reason == why])
        for why in ("lying", "down", "cut off")
    ]
    return "; ".join(f"{why}: {', '.join(patterns_of(who))}" for why, who in reasons if who)
