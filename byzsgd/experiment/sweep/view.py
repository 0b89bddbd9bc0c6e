"""A sweep as it goes, on stderr: a line of each run that has ended, and of the one that goes on."""

import time
from collections.abc import Sequence
from types import TracebackType
from typing import Self

from rich.console import Console, Group
from rich.live import Live
from rich.text import Text

from byzsgd.experiment.progress import Progress
from byzsgd.experiment.results import Run
from byzsgd.experiment.sweep.cells import Cell
from byzsgd.experiment.sweep.run import Ended
from byzsgd.experiment.sweep.swept import Swept
from byzsgd.experiment.sweep.text import counted, notes
from byzsgd.experiment.view import REFRESH_HZ, line


class SweepView:
    """What has ended is printed; on a terminal the run that goes on is shown below it."""

    def __init__(self, console: Console | None = None) -> None:
        self._console = console or Console(stderr=True, highlight=False)
        self._live: Live | None = None
        self._number = self._of = 0

    def start(self, known: Swept, cells: Sequence[Cell]) -> None:
        self._of, self._start = len(cells), time.monotonic()
        for note in notes(known) if cells else ():  # else they are told at once, at the end
            self._print(note)
        self._print(f"{known.sweep.name}: {counted(known)}; {len(cells)} to run")

    def begin(self, cell: Cell) -> None:
        self._number += 1
        self._began = time.monotonic()
        self._head = f"{self._number}/{self._of} {cell}"

    def show(self, progress: Progress) -> None:
        if self._console.is_terminal and not self._console.is_dumb_terminal:
            texts = (Text(self._head), Text(line(progress)), Text(self._left(), style="dim"))
            for text in texts:
                text.no_wrap, text.overflow = True, "ellipsis"
            self._picture().update(Group(*texts))

    def end(self, ended: Ended) -> None:
        self._stop()
        self._print(f"{self._head}: {_result(ended)}, {ended.seconds:.1f} s")
        if ended.trace:
            self._print(ended.trace)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stop()

    def _picture(self) -> Live:
        """One for each run: while it is there its thread would keep the launcher from forking."""
        if self._live is None:
            self._live = Live(console=self._console, refresh_per_second=REFRESH_HZ, transient=True)
            self._live.start()
        return self._live

    def _stop(self) -> None:
        if self._live:
            self._live.stop()
            self._live = None

    def _left(self) -> str:
        """As long for each of the others as for those that have ended."""
        ended = self._number - 1
        if not ended:
            return ""
        each, since = (self._began - self._start) / ended, time.monotonic() - self._began
        left = max(each * (self._of - ended) - since, 0.0)
        return f"about {left / 60:.0f} min left" if left > 90 else f"about {left:.0f} s left"

    def _print(self, text: str) -> None:
        self._console.print(text, markup=False, soft_wrap=True)


class Silence:
    """Shows nothing."""

    def start(self, known: Swept, cells: Sequence[Cell]) -> None: ...
    def begin(self, cell: Cell) -> None: ...
    def show(self, progress: Progress) -> None: ...
    def end(self, ended: Ended) -> None: ...


def _result(ended: Ended) -> str:
    return _figures(ended.run) if ended.run else f"no result: {ended.error}"


def _figures(run: Run) -> str:
    if run.status != "finished":
        return "; ".join(run.shortfalls())
    accuracy = f"accuracy {100 * run.accuracy:.1f} %"
    return f"finished, {accuracy}, {1 / run.step_s if run.step_s else 0:.3g} steps/s"
