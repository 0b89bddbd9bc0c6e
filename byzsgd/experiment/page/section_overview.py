"""Every cell in one table."""

import math
from collections.abc import Iterator

from byzsgd.experiment.page.section import Section, Shown, Table
from byzsgd.experiment.page.study import Cell, Study
from byzsgd.experiment.page.words import (
    NOTHING,
    more,
    nbytes,
    percent,
    plain,
    reached,
    seconds,
    told,
    whole,
)
from byzsgd.experiment.sweep.spread import spread


def overview(study: Study) -> Section:
    head = (
        *study.axes,
        "accuracy",
        *(["backdoor"] if _planted(study) else []),
        *("step time", "steps/s"),
        *([f"step time against {study.variants[0]}"] if study.compared else []),
        *(["target reached", "time to it", "steps to it"] if study.target is not None else []),
        *("CPU time a step", "sent a step", "finished" if study.swept else "status"),
    )
    rows = [_row(study, cell) for cell in study.cells]
    return Section("Overview", [Shown(_caption(study), table=Table(head, rows, len(study.axes)))])


def _row(study: Study, cell: Cell) -> tuple[str, ...]:
    against = told(study.ratio(cell, lambda run: run.step_s), more)
    return (
        *(variant for _, variant in cell.labels),
        told(spread(run.accuracy for run in cell.shown), percent),
        *([_backdoor(cell)] if _planted(study) else []),
        told(spread(run.step_s for run in cell.shown), seconds),
        told(spread(run.rate for run in cell.shown), plain),
        *([_reference(study, cell) or against] if study.compared else []),
        *(_to_target(cell, study.target) if study.target is not None else []),
        told(cell.over(lambda run: run.cpu_s), seconds),
        told(cell.over(lambda run: run.sent_bytes), nbytes),
        cell.status,
    )


def _planted(study: Study) -> bool:
    return any(not math.isnan(run.backdoor) for cell in study.cells for run in cell.shown)


def _backdoor(cell: Cell) -> str:
    known = [run.backdoor for run in cell.shown if not math.isnan(run.backdoor)]
    return told(spread(known), percent)


def _to_target(cell: Cell, target: float) -> Iterator[str]:
    """By how many seeds it was reached, after what time and after how many steps."""
    steps = cell.over(lambda run: run.steps_to(target))
    of = len(cell.finished)
    yield reached(steps.values if steps else 0, of) if of else NOTHING
    yield told(cell.times(lambda run: run.seconds_to(target)), seconds)
    yield told(cell.times(lambda run: run.steps_to(target)), whole)


def _reference(study: Study, cell: Cell) -> str:
    is_reference = cell.labels[0][1] == study.variants[0]
    return "reference" if is_reference and cell.finished else ""


def _caption(study: Study) -> str:
    words = (
        "Accuracy is that of the median of the honest servers' models at the end, on the test "
        "examples. Step time is the mean of the honest server in the middle, without start-up."
    )
    if _planted(study):
        words += (
            " Backdoor is the share of inputs with its trigger that are misread as its liar wants."
        )
    if study.swept:
        words = f"Medians over the seeds that are finished, with the range beneath. {words}"
    if study.compared:
        words += " Ratios are taken seed by seed."
    if study.target is not None:
        words += (
            f" The target is an accuracy of {100 * study.target:g} %; a seed that never reached it "
            "counts as later than all others."
        )
    return words + " Of cells without a finished run the last known figures are shown."
