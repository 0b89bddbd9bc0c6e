"""Robust aggregation rules: many vectors in, one vector out that at most f liars cannot drag far.

    aggregate("mda", vectors, f=2)                 # (n, d) → (d,)
    AGGREGATORS["mda"].select(vectors, f=2)        # which rows it took

Nothing here knows the rest of byzsgd: torch and the standard library only.
"""

import difflib

from torch import Tensor

from byzsgd.aggregators.average import AVERAGE
from byzsgd.aggregators.distances import pairwise_squared
from byzsgd.aggregators.mda import MDA, minimum_diameter_subset
from byzsgd.aggregators.median import MEDIAN
from byzsgd.aggregators.rule import AggregationError, Rule

__all__ = [
    "AGGREGATORS",
    "AggregationError",
    "Rule",
    "aggregate",
    "minimum_diameter_subset",
    "pairwise_squared",
    "resolve",
]

AGGREGATORS: dict[str, Rule] = {rule.name: rule for rule in (AVERAGE, MEDIAN, MDA)}
"""Every rule by its canonical name; `resolve` also knows the aliases."""

_BY_ANY_NAME = {name: rule for rule in AGGREGATORS.values() for name in (rule.name, *rule.aliases)}


def aggregate(name: str, vectors: Tensor, f: int = 0, *, out: Tensor | None = None) -> Tensor:
    """The (d,) aggregate of the (n, d) rows of `vectors` under the rule called `name`.

    `f` is how many of the rows may be lies. `out`, where given, is filled and returned. `vectors`
    is neither changed nor aliased. Raises `AggregationError` for an unknown name and for whatever
    the rule refuses.
    """
    return resolve(name)(vectors, f, out=out)


def resolve(name: str) -> Rule:
    """The rule with this name or alias, or an `AggregationError` naming the nearest one."""
    if name in _BY_ANY_NAME:
        return _BY_ANY_NAME[name]
    near = difflib.get_close_matches(name, _BY_ANY_NAME, n=1, cutoff=0.5)
    hint = f"; did you mean {near[0]!r}?" if near else ""
    known = ", ".join(AGGREGATORS)
    raise AggregationError(f"unknown aggregation rule {name!r}{hint} (known: {known})")
