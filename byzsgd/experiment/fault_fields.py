"""What the entries of `[faults]` have in common: whom they are for, between whom, and when."""

import math
from typing import Annotated, Any, Final

from pydantic import (
    BeforeValidator,
    Field,
    SerializerFunctionWrapHandler,
    ValidationInfo,
    field_validator,
    model_serializer,
)

from byzsgd.cluster import Cluster
from byzsgd.errors import ConfigError
from byzsgd.experiment.complaints import Table
from byzsgd.experiment.patterns import all_of, patterns_of

MOST: Final = 1e9
"""Of anything: thirty years of seconds, and far below what could overflow, whatever is drawn."""


def cluster_of(info: ValidationInfo) -> Cluster | None:
    """Whose nodes may be named; None if nobody knows, because its own table is wrong."""
    return info.context["cluster"] if info.context else None


def _nodes(given: object, info: ValidationInfo) -> tuple[str, ...]:
    """As few patterns as can be: the same nodes are the same text, however they were said."""
    patterns = [given] if isinstance(given, str) else given
    if not isinstance(patterns, list | tuple) or not all(isinstance(one, str) for one in patterns):
        raise ConfigError('must be nodes, such as "worker-0..2", or a list of some')
    if not patterns:
        raise ConfigError("names no node")
    cluster = cluster_of(info)
    return patterns_of(all_of(patterns, cluster)) if cluster else tuple(patterns)


def _everybody_or_nodes(given: object, info: ValidationInfo) -> tuple[str, ...] | None:
    if given is None:
        return None
    nodes, cluster = _nodes(given, info), cluster_of(info)
    return None if cluster and nodes == patterns_of(cluster.nodes) else nodes


def _node(given: object, info: ValidationInfo) -> str:
    if not isinstance(given, str):
        raise ConfigError('must be one node, such as "server-2"')
    [first, *more] = _nodes(given, info)
    if more or ".." in first:
        raise ConfigError("must be one node: write an entry for each")
    return first


_TIME: Final = "a time in seconds, from 0 to 1e9"
Seconds = Annotated[float, Field(ge=0, le=MOST, description=_TIME)]
Nodes = Annotated[tuple[str, ...], BeforeValidator(_nodes)]
NodesOrAll = Annotated[tuple[str, ...] | None, BeforeValidator(_everybody_or_nodes)]
Node = Annotated[str, BeforeValidator(_node)]


class Entry(Table):
    """A record keeps only what it says."""

    @model_serializer(mode="wrap")
    def _said(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Whatever is not as by default, under the file's keys."""
        values = handler(self)
        return {
            field.alias or name: values[name]
            for name, field in type(self).model_fields.items()
            if getattr(self, name) != field.default
        }


class Timed(Entry):
    from_s: Seconds = Field(default=0.0, alias="from")
    until_s: Seconds | None = Field(default=None, alias="until", description=_TIME)

    @property
    def ends_s(self) -> float:
        return math.inf if self.until_s is None else self.until_s

    @property
    def times(self) -> dict[str, float]:
        return {"from_s": self.from_s, "until_s": self.ends_s}

    @field_validator("until_s")
    @classmethod
    def _after_it_begins(cls, until_s: float | None, info: ValidationInfo) -> float | None:
        from_s = info.data.get("from_s", 0.0)
        if until_s is not None and until_s <= from_s:
            raise ConfigError(f"must be later than from = {from_s:g}")
        return until_s


class OnLinks(Timed):
    sender: NodesOrAll = None
    receiver: NodesOrAll = None

    def scope(self, cluster: Cluster) -> dict[str, Any]:
        """Which messages it is for, as the plan's rules have it."""
        senders = all_of(self.sender, cluster) if self.sender else None
        receivers = all_of(self.receiver, cluster) if self.receiver else None
        return {**self.times, "senders": senders, "receivers": receivers}
