"""A run as it goes, on stderr: a live picture on a terminal, a line every 10 % elsewhere.

with View() as view:
    view.show(progress)
"""

from types import TracebackType
from typing import Final, Self

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from byzsgd.experiment.progress import NodeProgress, Progress

ROWS_MAX: Final = 12
REFRESH_HZ: Final = 8
_STYLES: Final = {"starting": "dim", "ready": "cyan", "done": "green", "dead": "bold red"}


class View:
    """Shows what it is given; cheap to call, as often as anything changes."""

    def __init__(self, console: Console | None = None) -> None:
        self._console = console or Console(stderr=True, highlight=False)
        self._live: Live | None = None
        self._tenths = -1
        self._message = ""

    def show(self, progress: Progress) -> None:
        if self._console.is_terminal and not self._console.is_dumb_terminal:
            self._live_picture().update(render(progress))
        else:
            self._print(progress)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._live:
            self._live.stop()
            self._live = None

    def _live_picture(self) -> Live:
        """Begun when there is something to see: its thread would keep the launcher from forking."""
        if self._live is None:
            self._live = Live(console=self._console, refresh_per_second=REFRESH_HZ)
            self._live.start()
        return self._live

    def _print(self, progress: Progress) -> None:
        """Whatever is new in the message, and a line for each tenth of the steps."""
        if progress.message and progress.message != self._message:
            self._message = progress.message
            self._console.print(
                f"{progress.name}: {progress.message}", markup=False, soft_wrap=True
            )
        tenths = 10 * progress.step // progress.steps
        if progress.step and tenths > self._tenths:
            self._tenths = tenths
            self._console.print(line(progress), markup=False, soft_wrap=True)


def line(progress: Progress) -> str:
    """The run in one line of text."""
    share = f"{100 * progress.step // progress.steps} %"
    figures = ", ".join(f"{name} {value}" for name, value in _figures(progress))
    return f"{progress.name}: step {progress.step}/{progress.steps} ({share}), {figures}"


def render(progress: Progress) -> RenderableType:
    """The run as a picture that fits in 80 columns."""
    parts: list[RenderableType] = [_head(progress), _figures_line(progress), Text()]
    parts.append(_nodes(progress))
    if progress.message:
        parts.append(Text(progress.message, style="dim"))
    return Group(*parts)


def _head(progress: Progress) -> RenderableType:
    grid = Table.grid(padding=(0, 1), expand=True)
    grid.add_column(no_wrap=True, overflow="ellipsis", max_width=24)
    grid.add_column(ratio=1)
    grid.add_column(justify="right", no_wrap=True)
    bar = ProgressBar(progress.steps, progress.step, complete_style="cyan", finished_style="green")
    count = f"step {progress.step}/{progress.steps}{_remaining(progress)}"
    grid.add_row(Text(progress.name, style="bold"), bar, count)
    return grid


def _remaining(progress: Progress) -> str:
    left = progress.steps - progress.step
    if not left or not progress.steps_per_second:
        return ""
    minutes, seconds = divmod(round(left / progress.steps_per_second), 60)
    return f", {minutes}:{seconds:02d} left"


def _figures_line(progress: Progress) -> Text:
    text = Text(no_wrap=True, overflow="ellipsis")
    for name, value in _figures(progress):
        text.append(f"{name} ", style="dim").append(f"{value}   ")
    return text


def _figures(progress: Progress) -> list[tuple[str, str]]:
    percent = f"{100 * progress.accuracy:.1f} %" if progress.accuracy is not None else "–"
    return [
        ("accuracy", percent),
        ("loss", _short(progress.loss)),
        ("steps/s", _short(progress.steps_per_second)),
        ("diameter", _short(progress.diameter)),
    ]


def _short(value: float | None) -> str:
    if value is None:
        return "–"
    return f"{value:.0f}" if 1000 <= abs(value) < 1e6 else f"{value:.3g}"


def _nodes(progress: Progress) -> RenderableType:
    """Servers on the left, workers on the right."""
    grid = Table.grid(padding=(0, 3), expand=False)
    sides = [
        [node for node in progress.nodes.values() if node.node.startswith(role)]
        for role in ("server", "worker")
    ]
    grid.add_row(*(_side(nodes) for nodes in sides))
    return grid


def _side(nodes: list[NodeProgress]) -> RenderableType:
    """A table of at most 38 columns, whatever the attacks are called."""
    shown, rest = _worth_showing(nodes)
    table = Table.grid(padding=(0, 1))
    for justify, width in (("left", 10), ("left", 8), ("right", 6), ("left", 11)):
        table.add_column(justify=justify, no_wrap=True, max_width=width)  # type: ignore[arg-type]
    table.columns[1].min_width = 8  # nothing moves when a state changes
    if nodes:
        table.add_row("node", "state", "step", _attack_head(nodes), style="dim")
    for node in shown:
        table.add_row(*_cells(node))
    if not rest:
        return table
    steps = [node.step for node in rest]
    return Group(table, Text(f"and {len(rest)} more, step {min(steps)}–{max(steps)}", style="dim"))


def _attack_head(nodes: list[NodeProgress]) -> str:
    return "lies with" if any(node.liar for node in nodes) else ""


def _cells(node: NodeProgress) -> tuple[Text, Text, Text, Text]:
    return (
        Text(node.node, style="magenta" if node.liar else ""),
        Text(node.state, style=_STYLES.get(node.state, "")),
        Text(str(node.step), style="dim" if node.state == "starting" else ""),
        Text(node.liar or "", style="magenta", overflow="ellipsis"),
    )


def _worth_showing(nodes: list[NodeProgress]) -> tuple[list[NodeProgress], list[NodeProgress]]:
    """All nodes where they fit; else the dead, the liars and the slowest, in their old order."""
    if len(nodes) <= ROWS_MAX:
        return nodes, []
    ranked = sorted(nodes, key=lambda node: (node.state != "dead", not node.liar, node.step))
    kept = {node.node for node in ranked[: ROWS_MAX - 1]}
    return [n for n in nodes if n.node in kept], [n for n in nodes if n.node not in kept]
