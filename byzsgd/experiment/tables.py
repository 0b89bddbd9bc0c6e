"""`[aggregation]`, `[network]` and `[expect]`."""

from typing import ClassVar, Literal

from pydantic import Field, field_validator

from byzsgd.cluster import Cluster
from byzsgd.errors import ConfigError
from byzsgd.experiment.complaints import Fault, Table


class Aggregation(Table):
    """The rules: for gradients at the servers, for models at the workers and in a gather."""

    not_built: ClassVar[frozenset[str]] = frozenset({"pre"})
    gradients: str = "mda"
    models: str = "median"

    def faults(self, cluster: Cluster) -> list[Fault]:
        """Rules that would see too few vectors to tolerate the declared f among them."""
        return [
            *_too_few("gradients", self.gradients, cluster.q_workers, cluster.f_workers, "workers"),
            *_too_few("models", self.models, cluster.q_servers, cluster.f_servers, "servers"),
        ]

    @field_validator("gradients", "models")
    @classmethod
    def _known(cls, name: str) -> str:
        """Also by an alias: what is kept is the rule's own name."""
        from byzsgd.aggregators import AggregationError, resolve

        try:
            return resolve(name).name
        except AggregationError as error:
            raise ConfigError(str(error)) from None


class Network(Table):
    """How vectors travel: their type, and the largest piece one is cut into."""

    dtype: Literal["float32", "bfloat16", "float16"] = "float32"
    chunk_kib: int = Field(
        default=1024, ge=256, le=1024, description="a whole number from 256 to 1024"
    )


class Expect(Table):
    """What must hold at the end, or the run counts as failed."""

    accuracy: float | None = Field(
        default=None, ge=0, le=1, description="a share from 0 to 1, such as 0.93"
    )


def _too_few(key: str, name: str, q: int, f: int, side: str) -> list[Fault]:
    from byzsgd.aggregators import AGGREGATORS

    rule = AGGREGATORS[name]
    if q >= rule.minimum_n(f):
        return []
    text = (
        f"needs {rule.bound}: {rule.minimum_n(f)} vectors for f_{side} = {f}, "
        f"but sees q_{side} = {q}; raise {side}, lower f_{side} or take another rule"
    )
    return [Fault((key,), text, f'"{name}"')]
