"""Reading what nodes saw, from records that may be of another version, or damaged."""

import math
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from statistics import median
from typing import Any

from byzsgd.cluster import NodeId
from byzsgd.errors import ConfigError


def number(value: object) -> float:
    """A finite number, or NaN."""
    known = isinstance(value, int | float) and abs(value) < 1e300
    return float(value) if known else math.nan  # type: ignore[arg-type]


def whole(value: object) -> int:
    """A count, or 0."""
    return value if isinstance(value, int) and value > 0 else 0


def table(line: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    found = line.get(name)
    return found if isinstance(found, Mapping) else {}


def row(line: Mapping[str, Any], name: str) -> Sequence[Any]:
    found = line.get(name)
    return found if isinstance(found, list) else ()


def tables(line: Mapping[str, Any], name: str) -> list[Mapping[str, Any]]:
    return [each for each in row(line, name) if isinstance(each, Mapping)]


def counts(line: Mapping[str, Any], name: str) -> Iterator[tuple[NodeId, str, int]]:
    """Of a table of tables: node, what, and how often."""
    for who, what in table(line, name).items():
        node = node_named(who)
        if node and isinstance(what, Mapping):
            yield from ((node, str(reason), whole(count)) for reason, count in what.items())


def nodes(line: Mapping[str, Any], name: str) -> list[NodeId | None]:
    """The nodes that a list names; None where that is the name of none."""
    return [node_named(each) for each in row(line, name)]


def node_named(name: object) -> NodeId | None:
    return _parsed(str(name))


@lru_cache(maxsize=4096)
def _parsed(name: str) -> NodeId | None:
    try:
        return NodeId.parse(name)
    except ConfigError:
        return None


def middle(values: Sequence[float]) -> float | None:
    """The median; None of none."""
    return median(values) if values else None
