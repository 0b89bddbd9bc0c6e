"""`[aggregation]`: which rules, with which options, after which steps.

gradients = "mda"                                    # or { name = "bulyan", base = "mda" }
pre = ["nnm", { name = "clipping", threshold = 2 }]  # before the rule for gradients, in this order
models = "median"
f = 12                                               # lies that the rule for gradients tolerates

gradients = { name = "safeguard", window = 100, long_window = 600 }   # the one that remembers
"""

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from pydantic import Field, ValidationInfo, field_validator, model_validator

from byzsgd.cluster import Cluster
from byzsgd.errors import ConfigError
from byzsgd.experiment.complaints import Fault, Faults, Table
from byzsgd.experiment.named import Named, joined, split

if TYPE_CHECKING:
    from byzsgd.aggregators import Rule, Safeguard


class Aggregation(Table):
    """The rules: for gradients at the servers, for models at the workers and in a gather.

    The rule for gradients tolerates f_workers lies, or with `f` so many whatever the cluster
    declares. That is for what papers measure: a server that waits for everybody (f_workers = 0),
    in a network that loses nothing, and more lies than any quorum allows.
    """

    gradients: Named = "mda"
    models: Named = "median"
    pre: tuple[Named, ...] = ()
    f: int | None = Field(default=None, ge=0, description="a whole number, 0 or more")

    @property
    def gradient_rule(self) -> "Rule":
        """Where the rule for gradients is one that remembers: that without its memory."""
        return _rule("safeguard" if self._remembers else self.gradients, self.pre)

    def tolerated(self, cluster: Cluster) -> int:
        """Of how many lies the rule for gradients is told."""
        return cluster.f_workers if self.f is None else self.f

    def safeguard(self, seed: int = 0) -> "Safeguard | None":
        """The rule for gradients that takes the place of the other, if it is to remember."""
        from byzsgd.aggregators import safeguard_of

        if not self._remembers:
            return None
        return safeguard_of(split(self.gradients, flags=True)[1], seed)

    def warnings(self, steps: int) -> Iterator[str]:
        safeguard = self.safeguard()
        if safeguard and safeguard.warm_up >= steps:
            yield (
                f"the safeguard's warm_up of {safeguard.warm_up} steps is no shorter than the run "
                f"of {steps}: nobody is ever excluded"
            )

    @property
    def _remembers(self) -> bool:
        """With options it is SafeguardSGD, without any a filter like others."""
        return not isinstance(self.gradients, str) and self.gradients["name"] == "safeguard"

    @property
    def model_rule(self) -> "Rule":
        return _rule(self.models)

    def faults(self, cluster: Cluster) -> list[Fault]:
        """Rules that would see too few vectors to tolerate the declared f among them."""
        gradients, models = self.gradient_rule, self.model_rule
        f = {"f_workers": cluster.f_workers} if self.f is None else {"f": self.f}
        return [
            *_too_few("gradients", gradients, cluster.q_workers, f, "workers"),
            *_too_few(
                "models", models, cluster.q_servers, {"f_servers": cluster.f_servers}, "servers"
            ),
        ]

    @field_validator("gradients", "models", mode="before")
    @classmethod
    def _known(cls, given: object, info: ValidationInfo) -> Named:
        """Also by an alias: what is kept is the rule's own name."""
        from byzsgd.aggregators import AggregationError, configured, safeguard_of

        try:
            name, options = split(given, flags=_names(given, "safeguard"))
            if name == "safeguard" and options:
                if info.field_name == "models":
                    raise ConfigError("safeguard has a memory for gradients only: take no options")
                safeguard_of(options)
                return joined(name, options)
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

    @model_validator(mode="after")
    def _senders_apart(self) -> "Aggregation":
        if self.pre and self._remembers:
            text = (
                "safeguard adds up what each worker sent, and a step before it would mix workers: "
                "leave pre out, or the options of safeguard, without which it has no memory"
            )
            raise Faults([Fault(("pre",), text)])
        return self


def _names(given: object, name: str) -> bool:
    return isinstance(given, Mapping) and given.get("name") == name


def _rule(named: Named, pre: tuple[Named, ...] = ()) -> "Rule":
    from byzsgd.aggregators import configured

    name, options = split(named)
    return configured(name, pre=pre, **options)


def _too_few(key: str, rule: "Rule", q: int, f: Mapping[str, int], side: str) -> list[Fault]:
    """With `f` by the name that the file gives it."""
    ((name, lies),) = f.items()
    if q >= rule.minimum_n(lies):
        return []
    text = (
        f"needs {rule.bound}: {rule.minimum_n(lies)} vectors for {name} = {lies}, "
        f"but sees q_{side} = {q}; raise {side}, lower {name} or take another rule"
    )
    return [Fault((key,), text, f'"{rule.name}"')]
