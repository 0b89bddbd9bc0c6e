"""What each other situation costs the same system: a step against one with nothing wrong."""

from collections.abc import Iterator

from byzsgd.experiment.page.bars import Panel, bars, inches, rows_of
from byzsgd.experiment.page.figure import WIDTH_IN, svg
from byzsgd.experiment.page.section import Section, Shown, Table
from byzsgd.experiment.page.study import Cell, Study
from byzsgd.experiment.page.words import more, seconds, times, told, variant_text
from byzsgd.experiment.sweep.spread import Spread, spread


def against(study: Study, mark: str) -> Section | None:
    """For every axis but the first: its first variant is what the others are held against."""
    axes = [axis for axis in list(study.axes)[1:] if len(study.axes[axis]) > 1]
    each = {axis: _shown(study, axis, f"{mark}-{place}") for place, axis in enumerate(axes)}
    found = {axis: shown for axis, shown in each.items() if shown}
    names = " and ".join(_first(study, axis) for axis in found)
    return Section(f"Against {names}", list(found.values())) if found else None


def _shown(study: Study, axis: str, mark: str) -> Shown | None:
    rows = rows_of(study, lambda cell: _is_other(study, cell, axis) and _ratio(study, cell, axis))
    if not rows:
        return None
    ratios = [_ratio(study, row.cell, axis) if row.cell else None for row in rows]
    label = f"step time, as a multiple of that with {_first(study, axis)}"
    drawing = svg(
        mark,
        f"Step time against {_first(study, axis)}",
        bars(rows, [Panel(label, ratios, times, even=1.0)]),
        WIDTH_IN,
        inches(rows),
    )
    return Shown(_caption(study, axis), drawing, _table(study, axis))


def _caption(study: Study, axis: str) -> str:
    return (
        f"The time of a step as a multiple of the same {study.axis}'s with {_first(study, axis)} "
        "and all else equal, seed by seed: medians, whiskers from the least to the most. At the "
        "line the situation costs no time. Throughput in the table is steps per second, compared "
        "in the same way."
    )


def _table(study: Study, axis: str) -> Table:
    head = (*study.axes, "step time", f"with {_first(study, axis)}", "ratio", "throughput", "seeds")
    rows = [tuple(_row(study, cell, axis)) for cell in study.cells if _is_other(study, cell, axis)]
    return Table(head, rows, len(study.axes))


def _row(study: Study, cell: Cell, axis: str) -> Iterator[str]:
    base, ratio = _base(study, cell, axis), _ratio(study, cell, axis)
    yield from (variant for _, variant in cell.labels)
    yield told(cell.over(lambda run: run.step_s), seconds)
    yield told(base.over(lambda run: run.step_s) if base else None, seconds)
    yield told(ratio, times)
    yield told(spread(cell.multiples(base, lambda run: run.rate)), more)
    yield str(ratio.values if ratio else 0)


def _ratio(study: Study, cell: Cell, axis: str) -> Spread | None:
    return spread(cell.multiples(_base(study, cell, axis), lambda run: run.step_s))


def _is_other(study: Study, cell: Cell, axis: str) -> bool:
    return dict(cell.labels)[axis] != study.axes[axis][0]


def _base(study: Study, cell: Cell, axis: str) -> Cell | None:
    """The cell that differs in this axis only, where it has the first variant."""
    labels = dict(cell.labels) | {axis: study.axes[axis][0]}
    (_, variant), *situation = labels.items()
    return study.cell(variant, tuple(situation))


def _first(study: Study, axis: str) -> str:
    return variant_text(axis, study.axes[axis][0])
