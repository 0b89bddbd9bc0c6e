"""The simulator beside the real thing: how long a step takes in both."""

from typing import NamedTuple

from matplotlib.figure import Figure

from byzsgd.experiment.page.agreement import AGREED, agree
from byzsgd.experiment.page.figure import Draw, color, marker, svg, swatches, time_ticks
from byzsgd.experiment.page.section import Section, Shown, Table
from byzsgd.experiment.page.study import Labels, Study
from byzsgd.experiment.page.words import seconds, times


class Pair(NamedTuple):
    labels: Labels
    place: int
    real_s: float
    simulated_s: float

    @property
    def ratio(self) -> float:
        return self.simulated_s / self.real_s


def simulated_beside_real(real: Study, simulated: Study, mark: str) -> Section | None:
    pairs = list(_pairs(real, simulated))
    if not pairs:
        return None
    within = sum(agree(pair.simulated_s, pair.real_s) for pair in pairs)
    caption = (
        f"Step time of cells that were both run and simulated, medians over seeds. {within} of "
        f"{len(pairs)} simulated ones are within {100 * AGREED:.0f} % of the real one, the band."
    )
    head = (*real.axes, "real", "simulated", "simulated to real")
    rows = [
        (
            *(variant for _, variant in pair.labels),
            seconds(pair.real_s),
            seconds(pair.simulated_s),
            times(pair.ratio),
        )
        for pair in pairs
    ]
    drawing = svg(mark, "Simulated and real step time", _scatter(pairs), 5.2, 4.4)
    shown = Shown(caption, drawing, Table(head, rows, len(real.axes)), swatches(real.variants))
    return Section("Simulated beside real", [shown])


def _pairs(real: Study, simulated: Study) -> list[Pair]:
    twins = {frozenset(cell.labels): cell for cell in simulated.cells}
    pairs = []
    for cell in real.cells:
        twin = twins.get(frozenset(cell.labels))
        ours, theirs = (c.over(lambda run: run.step_s) if c else None for c in (cell, twin))
        if ours and theirs and ours.median > 0 and theirs.median > 0:
            place = real.variants.index(cell.labels[0][1])
            pairs.append(Pair(cell.labels, place, ours.median, theirs.median))
    return pairs


def _scatter(pairs: list[Pair]) -> Draw:
    def draw(figure: Figure) -> None:
        axes = figure.subplots()
        every = [value for pair in pairs for value in (pair.real_s, pair.simulated_s)]
        low, high = min(every) / 1.5, max(every) * 1.5
        ends = [low, high]
        axes.fill_between(
            ends,
            [x * (1 - AGREED) for x in ends],
            [x * (1 + AGREED) for x in ends],
            color="#80868f",
            alpha=0.18,
            linewidth=0,
        )
        axes.plot(ends, ends, color="#80868f", linewidth=0.8)
        for pair in pairs:
            shade, sign = color(pair.place), marker(pair.place)
            axes.plot(pair.real_s, pair.simulated_s, marker=sign, color=shade, linestyle="none")
        axes.set(xscale="log", yscale="log", xlim=ends, ylim=ends, aspect="equal")
        time_ticks(axes.xaxis)
        time_ticks(axes.yaxis)
        axes.set(xlabel="a real step", ylabel="a simulated step")

    return draw
