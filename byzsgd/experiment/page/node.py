"""What single nodes recorded: of each step its parts and waits, at the end what links carried."""

import math
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from byzsgd.cluster import NodeId
from byzsgd.errors import ConfigError
from byzsgd.experiment.findings.seen import table
from byzsgd.experiment.page.parts import BESIDE, PARTS, number, split, waited
from byzsgd.experiment.results import Run
from byzsgd.experiment.speed import WARM_STEPS_MIN, WARM_UP_STEPS

Floats = NDArray[np.float32]
Line = dict[str, Any]
EACH: Final = (*PARTS, BESIDE)
"""What is known of a node's every step."""


@dataclass(frozen=True)
class Node:
    """An honest node. `parts[name]` and `waits` are seconds, one figure a step after the warm-up.

    `judged` counts (what became of it, whether the server lies) of the models that it pulled.
    `ratios` are (step, ratio, bound) of a server's updates: the honest gradients' standard
    deviation over their mean's norm, and what the rule allows; NaN where that is not known.
    """

    role: str
    parts: Mapping[str, Floats]
    waits: Floats
    lags: Mapping[int, int]
    judged: Mapping[tuple[str, bool], int]
    ratios: Floats


def totals_of(events: Iterable[Line]) -> dict[str, list[Line]]:
    """By node: more than one where a node was started again."""
    found: dict[str, list[Line]] = {}
    for line in events:
        if line.get("event") == "totals":
            found.setdefault(str(line.get("node")), []).append(line)
    return found


def over_nodes(totals: Mapping[str, list[Line]], name: str) -> float:
    values = [number(line.get(name)) for lines in totals.values() for line in lines]
    known = [value for value in values if not math.isnan(value)]
    return sum(known) if known else math.nan


def node_of(run: Run, node: NodeId, totals: Mapping[str, list[Line]], broken: list[str]) -> Node:
    try:
        lines = run.measures(node)
    except ConfigError as error:
        broken.append(str(error))
        lines = []
    counted = lines[WARM_UP_STEPS:] if len(lines) > WARM_STEPS_MIN else lines
    steps = [split(line) for line in counted]
    last = totals.get(str(node), [])
    return Node(
        role=node.role,
        parts={part: np.array([step[part] for step in steps], np.float32) for part in EACH},
        waits=np.array([waited(line) for line in counted], np.float32),
        lags=_lags(last),
        judged=_judged(last, {str(liar) for liar in run.experiment.liars}),
        ratios=_ratios(lines),
    )


def _ratios(lines: Iterable[Line]) -> Floats:
    """(k, 3)"""
    found = []
    for line in lines:
        seen = table(line, "gradients")
        step, squared, bound = (number(seen.get(name)) for name in ("step", "ratio", "bound"))
        if squared >= 0 and step >= 0:
            found.append((step, math.sqrt(squared), bound))
    return np.array(found, np.float32).reshape(-1, 3)


def _lags(totals: Iterable[Line]) -> Counter[int]:
    """How many messages were so many steps behind their receiver when they arrived."""
    lags: Counter[int] = Counter()
    for lag, count in _pairs(totals, "lags"):
        if lag.removeprefix("-").isdecimal() and number(count) > 0:
            lags[int(lag)] += int(number(count))
    return lags


def _judged(totals: Iterable[Line], liars: set[str]) -> Counter[tuple[str, bool]]:
    judged: Counter[tuple[str, bool]] = Counter()
    for server, fates in _pairs(totals, "judged"):
        for fate, number_ in fates.items() if isinstance(fates, dict) else ():
            count = number(number_)
            if count >= 1:
                judged[fate, server in liars] += int(count)
    return judged


def links_of(
    totals: Mapping[str, list[Line]], steps: int
) -> dict[tuple[str, str], tuple[float, ...]]:
    sent: Counter[tuple[str, str]] = Counter()
    for sender, lines in totals.items():
        for peer, moved in _pairs(lines, "links"):
            count = number(moved[0]) if isinstance(moved, list) and moved else math.nan
            sent[sender, peer] += int(count) if count > 0 else 0
    kinds: dict[tuple[str, str], tuple[float, ...]] = {}
    for (sender, peer), count in sent.items():
        kind = sender.partition("-")[0], peer.partition("-")[0]
        kinds[kind] = (*kinds.get(kind, ()), count / steps if steps else math.nan)
    return kinds


def _pairs(totals: Iterable[Line], name: str) -> Iterable[tuple[str, Any]]:
    for line in totals:
        table = line.get(name)
        yield from table.items() if isinstance(table, dict) else ()
