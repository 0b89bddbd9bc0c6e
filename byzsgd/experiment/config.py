"""An experiment: one typed value that says everything a run's outcome depends on.

    experiment = load("quickstart.toml", overrides={"plan.steps": 50})

Hosts, ports and keys are not in it: they are the roster's, so that `digest` names the science.
"""

import hashlib
import json
from collections.abc import Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import (
    Field,
    ValidationError,
    ValidationInfo,
    field_serializer,
    field_validator,
)

from byzsgd.cluster import NodeId
from byzsgd.errors import ConfigError
from byzsgd.experiment.aggregation import Aggregation
from byzsgd.experiment.complaints import Faults, Table, complain
from byzsgd.experiment.faults import FaultTable, fault_table
from byzsgd.experiment.guarantees import beyond_declared
from byzsgd.experiment.lies import Lie, liars, more_than_declared
from byzsgd.experiment.load import read_table, with_overrides
from byzsgd.experiment.sizes import ClusterField, PlanField
from byzsgd.experiment.tables import Expect, Network, Recorded, Simulation
from byzsgd.experiment.training import Training
from byzsgd.experiment.trials import that_are_true

if TYPE_CHECKING:
    from os import PathLike

    from byzsgd.faults import FaultPlan
    from byzsgd.training.schedule import Schedule

_NOT_SCIENCE = {"name", "expect", "record"}


class Experiment(Table):
    """One experiment, checked and with every default filled in.

        Experiment(name="mine", cluster={"servers": 5, "workers": 7, "f_servers": 1}, plan={…})

    Raises `ConfigError` that names every fault, under the keys of the file.
    """

    elsewhere: ClassVar[Mapping[str, str]] = {
        "sweep": "describes several experiments: use byzsgd sweep FILE"
    }

    name: str = Field(
        pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$",
        description="1 to 64 letters, digits, '.', '-' and '_': it names the run's folder",
    )
    seed: int = Field(default=1, ge=0, lt=2**64, description="a whole number from 0 to 2^64 - 1")
    cluster: ClusterField
    plan: PlanField
    aggregation: Aggregation = Aggregation()
    training: Training = Field(default_factory=Training)
    byzantine: dict[str, Lie] = Field(default_factory=dict)
    faults: FaultTable = FaultTable()
    network: Network = Network()
    simulation: Simulation = Simulation()
    record: Recorded = Recorded()
    expect: Expect = Expect()

    def __init__(self, source: str = "experiment", /, **tables: Any) -> None:
        try:
            super().__init__(**tables)
        except ValidationError as error:
            raise complain(source, error) from None

    @classmethod
    def from_dict(cls, tables: Mapping[str, Any], source: str = "experiment") -> "Experiment":
        """The experiment of a file's tables; `source` is what messages call it."""
        return cls(source, **tables)

    def to_dict(self) -> dict[str, Any]:
        """Plain data with every default filled in, from which `from_dict` makes the same again."""
        return self.model_dump(mode="json")

    @cached_property
    def digest(self) -> str:
        """SHA-256, in hex, of all that decides the outcome.

        That is all but the name, `record` and `expect`.
        """
        science = {key: table for key, table in self.to_dict().items() if key not in _NOT_SCIENCE}
        text = json.dumps(science, sort_keys=True, separators=(",", ":"), allow_nan=False)
        return hashlib.sha256(text.encode()).hexdigest()

    @cached_property
    def liars(self) -> dict[NodeId, Lie]:
        """Who really lies, in node order; may be more or fewer than declared."""
        return {NodeId.parse(name): lie for name, lie in self.byzantine.items()}

    def node(self, name: str) -> NodeId:
        """The node called `name`. Raises `ConfigError` if there is none."""
        node = NodeId.parse(name)
        if node not in self.cluster.nodes:
            known = ", ".join(map(str, self.cluster.nodes))
            raise ConfigError(f"experiment {self.name!r} has no {name}; it has {known}")
        return node

    @property
    def honest(self) -> tuple[NodeId, ...]:
        return tuple(node for node in self.cluster.nodes if node not in self.liars)

    @property
    def honest_servers(self) -> tuple[NodeId, ...]:
        return tuple(node for node in self.honest if node.role == "server")

    @property
    def schedule(self) -> "Schedule":
        """The learning rate of every step."""
        return self.training.learning_rate.schedule(self.plan.steps)

    @cached_property
    def fault_plan(self) -> "FaultPlan":
        """What goes wrong, between whom and when."""
        return self.faults.plan(self.cluster)

    @property
    def warnings(self) -> tuple[str, ...]:
        """What is allowed but voids a promise; every run records it."""
        return (
            *more_than_declared(self.liars, self.cluster),
            *that_are_true(self.liars, self.cluster, self.plan.steps),
            *beyond_declared(self.cluster, self.liars, self.fault_plan),
            *self.training.warnings(self.cluster.servers),
            *self.aggregation.warnings(self.plan.steps),
        )

    @field_validator("aggregation")
    @classmethod
    def _enough_vectors(cls, aggregation: Aggregation, info: ValidationInfo) -> Aggregation:
        faults = aggregation.faults(info.data["cluster"]) if "cluster" in info.data else []
        if faults:
            raise Faults(faults)
        return aggregation

    @field_validator("byzantine", mode="before")
    @classmethod
    def _each_liar(cls, given: object, info: ValidationInfo) -> object:
        if "cluster" not in info.data:
            return {}  # its own fault is told; which nodes there are is not known
        return {str(node): lie for node, lie in liars(given, info.data["cluster"]).items()}

    @field_validator("faults", mode="before")
    @classmethod
    def _each_fault(cls, given: object, info: ValidationInfo) -> FaultTable:
        return fault_table(given, info.data.get("cluster"))

    @field_serializer("byzantine")
    def _as_in_the_file(self, byzantine: dict[str, Lie]) -> dict[str, Any]:
        return {name: lie.to_dict() for name, lie in byzantine.items()}


def load(path: "str | PathLike[str]", overrides: Mapping[str, object] | None = None) -> Experiment:
    """The experiment of a TOML file, or of a record's `experiment.json`.

    `overrides` replace single keys, `{"plan.steps": 50}`. Raises `ConfigError`.
    """
    tables, source = read_table(path), str(path)
    if overrides:
        tables = with_overrides(tables, overrides)
        source += f" (with {', '.join(overrides)} set)"
    return Experiment.from_dict(tables, source)
