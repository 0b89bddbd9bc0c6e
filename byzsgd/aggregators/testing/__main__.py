"""Print the conformance of aggregation rules as one Markdown table."""

import argparse
import sys
from collections.abc import Sequence

from byzsgd import aggregators
from byzsgd.aggregators import AGGREGATORS, AggregationError, Rule, resolve
from byzsgd.aggregators.testing.report import Report, failures, markdown
from byzsgd.aggregators.testing.suite import conformance

N, F = 11, 2
"""The least that all rules take with two liars."""

PREAGGREGATED = ("nnm+mda", "bucketing+median", "clipping+krum")


def main(arguments: Sequence[str] | None = None) -> int:
    """0: all our rules pass; 1: one does not; 2: what was asked makes no sense."""
    options = _parser().parse_args(arguments)
    try:
        ours = our_reports(options.rule, options.n, options.f, d=options.d, seed=options.seed)
        theirs = _theirs(options)
    except AggregationError as error:
        print(error, file=sys.stderr)
        return 2
    everyone = [*ours, *theirs]
    print("\n\n".join(map(str, everyone)) if options.reasons else markdown(everyone))
    why = failures(everyone)
    if why and not options.reasons:
        print(f"\n{why}")
    return 0 if all(report.passed for report in ours) else 1


def our_reports(
    names: Sequence[str] = (), n: int = N, f: int = F, *, d: int = 67, seed: int = 0
) -> list[Report]:
    """The rules with these names ("nnm+mda" is mda after nnm), by default all."""
    rules = [named(name) for name in names or everything()]
    return [conformance(rule, n, f, d=d, seed=seed) for rule in rules]


def everything() -> list[str]:
    """All rules, and some with a preaggregation before them."""
    return [*AGGREGATORS, *(PREAGGREGATED if hasattr(aggregators, "configured") else ())]


def named(name: str) -> Rule:
    *steps, last = name.replace(" ", "").split("+")
    if not steps:
        return resolve(last)
    configured: object = getattr(aggregators, "configured", None)
    if not callable(configured):
        raise AggregationError(f"{name}: there are no preaggregations here")
    rule: Rule = configured(last, pre=steps)
    return rule


def _theirs(options: argparse.Namespace) -> list[Report]:
    if options.against is None:
        return []
    from byzsgd.aggregators.testing import byzfl

    return byzfl.reports(options.n, options.f, d=options.d, seed=options.seed)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("python -m byzsgd.aggregators.testing", description=__doc__)
    parser.add_argument("rule", nargs="*", help="a rule, or nnm+mda: mda after nnm (default: all)")
    parser.add_argument("--n", type=int, default=N, help="vectors (default: %(default)s)")
    parser.add_argument("--f", type=int, default=F, help="liars among them (default: %(default)s)")
    parser.add_argument("--d", type=int, default=67, help="coordinates (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="of all random vectors")
    parser.add_argument("--against", choices=["byzfl"], help="another library's rules besides")
    parser.add_argument("--reasons", action="store_true", help="a table per rule, with numbers")
    return parser


if __name__ == "__main__":
    sys.exit(main())
