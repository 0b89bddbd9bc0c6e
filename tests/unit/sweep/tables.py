"""Sweeps as tables, and what stands in for running them."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from byzsgd.errors import ConfigError
from byzsgd.experiment.config import Experiment
from byzsgd.experiment.progress import View
from byzsgd.experiment.record import Record, Run
from byzsgd.experiment.sweep.cells import load_sweep

BASE: dict[str, Any] = {
    "name": "swept",
    "seed": 7,
    "cluster": {"servers": 5, "workers": 4, "f_servers": 1, "f_workers": 1},
    "plan": {"steps": 20},
}
PLAIN = {
    "cluster.servers": 1,
    "cluster.f_servers": 0,
    "cluster.f_workers": 0,
    "aggregation.gradients": "average",
}
AXES = {
    "system": {"plain": PLAIN, "byzsgd": {}},
    "what": {"nothing": {}, "mute": {"byzantine.server-4": {"attack": "mute"}}},
}


def tables(axes: object = AXES, **more: Any) -> dict[str, Any]:
    return {**BASE, "sweep": {"repeat": 2, "axes": axes, **more}}


def complaint(given: dict[str, Any]) -> str:
    with pytest.raises(ConfigError) as caught:
        load_sweep(given)
    return str(caught.value)


class Launcher:
    """Stands in for `run_local`: what `then` says of an experiment happens instead."""

    def __init__(self) -> None:
        self.asked: list[Experiment] = []
        self.then: Callable[[Experiment], str] = lambda experiment: "finished"

    def __call__(
        self, experiment: Experiment, *, runs: Path, view: View, encryption: str = "curve"
    ) -> Run:
        self.asked.append(experiment)
        record = Record.begin(experiment, runs)
        try:
            status: Any = self.then(experiment)
        finally:
            record.close()
        return record.finish(
            status, accuracy=0.9, steps=20, diameter=0.0, seconds=2.0, encryption=encryption
        )

    def seeds(self) -> list[int]:
        """Of what was asked since the last time."""
        asked, self.asked = self.asked, []
        return [experiment.seed for experiment in asked]


def repeated(times: int = 3, **changes: Any) -> dict[str, Any]:
    return {**BASE, **changes, "sweep": {"repeat": times}}
