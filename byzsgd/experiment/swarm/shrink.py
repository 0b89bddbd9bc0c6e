"""The smallest case that still fails in the same way: halve what there is, and leave things out."""

import copy
from collections.abc import Callable, Iterator
from typing import Any, Final

from byzsgd.cluster import NodeId
from byzsgd.experiment.swarm.cases import Tables

TRIES_MAX: Final = 200
SIMPLER: Final[tuple[tuple[str, str, Any], ...]] = (
    ("simulation", "scheduler", "network"),
    ("simulation", "wire", False),
    ("network", "dtype", "float32"),
    ("plan", "gather_rounds", 1),
    ("plan", "save_every", 1),
    ("plan", "mode", "async"),
    ("training", "momentum", 0.0),
    ("training", "batch", 1),
    ("aggregation", "gradients", "mda"),
)
"""What a case is simpler with."""


def shrink(tables: Tables, fails: Callable[[Tables], bool], tries: int = TRIES_MAX) -> Tables:
    """`fails` says whether a case still shows what is looked for; one that is illegal does not."""
    smallest = tables
    left = tries
    found = True
    while found:
        found = False
        for candidate in _smaller(smallest):
            if left == 0:
                return smallest
            left -= 1
            if _fails(candidate, fails):
                smallest, found = candidate, True
                break
    return smallest


def _fails(tables: Tables, fails: Callable[[Tables], bool]) -> bool:
    try:
        return fails(tables)
    except Exception:  # an illegal case, or another bug than the one that is looked for
        return False


def _smaller(tables: Tables) -> Iterator[Tables]:
    """All cases one move simpler, the boldest moves first."""
    yield from _fewer_faults(tables)
    yield from _fewer_nodes(tables)
    yield from _fewer_steps(tables)
    yield from _lower_numbers(tables)
    for table, key, value in SIMPLER:
        if tables[table].get(key) != value:
            yield _with(tables, table, key, value)


def _fewer_faults(tables: Tables) -> Iterator[Tables]:
    """Without the half of faults and liars, without each; of several of a kind, one half."""
    for table in ("faults", "byzantine"):
        keys = list(tables[table])
        for some in (keys[: len(keys) // 2], keys[len(keys) // 2 :], *([key] for key in keys)):
            if some:
                yield _without(tables, table, some)
    for key, entries in tables["faults"].items():
        if isinstance(entries, list) and len(entries) > 1:
            half = len(entries) // 2
            yield _with(tables, "faults", key, entries[:half])
            yield _with(tables, "faults", key, entries[half:])


def _fewer_nodes(tables: Tables) -> Iterator[Tables]:
    """One f less on a side, or one node less; who is gone neither lies nor fails."""
    for side, spare in (("servers", 2), ("workers", 1)):
        cluster = tables["cluster"]
        n, f = cluster[side], cluster[f"f_{side}"]
        for fewer, tolerated in ((3 * (f - 1) + spare, f - 1), (n // 2, f), (n - 1, f)):
            if 0 < fewer < n and tolerated >= 0:
                numbers = {side: fewer, f"f_{side}": tolerated, f"q_{side}": fewer - tolerated}
                smaller = {**tables, "cluster": {**cluster, **numbers}}
                yield _of_those_who_are(smaller, side.removesuffix("s"), fewer)


def _fewer_steps(tables: Tables) -> Iterator[Tables]:
    steps = tables["plan"]["steps"]
    for fewer in (steps // 2, steps - 1):
        if fewer > 0:
            yield _with(tables, "plan", "steps", fewer)


def _lower_numbers(tables: Tables) -> Iterator[Tables]:
    """A liar in the place of an earlier node, so that the later ones can go."""
    for name, lie in tables["byzantine"].items():
        role, index = NodeId.parse(name)
        earlier = (str(NodeId(role, lower)) for lower in range(index))
        if free := next((other for other in earlier if other not in tables["byzantine"]), None):
            liars = {key: value for key, value in tables["byzantine"].items() if key != name}
            yield {**tables, "byzantine": {**liars, free: lie}}


def _of_those_who_are(tables: Tables, role: str, count: int) -> Tables:
    """Without a word about nodes that the cluster no longer has."""

    def there(name: str) -> bool:
        node = NodeId.parse(name)
        return node.role != role or node.index < count

    faults: Tables = copy.deepcopy(tables["faults"])
    faults["crash"] = [crash for crash in faults.get("crash", []) if there(crash["node"])]
    for cut in faults.get("partition", []):
        cut["nodes"] = [name for name in cut["nodes"] if there(name)]
    faults["partition"] = [cut for cut in faults.get("partition", []) if cut["nodes"]]
    if "slow" in faults and not there(faults["slow"]["nodes"]):
        del faults["slow"]
    liars = {name: lie for name, lie in tables["byzantine"].items() if there(name)}
    faults = {key: fault for key, fault in faults.items() if fault}
    return {**tables, "faults": faults, "byzantine": liars}


def _with(tables: Tables, table: str, key: str, value: object) -> Tables:
    return {**tables, table: {**tables[table], key: value}}


def _without(tables: Tables, table: str, keys: list[str]) -> Tables:
    left = {key: value for key, value in tables[table].items() if key not in keys}
    return {**tables, table: left}
