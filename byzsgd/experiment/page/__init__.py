"""One self-contained HTML page of runs and sweeps, from their records and manifests alone.

    write_page([Path("runs/async-vs-sync")], Path("report.html"))

`gather` and `sample` turn records into plain data, `parts` says where a step's time went, each
`section_*` tells one thing with a figure and a table, and `render` puts them together. Equal
records give equal pages, byte by byte.
"""

import logging
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from byzsgd.errors import ConfigError

if TYPE_CHECKING:
    from byzsgd.experiment.page.gather import Gathered


def page(paths: Iterable[Path]) -> str:
    """The page of runs, sweeps' folders, and folders of either, as text.

    A damaged record is listed on it as broken, not raised.
    """
    return _page(paths)[0]


def write_page(paths: Iterable[Path], file: Path) -> "Gathered":
    """Write the page to `file`; returns what is on it.

    Raises `ConfigError` where `file` cannot be written.
    """
    from byzsgd.experiment.files import write_atomically

    text, gathered = _page(paths)
    try:
        write_atomically(file, text.encode())
    except OSError as error:
        raise ConfigError(f"{file}: cannot be written: {error.strerror}") from None
    return gathered


def _page(paths: Iterable[Path]) -> tuple[str, "Gathered"]:
    # Or it says on stderr that it makes a cache of fonts.
    logging.getLogger("matplotlib").setLevel(logging.ERROR)
    from byzsgd.experiment.page.gather import gather
    from byzsgd.experiment.page.render import render

    gathered = gather(paths)
    return render(gathered), gathered
