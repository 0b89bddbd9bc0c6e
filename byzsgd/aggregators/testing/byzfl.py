"""The rules of byzfl, where it is installed, in the shape that the suite takes."""

import importlib
import importlib.util
import inspect
import sys
from collections.abc import Callable
from functools import partial
from types import ModuleType
from typing import Any

from torch import Tensor

from byzsgd.aggregators import AggregationError
from byzsgd.aggregators.testing.expectations import exemptions
from byzsgd.aggregators.testing.report import Report
from byzsgd.aggregators.testing.suite import conformance

TIES = {"ties": "how it breaks ties is not said"}

RULES: dict[str, str | None] = {
    "Average": "average",
    "Median": "median",
    "TrMean": "trimmed_mean",
    "Meamed": "meamed",
    "Krum": "krum",
    "MultiKrum": None,  # the mean of n−f rows, not of n−f−2
    "MDA": "mda",
    "GeometricMedian": "geometric_median",
    "CenteredClipping": None,  # from zero, with a fixed radius
}
"""Its classes, with the twin of the rule of that name where the definition is the same."""


def reports(n: int, f: int, *, d: int = 67, seed: int = 0) -> list[Report]:
    """All its rules under the same checks. Raises `AggregationError` if byzfl is not installed."""
    found = []
    for name, twin in RULES.items():
        called = f"byzfl {name}"
        exempt = exemptions(called) | TIES
        rule = byzfl_rule(name)
        report = conformance(rule, n, f, d=d, seed=seed, name=called, twin=twin, exempt=exempt)
        found.append(report)
    return found


def byzfl_rule(name: str, **options: Any) -> Callable[[Tensor, int], Tensor]:
    """Its class of this name, made with these options, as a function of vectors and f.

    Raises `AggregationError` if byzfl is not installed or has no such class.
    """
    make = getattr(_aggregators(), name, None)
    if make is None:
        raise AggregationError(f"byzfl has no rule {name!r}")
    takes_f = "f" in inspect.signature(make).parameters
    make = partial(make, **options)

    def rule(vectors: Tensor, f: int) -> Tensor:
        result: Tensor = (make(f=f) if takes_f else make())(vectors)
        return result

    return rule


def _aggregators() -> ModuleType:
    """Its module of rules, without what the package imports besides: data sets and torchvision."""
    spec = importlib.util.find_spec("byzfl")
    if spec is None:
        raise AggregationError("byzfl is not installed: pip install --no-deps byzfl, and scipy")
    missing = "byzfl" not in sys.modules
    if missing:
        package = ModuleType("byzfl")
        package.__path__ = list(spec.submodule_search_locations or ())
        sys.modules["byzfl"] = package
    try:
        return importlib.import_module("byzfl.aggregators.aggregators")
    except ImportError as error:
        raise AggregationError(f"byzfl cannot be imported: {error}") from error
    finally:
        if missing:  # whoever imports byzfl later gets all of it
            del sys.modules["byzfl"]
