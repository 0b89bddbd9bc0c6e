"""A swarm as it goes, on stderr, and what it says at the end."""

from types import TracebackType
from typing import Final, Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from byzsgd.experiment.swarm.hunt import Tally

WIDTH: Final = 24


class SwarmView:
    """A progress bar on a terminal, a line every 10 % elsewhere."""

    def __init__(self, worlds: int, console: Console | None = None) -> None:
        self._console = console or Console(stderr=True, highlight=False)
        self._worlds = worlds
        self._tenths = 0
        self._bar: Progress | None = None

    def __enter__(self) -> Self:
        if self._console.is_terminal and not self._console.is_dumb_terminal:
            self._bar = Progress(
                TextColumn("swarm"),
                BarColumn(WIDTH),
                MofNCompleteColumn(),
                TimeRemainingColumn(),
                TextColumn("{task.description}"),
                console=self._console,
            )
            self._task = self._bar.add_task("", total=self._worlds)
            self._bar.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._bar:
            self._bar.stop()

    def show(self, tally: Tally) -> None:
        if self._bar:
            self._bar.update(self._task, completed=tally.worlds, description=_figures(tally))
            return
        tenths = 10 * tally.worlds // self._worlds
        if tenths > self._tenths:
            self._tenths = tenths
            line = f"swarm: {tally.worlds}/{self._worlds} worlds, {_figures(tally)}"
            self._console.print(line, markup=False, soft_wrap=True)


def tally_text(tally: Tally, seed: int) -> str:
    """The end of a swarm, for people; each finding with its trace and how to see it again."""
    lines = [
        f"{tally.worlds:,} worlds of seed {seed}, {tally.steps:,} cluster steps, "
        f"{tally.events:,} events in {tally.seconds:.0f} s "
        f"({60 * tally.worlds / max(tally.seconds, 1e-9):,.0f} worlds a minute)",
        f"{tally.stalls} stalled, each for a reason that the theory allows",
        f"with {', '.join(f'{name} {count}' for name, count in sorted(tally.seen.items()))}",
    ]
    for finding in tally.found:
        lines += [
            "",
            f"world {finding.index} of seed {seed}: {finding.text.rstrip()}",
            "",
            f"again, as small as it got: byzsgd simulate {finding.path}",
        ]
    lines += [] if tally.found else ["no checker objected"]
    return "\n".join(lines)


def _figures(tally: Tally) -> str:
    rate = tally.events / tally.seconds if tally.seconds else 0.0
    return f"{rate:,.0f} events/s, {len(tally.found)} violations"
