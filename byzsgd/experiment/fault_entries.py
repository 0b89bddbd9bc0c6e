"""The entries of `[faults]`, each a table of its own."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, Final, Literal, TypeAlias

from pydantic import Field, ValidationError, ValidationInfo, field_validator

from byzsgd import faults
from byzsgd.cluster import Cluster
from byzsgd.errors import ConfigError, unknown_name
from byzsgd.experiment.complaints import Fault, Faults, faults_in, toml
from byzsgd.experiment.fault_fields import (
    MOST,
    Entry,
    Node,
    Nodes,
    OnLinks,
    Seconds,
    Timed,
    cluster_of,
)
from byzsgd.experiment.patterns import all_of, patterns_of


class _Delay(OnLinks):
    def rule(self, cluster: Cluster) -> faults.Delay:
        return faults.Delay(self.distribution, **self.scope(cluster))

    @property
    def distribution(self) -> faults.Distribution:
        raise NotImplementedError


class ConstantDelay(_Delay):
    kind: Literal["constant"]
    mean: Seconds

    @property
    def distribution(self) -> faults.Constant:
        return faults.Constant(self.mean)


class ExponentialDelay(_Delay):
    kind: Literal["exponential"]
    mean: Seconds

    @property
    def distribution(self) -> faults.Exponential:
        return faults.Exponential(self.mean)


class LognormalDelay(_Delay):
    """`mean` is that of the delay itself, `sigma` the deviation of its natural logarithm."""

    kind: Literal["lognormal"]
    mean: Seconds
    sigma: float = Field(ge=0, le=10, description="a number from 0 to 10")

    @property
    def distribution(self) -> faults.Lognormal:
        return faults.Lognormal(self.mean, self.sigma)


class UniformDelay(_Delay):
    kind: Literal["uniform"]
    low: Seconds = 0.0
    high: Seconds

    @property
    def distribution(self) -> faults.Uniform:
        return faults.Uniform(self.low, self.high)

    @field_validator("high")
    @classmethod
    def _not_below(cls, high: float, info: ValidationInfo) -> float:
        low = info.data.get("low", 0.0)
        if high < low:
            raise ConfigError(f"must be at least low = {low:g}")
        return high


DelayEntry: TypeAlias = ConstantDelay | ExponentialDelay | LognormalDelay | UniformDelay


class ChanceEntry(OnLinks):
    probability: float = Field(ge=0, le=1, description="a number from 0 to 1")

    def rule(self, cluster: Cluster) -> faults.Chance:
        return faults.Chance(self.probability, **self.scope(cluster))


class PartitionEntry(Timed):
    nodes: Nodes
    direction: Literal["both", "in", "out"] = "both"
    kind: Literal["hold", "lose"] = "hold"

    def rule(self, cluster: Cluster) -> faults.Partition:
        nodes = all_of(self.nodes, cluster)
        return faults.Partition(nodes, self.direction, self.kind, **self.times)

    @field_validator("nodes")
    @classmethod
    def _leaves_others(cls, nodes: tuple[str, ...], info: ValidationInfo) -> tuple[str, ...]:
        cluster = cluster_of(info)
        if cluster and nodes == patterns_of(cluster.nodes):
            raise ConfigError("are all the nodes there are: leave out those on the other side")
        return nodes


class SlowEntry(Timed):
    nodes: Nodes
    factor: float = Field(ge=1, le=MOST, description="a number from 1 to 1e9")

    def rule(self, cluster: Cluster) -> faults.Slow:
        return faults.Slow(all_of(self.nodes, cluster), self.factor, **self.times)


class CrashEntry(Timed):
    node: Node

    def rule(self, cluster: Cluster) -> faults.Crash:
        [node] = all_of([self.node], cluster)
        return faults.Crash(node, self.from_s, self.until_s)


Context: TypeAlias = dict[str, Any] | None


def _entry(table: type[Entry], example: str, item: object, context: Context) -> Entry:
    if isinstance(item, Entry):
        item = item.model_dump()
    if not isinstance(item, Mapping):
        text = f"must be {example}, or a list of these"
        raise Faults([Fault((), text, toml(item))])
    try:
        return table.model_validate(item, context=context)
    except ValidationError as error:
        raise Faults(faults_in(error)) from None


def _chance(item: object, context: Context) -> Entry:
    if _is_number(item):
        item = {"probability": item}
    return _entry(ChanceEntry, "a number, a table such as { probability = 0.01 }", item, context)


def _delay(item: object, context: Context) -> Entry:
    if isinstance(item, Entry):
        item = item.model_dump()
    if _is_number(item):
        item = {"kind": "constant", "mean": item}
    if not isinstance(item, Mapping):
        return _entry(ExponentialDelay, "a number, a table such as { mean = 0.002 }", item, context)
    kind = item.get("kind", "exponential")
    if not isinstance(kind, str) or kind not in _DELAYS:
        text = str(unknown_name("kind", str(kind), _DELAYS))
        raise Faults([Fault(("kind",), text, toml(kind))])
    return _entry(_DELAYS[kind], "", {**item, "kind": kind}, context)


def _is_number(item: object) -> bool:
    return isinstance(item, int | float) and not isinstance(item, bool)


_DELAYS: Final[dict[str, type[Entry]]] = {
    "constant": ConstantDelay,
    "exponential": ExponentialDelay,
    "lognormal": LognormalDelay,
    "uniform": UniformDelay,
}
ENTRIES: Final[dict[str, Callable[[object, Context], Entry]]] = {
    "delay": _delay,
    "loss": _chance,
    "duplicate": _chance,
    "reorder": _chance,
    "partition": partial(
        _entry, PartitionEntry, 'a table such as { nodes = "server-0", until = 5 }'
    ),
    "slow": partial(_entry, SlowEntry, 'a table such as { nodes = "worker-3", factor = 10 }'),
    "crash": partial(_entry, CrashEntry, 'a table such as { node = "server-2", from = 3 }'),
}
