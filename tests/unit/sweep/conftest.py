"""Sweeps whose experiments nobody runs."""

import pytest

from byzsgd.experiment import local
from tests.unit.sweep.tables import Launcher


@pytest.fixture
def launcher(monkeypatch: pytest.MonkeyPatch) -> Launcher:
    stand_in = Launcher()
    monkeypatch.setattr(local, "run_local", stand_in)
    return stand_in
