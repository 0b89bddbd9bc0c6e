"""How fast each cell went, beside the reference and over every axis that counts something."""

from collections.abc import Iterator

from matplotlib.figure import Figure

from byzsgd.experiment.page.bars import Panel, bars, inches, rows_of
from byzsgd.experiment.page.figure import (
    WIDTH_IN,
    color,
    grid,
    height_in,
    marker,
    svg,
    swatches,
    wrapped,
)
from byzsgd.experiment.page.section import Section, Shown, Table
from byzsgd.experiment.page.study import Labels, Study
from byzsgd.experiment.page.words import (
    is_number,
    more,
    plain,
    seconds,
    situation_text,
    times,
    told,
)

COLUMNS = 3


def throughput(study: Study, mark: str) -> Section | None:
    if not any(run.finished and run.rate > 0 for run in study.samples):
        return None
    numeric = [axis for axis in list(study.axes)[1:] if _counts(study, axis)]
    shown = [_over(study, axis, f"{mark}-{place}") for place, axis in enumerate(numeric)]
    if not shown or len(study.axes) > 1 + len(numeric):
        shown.insert(0, _side_by_side(study, mark))
    return Section("Throughput", shown)


def _side_by_side(study: Study, mark: str) -> Shown:
    rows = rows_of(study)
    cells = [row.cell for row in rows]
    rates = [cell.over(lambda run: run.rate) if cell else None for cell in cells]
    panels = [Panel("steps per second", rates, plain)]
    if study.compared:
        ratios = [study.ratio(cell, lambda run: run.step_s) if cell else None for cell in cells]
        label = f"step time, as a multiple of {study.variants[0]}"
        panels.append(Panel(label, ratios, times, even=1.0))
    drawing = svg(f"{mark}-bars", "Throughput", bars(rows, panels), WIDTH_IN, inches(rows))
    return Shown(_caption(study), drawing, _table(study))


def _caption(study: Study) -> str:
    words = f"Steps per second of {_runs(study)}: medians, whiskers from the least to the most."
    if study.compared:
        words += (
            f" On the right the time of a step as a multiple of {study.variants[0]}'s in the same "
            "situation, seed by seed; the line is where both are equal."
        )
    return words


def _runs(study: Study) -> str:
    done = sum(run.finished for run in study.samples)
    return "one run" if done == 1 else f"{done} runs"


def _table(study: Study) -> Table:
    head = (
        *study.axes,
        "steps/s",
        "step time",
        *(["overhead"] if study.compared else []),
        "finished",
    )
    rows = [
        (
            *(variant for _, variant in cell.labels),
            told(cell.over(lambda run: run.rate), plain),
            told(cell.over(lambda run: run.step_s), seconds),
            *([told(study.ratio(cell, lambda run: run.step_s), more)] if study.compared else []),
            str(len(cell.finished)),
        )
        for cell in study.cells
    ]
    return Table(head, rows, len(study.axes))


# --- over an axis of numbers ----------------------------------------------------------------------


def _counts(study: Study, axis: str) -> bool:
    return len(study.axes[axis]) > 1 and all(map(is_number, study.axes[axis]))


def _over(study: Study, axis: str, mark: str) -> Shown:
    """Lines over the axis, one for each variant, apart for what else differs."""
    apart = list(dict.fromkeys(_without(labels, axis) for labels in study.situations))
    rows = -(-len(apart) // COLUMNS)

    def draw(figure: Figure) -> None:
        every = grid(figure, len(apart), COLUMNS, sharey=True)
        for axes, rest in zip(every, apart, strict=True):
            axes.set_title(wrapped(situation_text(rest)))
            for place, variant in enumerate(study.variants):
                points = list(_points(study, axis, rest, variant))
                at, middle, low, high = zip(*points, strict=True) if points else ((),) * 4
                shade, mark = color(place), marker(place)
                axes.plot(at, middle, color=shade, marker=mark)
                axes.fill_between(at, low, high, color=shade, alpha=0.18, linewidth=0)
            axes.set_xlabel(axis)
            axes.set_ylabel("steps per second")
        every[0].set_ylim(bottom=0)

    drawing = svg(mark, f"Throughput over {axis}", draw, WIDTH_IN, height_in(rows, 2.6))
    caption = (
        f"Steps per second over {axis}: medians of {_runs(study)}, "
        "bands from the least to the most."
    )
    return Shown(caption, drawing, _table(study), swatches(study.variants))


def _without(labels: Labels, axis: str) -> Labels:
    return tuple(label for label in labels if label[0] != axis)


def _points(
    study: Study, axis: str, rest: Labels, variant: str
) -> Iterator[tuple[float, float, float, float]]:
    """(number, median, least, most), ascending."""
    for value in sorted(study.axes[axis], key=float):
        kept = dict(rest) | {axis: value}
        situation = tuple((name, kept[name]) for name in list(study.axes)[1:])
        cell = study.cell(variant, situation)
        if cell and (found := cell.over(lambda run: run.rate)):
            yield float(value), found.median, found.low, found.high
