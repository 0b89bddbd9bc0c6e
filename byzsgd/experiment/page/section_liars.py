"""What the liars achieved, and who was suspicious to the honest."""

from collections.abc import Iterator, Sequence
from typing import Final

from byzsgd.experiment.findings.suspicion import RULE, standing_out
from byzsgd.experiment.findings.text import (
    POTENCY_HEAD,
    SUSPICION_HEAD,
    potency_row,
    suspicion_row,
)
from byzsgd.experiment.page.sample import Sample
from byzsgd.experiment.page.section import Section, Shown, Table
from byzsgd.experiment.page.study import Cell, Study

ROWS_MAX: Final = 400
"""A longer table nobody reads; each run's record has it all."""

_SUSPICIOUS: Final = "Who was suspicious"

_POTENCY: Final = (
    "What each liar achieved, in the first run of each cell: how many of its words were not the "
    "truth, in how many of the honest nodes' aggregations one was, and how often it was among "
    "those that the rule chose. Medians over those: its length beside the honest mean's and the "
    "cosine of the two (gradients), its distance from it (models), and how far the aggregate was "
    "from the honest mean, as multiples of that mean's norm."
)
_SUSPICION: Final = (
    "What honest nodes hold against senders, in the first run of each cell. No honest node says "
    "two things at once (equivocating), what nobody asked for, or what is malformed: that is a "
    "proof. All else happens to the honest as well, and only stands out: beside a share is the "
    f"median of the others of its side. Sorted: {RULE}."
)


def liars(study: Study) -> Section | None:
    rows = [
        (*_labels(cell), *potency_row(liar)) for cell, run in _first(study) for liar in run.potency
    ]
    return _section("What the liars achieved", study, _POTENCY, POTENCY_HEAD, rows, 2)


def suspects(study: Study) -> Section | None:
    found = [(cell, run) for cell, run in _first(study) if run.suspicion]
    rows = [
        (*_labels(cell), *suspicion_row(node))
        for cell, run in found
        for node in standing_out(run.suspicion)
    ]
    if found and not rows:
        return Section(_SUSPICIOUS, [Shown(f"{_SUSPICION} Here it is nobody.")])
    return _section(_SUSPICIOUS, study, _SUSPICION, SUSPICION_HEAD, rows, 4)


def _first(study: Study) -> Iterator[tuple[Cell, Sample]]:
    """One run of each cell."""
    return ((cell, cell.shown[0]) for cell in study.cells if cell.shown)


def _labels(cell: Cell) -> Sequence[str]:
    return [variant for _, variant in cell.labels]


def _section(
    title: str,
    study: Study,
    caption: str,
    head: Sequence[str],
    rows: Sequence[Sequence[str]],
    words: int,
) -> Section | None:
    if not rows:
        return None
    more = f" The first {ROWS_MAX} rows of {len(rows):,}." if len(rows) > ROWS_MAX else ""
    table = Table((*study.axes, *head), rows[:ROWS_MAX], len(study.axes) + words)
    return Section(title, [Shown(caption + more, table=table)])
