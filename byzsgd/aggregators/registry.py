"""Every rule and every step before one, by name."""

import difflib
import inspect
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final, TypeAlias, TypeVar

from torch import Tensor

from byzsgd.aggregators.average import average
from byzsgd.aggregators.bucketing import bucketing
from byzsgd.aggregators.bulyan import bulyan
from byzsgd.aggregators.centered_clipping import centered_clipping
from byzsgd.aggregators.clipping import clipping
from byzsgd.aggregators.geometric_median import geometric_median
from byzsgd.aggregators.inputs import AggregationError
from byzsgd.aggregators.krum import krum, multi_krum
from byzsgd.aggregators.mda import mda
from byzsgd.aggregators.meamed import meamed
from byzsgd.aggregators.median import median
from byzsgd.aggregators.medoid import medoid
from byzsgd.aggregators.nnm import nnm
from byzsgd.aggregators.phocas import phocas
from byzsgd.aggregators.preaggregation import Preaggregation, preceded
from byzsgd.aggregators.rule import Rule
from byzsgd.aggregators.safeguard import safeguard
from byzsgd.aggregators.safeguard_options import OPTIONS
from byzsgd.aggregators.trimmed_mean import trimmed_mean

Made = TypeVar("Made", Rule, Preaggregation)
Step: TypeAlias = str | Mapping[str, Any] | Preaggregation
"""A step before a rule: its name, {"name": …} with options, or the thing itself."""

RULES: Final[Sequence[Callable[..., Rule]]] = (
    average,
    median,
    trimmed_mean,
    meamed,
    phocas,
    krum,
    multi_krum,
    mda,
    bulyan,
    medoid,
    geometric_median,
    centered_clipping,
    safeguard,
)
STEPS: Final[Sequence[Callable[..., Preaggregation]]] = (nnm, bucketing, clipping)

AGGREGATORS: Final[dict[str, Rule]] = {make.__name__: make() for make in RULES}
"""Every rule with its default options by its own name; `resolve` also knows the aliases."""

PREAGGREGATIONS: Final[dict[str, Preaggregation]] = {make.__name__: make() for make in STEPS}
"""Every step before a rule with its default options."""

_RULES = {make.__name__: make for make in RULES}
_STEPS = {make.__name__: make for make in STEPS}


def aggregate(
    name: str,
    vectors: Tensor | Sequence[Tensor],
    f: int = 0,
    *,
    pre: Iterable[Step] = (),
    out: Tensor | None = None,
    **options: Any,
) -> Tensor:
    """The (d,) aggregate of the (n, d) rows of `vectors` under the rule called `name`.

    `f` is how many of the rows may be lies. `pre` are steps before the rule, in their order. `out`,
    where given, is filled and returned. `vectors` is neither changed nor aliased. Raises
    `AggregationError` for an unknown name or option and for whatever the rule refuses.
    """
    return configured(name, pre=pre, **options)(vectors, f, out=out)


def configured(name: str, *, pre: Iterable[Step] = (), **options: Any) -> Rule:
    """The rule of this name or alias with these options, after these steps."""
    rule = resolve(name)
    if options:
        rule = _made(_RULES[rule.name], "rule", options)
    return preceded(rule, [preaggregation(step) for step in pre])


def resolve(name: str) -> Rule:
    """The rule with this name or alias, or an `AggregationError` naming the nearest one."""
    return _named(name, AGGREGATORS, "aggregation rule")


def preaggregation(step: Step) -> Preaggregation:
    """The step of this name, or of a mapping with its `name` and options."""
    if isinstance(step, Preaggregation):
        return step
    options: dict[str, Any] = {"name": step} if isinstance(step, str) else dict(step)
    found = _named(options.pop("name", None), PREAGGREGATIONS, "preaggregation")
    return _made(_STEPS[found.name], "preaggregation", options) if options else found


def options_of(made: Rule | Preaggregation) -> tuple[str, ...]:
    """The names of the options that a rule or a step takes in an experiment.

    With any of safeguard's it has a memory, and is no rule by itself: see `safeguard_of`.
    """
    if made.name == "safeguard":
        return OPTIONS
    return tuple(inspect.signature((_RULES | _STEPS)[made.name]).parameters)


def _named(name: object, known: Mapping[str, Made], kind: str) -> Made:
    by_any_name = dict(known)
    for own in known:
        by_any_name |= dict.fromkeys(known[own].aliases, known[own])
    if isinstance(name, str) and name in by_any_name:
        return by_any_name[name]
    near = difflib.get_close_matches(str(name), by_any_name, n=1, cutoff=0.5)
    hint = f"; did you mean {near[0]!r}?" if near else ""
    raise AggregationError(f"unknown {kind} {name!r}{hint} (known: {', '.join(known)})")


def _made(make: Callable[..., Made], kind: str, options: Mapping[str, Any]) -> Made:
    allowed = inspect.signature(make).parameters
    strange = sorted(set(options) - set(allowed))
    if strange:
        knows = f"its options are {', '.join(allowed)}" if allowed else "it has no options"
        raise AggregationError(f"{make.__name__} has no option {', '.join(strange)}: {knows}")
    try:
        return make(**options)
    except TypeError as error:  # a word where a number belongs
        raise AggregationError(f"{make.__name__} cannot take {dict(options)}: {error}") from None
