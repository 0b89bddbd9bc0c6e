"""Reading what a run has left behind. Reports read this, and nothing else."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

from byzsgd.cluster import NodeId
from byzsgd.errors import ConfigError
from byzsgd.experiment.config import Experiment, load
from byzsgd.experiment.files import (
    ASSUMPTIONS,
    PENDING,
    POTENCY,
    SUSPICION,
    load_model,
    measures_path,
    model_path,
    read_json,
    read_lines,
    read_optional,
    saved_steps,
)
from byzsgd.experiment.speed import first_reached, step_s

if TYPE_CHECKING:
    from torch import Tensor, nn


@dataclass(frozen=True)
class Run:
    """The record of a run, finished or not.

    Of a run that has not ended, or was cut off, `status` is "pending" and the figures are those of
    its last evaluation. A figure that is not known, or was not finite, is NaN.
    """

    path: Path

    @classmethod
    def open(cls, path: str | PathLike[str]) -> "Run":
        """Raises `ConfigError` when there is no run, or a broken one."""
        run = cls(Path(path))
        if not run.path.is_dir():
            raise ConfigError(f"{run.path}: there is no such run{_pending_hint(run.path)}")
        if not (run.path / "experiment.json").is_file():
            raise ConfigError(f"{run.path}: is no run, it has no experiment.json")
        if not run.pending and not (run.path / "result.json").is_file():
            raise ConfigError(f"{run.path}: is broken, it ended without a result.json")
        _ = run.name, run.result, run.evaluations  # whatever is damaged is found here
        return run

    @property
    def pending(self) -> bool:
        return self.path.name.endswith(PENDING)

    @property
    def status(self) -> str:
        return str(self.result.get("status", "pending"))

    @property
    def accuracy(self) -> float:
        """On the test examples, of the median of the honest servers' models."""
        return _number(self._last, "accuracy")

    @property
    def steps(self) -> int:
        steps = self._last.get("steps", self._last.get("step", 0))
        return steps if isinstance(steps, int) else 0

    @property
    def diameter(self) -> float:
        """The largest distance between two honest servers' models, last measured."""
        return _number(self._last, "diameter")

    @property
    def backdoor(self) -> float:
        """The share of inputs with a liar's trigger that are misread as it wants, last measured.

        NaN where no liar plants a backdoor.
        """
        return _number(self._last, "backdoor")

    @property
    def seconds(self) -> float:
        return _number(self._last, "seconds")

    @property
    def steps_per_second(self) -> float:
        return _number(self._last, "steps_per_second")

    @cached_property
    def step_s(self) -> float:
        """How long a step took in the median honest server, without start-up and stragglers.

        `seconds` ends with the last honest node, this does not. Where servers measured nothing it
        is `seconds` divided by `steps`.
        """
        paced = step_s(self.measures(node) for node in self.experiment.honest_servers)
        mean = self.seconds / self.steps if self.steps else math.nan
        return mean if math.isnan(paced) else paced

    def reached(self, accuracy: float) -> float | None:
        """When an evaluation first had this accuracy, in seconds; None if none ever had."""
        return first_reached(self.evaluations, accuracy)

    @property
    def warnings(self) -> tuple[str, ...]:
        return tuple(str(warning) for warning in self.result.get("warnings", ()))

    @property
    def name(self) -> str:
        return str(self._tables.get("name", "?"))

    @property
    def digest(self) -> str:
        """Of a simulated run a hash of every event and of the final models.

        Equal runs have equal ones, on one machine. Of a real run, which nobody can repeat event by
        event, it is the experiment's.
        """
        return str(self.result.get("history", self.experiment_digest))

    @cached_property
    def experiment_digest(self) -> str:
        """As it was recorded; of a pending run it is in the directory's name."""
        recorded = self.path.name.removesuffix(PENDING).rpartition("-")[2]
        return str(self.result.get("digest", recorded))

    @property
    def simulated(self) -> bool:
        """Whether its seconds are those of a virtual time."""
        return "history" in self.result

    @cached_property
    def result(self) -> dict[str, Any]:
        """`result.json`, empty while the run is pending."""
        path = self.path / "result.json"
        return read_json(path) if path.exists() else {}

    @cached_property
    def experiment(self) -> Experiment:
        return load(self.path / "experiment.json")

    @cached_property
    def evaluations(self) -> list[dict[str, Any]]:
        return read_lines(self.path / "evaluations.jsonl")

    @cached_property
    def events(self) -> list[dict[str, Any]]:
        return read_lines(self.path / "events.jsonl")

    @cached_property
    def assumptions(self) -> dict[str, Any]:
        """Whether those of the rule's theorem were met; see `findings.assumptions`.

        This and the next two are empty where the record holds none of it.
        """
        return read_optional(self.path / ASSUMPTIONS)

    @cached_property
    def potency(self) -> list[dict[str, Any]]:
        """What each liar achieved; see `byzsgd.experiment.findings.potency`."""
        return list(read_optional(self.path / POTENCY).get("liars", []))

    @cached_property
    def suspicion(self) -> list[dict[str, Any]]:
        """What honest nodes hold against each, the most suspicious first."""
        return list(read_optional(self.path / SUSPICION).get("nodes", []))

    def measures(self, node: NodeId | str) -> list[dict[str, Any]]:
        """What a node measured, step by step."""
        return read_lines(measures_path(self.path, node))

    def shortfalls(self) -> list[str]:
        """Why the run is no success, in words: empty if it ended and all that is expected holds."""
        steps, expected = self.experiment.plan.steps, self.experiment.expect.accuracy
        if self.status != "finished" or self.steps < steps:
            why = f": {self.result['message']}" if self.simulated and self.result["message"] else ""
            return [f"{self.status} at step {self.steps} of {steps}{why}"]
        if expected is not None and not self.accuracy >= expected:
            return [f"accuracy {self.accuracy:.4f} is below the expected {expected:g}"]
        return []

    def model(self) -> "nn.Module":
        """A module with the coordinate-wise median of the honest servers' last models.

        One server's model is not trusted: it takes 2 f_servers + 1, of the last step that so many
        have saved. Raises `ConfigError` when there are fewer.
        """
        from byzsgd.aggregators import aggregate
        from byzsgd.training import load_task
        from byzsgd.training.flat import flat_model

        training, f = self.experiment.training, self.experiment.cluster.f_servers
        params = aggregate("median", self._last_models(2 * f + 1), f)
        return flat_model(load_task(training.task, model=training.model).model).module_at(params)

    def _last_models(self, least: int) -> "Tensor":
        import torch

        steps = {
            server: saved_steps(self.path, server) for server in self.experiment.honest_servers
        }
        for step in sorted({step for saved in steps.values() for step in saved}, reverse=True):
            holders = [server for server, saved in steps.items() if step in saved]
            if len(holders) >= least:
                paths = [model_path(self.path, server, step) for server in holders]
                return torch.stack([load_model(path) for path in paths])
        raise ConfigError(
            f"{self.path}: no step of which {least} honest servers have saved a model "
            f"(2 f_servers + 1 are needed)"
        )

    @cached_property
    def _tables(self) -> dict[str, Any]:
        """`experiment.json` as it stands, read without torch."""
        return read_json(self.path / "experiment.json")

    @property
    def _last(self) -> Mapping[str, Any]:
        return self.result or (self.evaluations[-1] if self.evaluations else {})


def _number(values: Mapping[str, Any], key: str) -> float:
    value = values.get(key)
    return float(value) if isinstance(value, int | float) else math.nan


def _pending_hint(path: Path) -> str:
    pending = path.with_name(path.name + PENDING)
    return f"; it has not ended: {pending}" if pending.is_dir() else ""
