"""What a rule's conformance comes to, as text and as tables."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum


class Verdict(StrEnum):
    PASSED = "pass"
    FAILED = "fail"
    NOT_APPLICABLE = "n/a"


@dataclass(frozen=True)
class Outcome:
    check: str
    verdict: Verdict
    reason: str
    """One line, with numbers."""
    cell: str
    """What stands in a table of many rules."""


@dataclass(frozen=True)
class Report:
    """What one rule did in each check; printed, it is a table."""

    name: str
    n: int
    f: int
    d: int
    outcomes: tuple[Outcome, ...]

    @property
    def failed(self) -> tuple[str, ...]:
        """The names of the checks that it failed."""
        return tuple(o.check for o in self.outcomes if o.verdict is Verdict.FAILED)

    @property
    def passed(self) -> bool:
        return not self.failed

    def __getitem__(self, check: str) -> Outcome:
        return next(o for o in self.outcomes if o.check == check)

    def __str__(self) -> str:
        title = f"{self.name}, n={self.n}, f={self.f}, d={self.d}"
        rows = [(o.check, o.verdict.value, o.reason) for o in self.outcomes]
        return f"{title}\n\n{_table(('check', 'verdict', 'why'), rows)}"


def markdown(reports: Iterable[Report]) -> str:
    """A table with a row per rule and a column per check."""
    reports = list(reports)
    if not reports:
        return ""
    checks = [outcome.check for outcome in reports[0].outcomes]
    rows = [(f"`{r.name}`", *(outcome.cell for outcome in r.outcomes)) for r in reports]
    return _table(("rule", *checks), rows)


def failures(reports: Iterable[Report]) -> str:
    """A line for each check that a rule failed, with the reason."""
    return "\n".join(
        f"- `{report.name}`, {outcome.check}: {outcome.reason}"
        for report in reports
        for outcome in report.outcomes
        if outcome.verdict is Verdict.FAILED
    )


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(_escaped(cell) for cell in line)} |" for line in lines)


def _escaped(cell: str) -> str:
    return " ".join(cell.replace("|", "\\|").split())
