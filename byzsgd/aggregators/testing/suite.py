"""Run all checks on one rule."""

from collections.abc import Callable, Mapping

import torch
from torch import Tensor

from byzsgd.aggregators import AggregationError, Rule, resolve
from byzsgd.aggregators.testing.agreement import naive_twin, precision, ties
from byzsgd.aggregators.testing.contract import contract
from byzsgd.aggregators.testing.equivariance import identical_rows, permutation, scale, translation
from byzsgd.aggregators.testing.expectations import exemptions, tolerance
from byzsgd.aggregators.testing.report import Outcome, Report, Verdict
from byzsgd.aggregators.testing.resilience import BREAKS, HOLDS, beyond, breakdown, totality
from byzsgd.aggregators.testing.subject import Failure, NotApplicable, Subject
from byzsgd.aggregators.testing.twins import Twin, twin_of

Aggregation = Callable[[Tensor, int], Tensor]
"""(n, d) vectors of which at most f are lies, and f → (d,)."""

CHECKS: Mapping[str, Callable[[Subject], str]] = {
    "contract": contract,
    "totality": totality,
    "permutation": permutation,
    "translation": translation,
    "scale": scale,
    "identical rows": identical_rows,
    "breakdown at f": breakdown,
    "f + 1": beyond,
    "precision": precision,
    "twin": naive_twin,
    "ties": ties,
}
"""By name, in the order of a table's columns. Their docstrings say what they ask, and why."""


def conformance(
    rule: Rule | str | Aggregation,
    n: int,
    f: int,
    *,
    d: int = 67,
    seed: int = 0,
    device: str = "cpu",
    name: str | None = None,
    twin: Twin | str | None = None,
    exempt: Mapping[str, str] | None = None,
) -> Report:
    """What `rule` does in each of `CHECKS`, with n rows of d coordinates of which f are lies.

    `rule` is one of ours, by name or itself, or anything to be called with (n, d) vectors and f;
    of the latter all checks are asked but those in `exempt`, which maps them to a reason. `twin` is
    a float64 implementation to compare with, or the name of one of `TWINS`; by default that of the
    rule's name, if there is one. Raises `AggregationError` if a rule of ours takes no such n and f.
    """
    if isinstance(rule, str):
        rule = resolve(rule)
    known = rule if isinstance(rule, Rule) else None
    called = name or _name(rule)
    _check_setting(known, n, f, d)
    subject = Subject(
        called,
        rule,
        *(n, f, d, seed, device),
        twin=_twin(twin, known, called),
        minimum_n=known.minimum_n if known else None,
        tolerance=tolerance(called),
        exempt=(exemptions(called, known) if known else {}) | dict(exempt or {}),
    )
    return Report(called, n, f, d, tuple(_outcome(subject, check) for check in CHECKS))


def _name(rule: Aggregation) -> str:
    return rule.name if isinstance(rule, Rule) else getattr(rule, "__name__", type(rule).__name__)


def _twin(given: Twin | str | None, known: Rule | None, called: str) -> Twin | None:
    if given is None:
        return twin_of(known.name, known.options) if known else twin_of(called)
    if not isinstance(given, str):
        return given
    found = twin_of(given)
    if found is None:
        raise AggregationError(f"there is no twin called {given!r}")
    return found


def _check_setting(known: Rule | None, n: int, f: int, d: int) -> None:
    if f < 0 or n < 2 * f + 1 or d < 1:
        needed = "f ≥ 0, n ≥ 2f+1 and d ≥ 1"
        raise AggregationError(f"conformance needs {needed}, was given n={n}, f={f}, d={d}")
    if known is not None and n < known.minimum_n(f):
        known(torch.zeros(n, 1), f)  # says it best


def _outcome(subject: Subject, check: str) -> Outcome:
    if check in subject.exempt:
        return Outcome(check, Verdict.NOT_APPLICABLE, subject.exempt[check], "–")
    try:
        reason = CHECKS[check](subject)
    except NotApplicable as why:
        return Outcome(check, Verdict.NOT_APPLICABLE, str(why), "–")
    except Failure as failure:
        return Outcome(check, Verdict.FAILED, str(failure), "**fail**")
    except Exception as error:  # whatever somebody's rule raises is this check's result
        raised = f"raises {type(error).__name__}: {error}"
        return Outcome(check, Verdict.FAILED, raised, "**fail**")
    word = reason.partition(":")[0]
    return Outcome(check, Verdict.PASSED, reason, word if word in (HOLDS, BREAKS) else "pass")
