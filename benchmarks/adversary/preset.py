"""What a preset is: sweeps to run, and what is said of their records."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

from benchmarks.adversary.found import Found

Tables: TypeAlias = dict[str, Any]
"""Those of a sweep's file."""

ANSWERS: Final = {True: "yes", False: "**no**", None: "not known"}


@dataclass(frozen=True)
class Claim:
    """What a paper says, whether it `holds` here, and the figures that say so.

    `holds` is None where a figure is missing. `otherwise` is why it does not hold, as far as it is
    known; it is shown with a no only.
    """

    text: str
    holds: bool | None
    figures: str
    otherwise: str = ""


@dataclass(frozen=True)
class Report:
    """Lines of Markdown, and the claims that were put to the test."""

    lines: Sequence[str]
    claims: Sequence[Claim]


@dataclass(frozen=True)
class Preset:
    """One of the benchmark's parts; its `sweeps` are made for a task, and shorter if `quick`."""

    name: str
    title: str
    task: str
    """The task whose data are wanted; digits where they are missing."""
    sweeps: Callable[["Size"], Sequence[Tables]]
    report: Callable[[Found], Report]
    stuck: frozenset[str] = frozenset()
    """The sweeps of which the report says itself what did not end."""


@dataclass(frozen=True)
class Size:
    """Of which task, and whether it is only a look."""

    task: str
    quick: bool = False

    def of(self, full: int, quick: int) -> int:
        return quick if self.quick else full

    def name(self, preset: str) -> str:
        """Of a sweep, and so of the folder of its records."""
        return f"adversary-{preset}{'-quick' if self.quick else ''}"


def grid(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """A table in Markdown."""
    lines = [head, ["---"] * len(head), *rows]
    return [f"| {' | '.join(line)} |" for line in lines]


def verdicts(claims: Sequence[Claim]) -> list[str]:
    """The claims as a table, and below it the reasons of what does not hold."""
    rows = [(claim.text, ANSWERS[claim.holds], claim.figures) for claim in claims]
    reasons = [
        f"- No: {claim.text} {claim.otherwise}"
        for claim in claims
        if claim.holds is False and claim.otherwise
    ]
    gap = [""] if reasons else []
    return [*grid(("claimed", "here", "figures"), rows), *gap, *reasons]


def every(values: Mapping[str, bool | None]) -> bool | None:
    """Whether all hold: None where that is not known of any, and none fails."""
    if False in values.values():
        return False
    return None if None in values.values() or not values else True
