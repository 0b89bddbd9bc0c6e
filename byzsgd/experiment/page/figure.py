"""Drawing: one look for all figures, and each as SVG that a page can hold.

Text stays text, in the page's own font and colour, so that a figure follows a dark page.
"""

import io
import re
import textwrap
import warnings
from collections.abc import Callable, Sequence
from typing import Any, Final

import matplotlib as mpl
from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

PALETTE: Final = (
    *("#80868f", "#0072b2", "#d55e00", "#009e73", "#cc79a7"),
    *("#e69f00", "#56b4e9", "#882255", "#999933", "#332288"),
)
"""Okabe and Ito's colours and three of Tol's, which the colour-blind tell apart.

Grey, the first, is the reference's.
"""

MARKERS: Final = "osD^vPX<>*"

WIDTH_IN: Final = 10.4
"""Of a figure as wide as the page; it is shown 100 pixels an inch."""

_INK: Final = "#123456"
_GRID: Final = "#abcdef"
"""Both stand in for the page's colours, which replace them."""

_LOOK: Final[dict[str, Any]] = {
    "svg.fonttype": "none",
    "font.family": "DejaVu Sans",  # comes with matplotlib, wider than most: nothing will overlap
    "font.size": 8,
    "axes.titlesize": 8.5,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.linewidth": 0.6,
    "lines.linewidth": 1.5,
    "lines.markersize": 4,
    "hatch.linewidth": 0.6,
    "text.parse_math": False,  # a label with two $ is no formula
    "axes.formatter.useoffset": False,
    **dict.fromkeys(("text.color", "axes.labelcolor", "axes.edgecolor"), _INK),
    **dict.fromkeys(("xtick.color", "ytick.color", "hatch.color"), _INK),
    "grid.color": _GRID,
}

Draw = Callable[[Figure], None]


def color(place: int) -> str:
    """Of the variant at this place of the first axis, the same in every figure."""
    return PALETTE[place % len(PALETTE)]


def marker(place: int) -> str:
    return MARKERS[place % len(MARKERS)]


def svg(name: str, title: str, draw: Draw, width_in: float, height_in: float) -> Markup:
    """What `draw` puts on a figure, as an <svg> element. Equal figures give equal text.

    `name` is the figure's alone on its page: the ids inside depend on it.
    """
    look: Any = {**_LOOK, "svg.hashsalt": name}
    with mpl.rc_context(look), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # such as a letter that the font has not: browsers do
        figure = Figure(figsize=(width_in, height_in), layout="constrained")
        figure.patch.set_visible(False)
        draw(figure)
        for axes in figure.axes:
            axes.patch.set_visible(False)
        text = io.StringIO()
        figure.savefig(text, format="svg", metadata={"Date": None, "Creator": None})
    return Markup(_for_a_page(text.getvalue(), title, round(100 * width_in)))  # noqa: S704 - ours


def _for_a_page(text: str, title: str, width_px: int) -> str:
    """Without the XML prologue, sizes in points, ids that occur twice, and fixed colours."""
    text = text[text.index("<svg") :]
    view = re.search(r'viewBox="[^"]*"', text)
    assert view is not None, "matplotlib writes one"
    head = (
        f'<svg {view[0]} role="img" aria-label="{Markup.escape(title)}" '
        f'xmlns:xlink="http://www.w3.org/1999/xlink" style="width:{width_px}px">'
    )
    text = re.sub(r"<svg[^>]*>", lambda _: head, text, count=1)
    text = re.sub(r"<metadata>.*?</metadata>\s*", "", text, flags=re.DOTALL)
    text = re.sub(r' id="[a-zA-Z0-9.]+_\d+"', "", text)
    return text.replace(_INK, "currentColor").replace(_GRID, "var(--grid)").strip()


def grid(figure: Figure, count: int, columns: int, **kwargs: Any) -> list[Axes]:
    """`count` axes in rows of `columns`; those below have the scale's numbers."""
    columns = min(columns, count)
    rows = -(-count // columns)
    every = figure.subplots(rows, columns, squeeze=False, **kwargs)
    flat = [axes for row in every for axes in row]
    for place, axes in enumerate(flat):
        axes.tick_params(labelbottom=True)
        if place >= count:
            axes.set_visible(False)
    return flat[:count]


def time_ticks(axis: Axis) -> None:
    """Of a logarithmic scale: times at the powers of ten, 10 ms, 100 ms."""
    axis.set_major_locator(LogLocator(numticks=6))
    axis.set_major_formatter(FuncFormatter(lambda value, _: _power(value)))
    axis.set_minor_locator(NullLocator())


def share_scale(axis: Axis) -> None:
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{100 * value:g} %"))


def _power(value: float) -> str:
    """A power of ten of seconds."""
    for unit, factor in (("s", 1.0), ("ms", 1e3), ("µs", 1e6)):
        if value * factor > 0.99:
            return f"{value * factor:,.0f} {unit}"
    return ""


def height_in(rows: int, each_in: float) -> float:
    """Of a figure with so many rows: bars or small multiples, and the scale below."""
    return 0.55 + rows * each_in


def wrapped(text: str, width: int = 34) -> str:
    """A long label in up to three lines, so that it leaves room for what it labels."""
    return "\n".join(textwrap.wrap(text, width, max_lines=3, placeholder=" …")) or text


def shortened(text: str, width: int = 48) -> str:
    """A long label on one line, without its middle: what tells labels apart is at the ends."""
    half = width // 2
    return text if len(text) <= width else f"{text[:half]} … {text[-half:]}"


def swatches(names: Sequence[str]) -> tuple[tuple[str, str], ...]:
    """The legend: (name, colour)."""
    return tuple((name, color(place)) for place, name in enumerate(names))
