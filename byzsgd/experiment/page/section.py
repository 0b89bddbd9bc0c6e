"""What a page is made of."""

from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup


@dataclass(frozen=True)
class Table:
    """The first `words` columns are text, to the left; the others are figures, to the right."""

    head: Sequence[str]
    rows: Sequence[Sequence[str]]
    words: int = 1


@dataclass(frozen=True)
class Shown:
    """A figure or a table, or both: then the table is folded away beneath."""

    caption: str
    svg: Markup | None = None
    table: Table | None = None
    legend: Sequence[tuple[str, str]] = ()


@dataclass(frozen=True)
class Section:
    title: str
    shown: Sequence[Shown]
