"""What a node can tell at its end: how stale what it heard was, and what it did not believe."""

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any, Final

from byzsgd.cluster import NodeId
from byzsgd.protocol import Machine, Worker

ACCEPTED: Final = "accepted"
LATE: Final = "late"
FATES: Final = (ACCEPTED, "lipschitz", "outlier", "not finite", LATE)
"""What becomes of a model that a synchronous worker pulled."""


def told(
    lags: Mapping[int, int],
    machine: Machine,
    malformed: Mapping[tuple[NodeId, str], int] | None = None,
) -> dict[str, Any]:
    """Plain data for the record.

    `lags` are counts of messages by the receiver's step minus their own, at arrival. `judged`, of a
    worker that pulls, is for each server how many of its models were accepted, or why not. `lies`,
    of a liar, is how many honest words it had to say, and how many it said otherwise or not at all.
    `refused` is for each sender how many of its messages the machine had no use for, by reason, and
    `malformed` how many the link did not even let through.
    """
    from byzsgd.attacks import Byzantine  # brings torch, which reports do without

    totals: dict[str, Any] = {"lags": {str(lag): lags[lag] for lag in sorted(lags)}}
    if isinstance(machine, Worker) and machine.judged:
        totals["judged"] = _by_node(machine.judged)
    if isinstance(machine, Byzantine):
        totals["lies"] = {"words": machine.words.said, "changed": machine.words.changed}
    for name, counts in (("refused", machine.refused), ("malformed", malformed or {})):
        if counts:
            totals[name] = _by_node(counts)
    return totals


def false_rejections(
    events: Iterable[Mapping[str, Any]], honest_servers: Iterable[NodeId]
) -> tuple[int, int]:
    """How many models of honest servers the filters of honest workers rejected, of how many.

    From the "totals" among the `events` of a record; liars tell of no judgements. Theory expects
    f_ps / n_ps of them.
    """
    honest, counts = {str(server) for server in honest_servers}, Counter[str]()
    for event in events:
        for server, fates in event.get("judged", {}).items():
            if server in honest:
                counts.update(fates)
    return rejected_of(counts)


def rejected_of(fates: Mapping[str, int]) -> tuple[int, int]:
    """How many models were rejected, for whatever reason, of how many that were judged.

    Nobody has judged a model for being late: those are in neither number. One that comes after all
    in the same step is judged then, and has that fate as well.
    """
    judged = sum(count for fate, count in fates.items() if fate != LATE)
    return judged - fates.get(ACCEPTED, 0), judged


def _by_node(counts: Mapping[tuple[NodeId, str], int]) -> dict[str, dict[str, int]]:
    nodes: dict[str, dict[str, int]] = {}
    for (node, what), count in sorted(counts.items()):
        nodes.setdefault(str(node), {})[what] = count
    return nodes
