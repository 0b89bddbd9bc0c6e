"""A sweep that was run and simulated, a run to spoil, and figures that cost nothing."""

from collections.abc import Iterator
from pathlib import Path
from typing import TextIO
from unittest.mock import patch

import pytest
from matplotlib.figure import Figure

from tests.unit.page.records import experiment, record, sweep


@pytest.fixture(scope="session")
def swept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    runs = tmp_path_factory.mktemp("runs")
    sweep(runs)
    return sweep(runs, simulated=True, slower=1.1)


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run whose files a test may spoil."""
    return record(tmp_path_factory.mktemp("sound"), experiment())


@pytest.fixture
def undrawn() -> Iterator[None]:
    """For tests that look at no figure: rendering takes most of the time."""

    def empty(figure: Figure, file: TextIO, **_: object) -> None:
        file.write('<svg viewBox="0 0 1 1"></svg>')

    with patch.object(Figure, "savefig", empty):
        yield
