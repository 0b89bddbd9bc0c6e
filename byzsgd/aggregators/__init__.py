"""Robust aggregation rules: many vectors in, one vector out that at most f liars cannot drag far.

    aggregate("mda", vectors, f=2)                            # (n, d) → (d,)
    aggregate("krum", vectors, f=2, pre=["nnm"])              # mixed with their neighbours first
    AGGREGATORS["mda"].select(vectors, f=2)                   # which rows it took
    rule = configured("bulyan", base="mda")                   # with options: rule(vectors, f=2)
    arrivals = Arrivals(rule, n, d); arrivals.add(vector)     # row by row, as they come

Nothing here knows the rest of byzsgd: torch, numpy, numba and the standard library only.
"""

from byzsgd.aggregators.arrivals import Arrivals
from byzsgd.aggregators.distances import pairwise_squared
from byzsgd.aggregators.inputs import AggregationError
from byzsgd.aggregators.mda import minimum_diameter_subset
from byzsgd.aggregators.preaggregation import Preaggregation
from byzsgd.aggregators.registry import (
    AGGREGATORS,
    PREAGGREGATIONS,
    aggregate,
    configured,
    preaggregation,
    resolve,
)
from byzsgd.aggregators.rows import Rows
from byzsgd.aggregators.rule import Aggregate, Choice, Rule
from byzsgd.aggregators.safeguard_options import safeguard_of
from byzsgd.aggregators.safeguard_sgd import Safeguard
from byzsgd.aggregators.safeguard_state import State

__all__ = [
    "AGGREGATORS",
    "PREAGGREGATIONS",
    "Aggregate",
    "AggregationError",
    "Arrivals",
    "Choice",
    "Preaggregation",
    "Rows",
    "Rule",
    "Safeguard",
    "State",
    "aggregate",
    "configured",
    "minimum_diameter_subset",
    "pairwise_squared",
    "preaggregation",
    "resolve",
    "safeguard_of",
]
