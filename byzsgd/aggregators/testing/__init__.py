"""A conformance suite for aggregation rules: ours, another library's, or your own.

    print(conformance("mda", n=11, f=2))
    print(conformance(lambda vectors, f: my_rule(vectors), n=11, f=2, twin="median"))

    python -m byzsgd.aggregators.testing                  # all rules, one table
    python -m byzsgd.aggregators.testing krum --reasons   # one rule, with numbers

`CHECKS` are functions whose docstrings say what is asked and why; `TWINS` are naive float64
implementations of all rules, written from the papers, to compare with.
"""

from byzsgd.aggregators.testing.report import Outcome, Report, Verdict, failures, markdown
from byzsgd.aggregators.testing.suite import CHECKS, conformance
from byzsgd.aggregators.testing.twins import STEP_TWINS, TWINS, twin_of

__all__ = [
    "CHECKS",
    "STEP_TWINS",
    "TWINS",
    "Outcome",
    "Report",
    "Verdict",
    "conformance",
    "failures",
    "markdown",
    "twin_of",
]
