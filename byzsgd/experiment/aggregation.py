"""`[aggregation]`: which rules, with which options, after which steps.

gradients = "mda"                                    # or { name = "bulyan", base = "mda" }
pre = ["nnm", { name = "clipping", threshold = 2 }]  # before the rule for gradients, in this order
models = "median"
"""

from typing import TYPE_CHECKING

from pydantic import field_validator

from byzsgd.cluster import Cluster
from byzsgd.errors import ConfigError
from byzsgd.experiment.complaints import Fault, Table
from byzsgd.experiment.named import Named, joined, split

if TYPE_CHECKING:
    from byzsgd.aggregators import Rule


class Aggregation(Table):
    """The rules: for gradients at the servers, for models at the workers and in a gather."""

    gradients: Named = "mda"
    models: Named = "median"
    pre: tuple[Named, ...] = ()

    @property
    def gradient_rule(self) -> "Rule":
        return _rule(self.gradients, self.pre)

    @property
    def model_rule(self) -> "Rule":
        return _rule(self.models)

    def faults(self, cluster: Cluster) -> list[Fault]:
        """Rules that would see too few vectors to tolerate the declared f among them."""
        gradients, models = self.gradient_rule, self.model_rule
        return [
            *_too_few("gradients", gradients, cluster.q_workers, cluster.f_workers, "workers"),
            *_too_few("models", models, cluster.q_servers, cluster.f_servers, "servers"),
        ]

    @field_validator("gradients", "models", mode="before")
    @classmethod
    def _known(cls, given: object) -> Named:
        """Also by an alias: what is kept is the rule's own name."""
        from byzsgd.aggregators import AggregationError, configured

        try:
            name, options = split(given)
            return joined(configured(name, **options).name, options)
        except AggregationError as error:
            raise ConfigError(str(error)) from None

    @field_validator("pre", mode="before")
    @classmethod
    def _known_steps(cls, given: object) -> tuple[Named, ...]:
        from byzsgd.aggregators import AggregationError, preaggregation

        if not isinstance(given, list | tuple):
            raise ConfigError('must be a list of steps, such as ["nnm"]')
        steps = []
        for step in given:
            try:
                name, options = split(step)
                steps.append(joined(preaggregation({"name": name, **options}).name, options))
            except AggregationError as error:
                raise ConfigError(str(error)) from None
        return tuple(steps)


def _rule(named: Named, pre: tuple[Named, ...] = ()) -> "Rule":
    from byzsgd.aggregators import configured

    name, options = split(named)
    return configured(name, pre=pre, **options)


def _too_few(key: str, rule: "Rule", q: int, f: int, side: str) -> list[Fault]:
    if q >= rule.minimum_n(f):
        return []
    text = (
        f"needs {rule.bound}: {rule.minimum_n(f)} vectors for f_{side} = {f}, "
        f"but sees q_{side} = {q}; raise {side}, lower f_{side} or take another rule"
    )
    return [Fault((key,), text, f'"{rule.name}"')]
