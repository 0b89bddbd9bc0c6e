"""Writing a run's directory: `runs/NAME/STAMP.pending` while it runs, `runs/NAME/STAMP` after it.

    record = Record.begin(experiment, Path("runs"))
    record.evaluation(step=10, accuracy=0.9, loss=0.3, diameter=0.01, models=4, seconds=1.5)
    run = record.finish("finished", accuracy=0.95, steps=300, diameter=0.01, seconds=9.0)

Nodes write their own files under `record.path`: see `byzsgd.experiment.files`.
"""

import os
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from byzsgd.errors import ConfigError
from byzsgd.experiment.config import Experiment
from byzsgd.experiment.environment import environment
from byzsgd.experiment.files import (
    PENDING,
    Lines,
    load_model,
    log_path,
    measures_path,
    model_path,
    read_lines,
    save_model,
    write_json,
)
from byzsgd.experiment.findings.find import find
from byzsgd.experiment.results import Run
from byzsgd.experiment.totals import false_rejections

__all__ = [
    "Lines",
    "Record",
    "Run",
    "Status",
    "load_model",
    "log_path",
    "measures_path",
    "model_path",
    "save_model",
]

Status = Literal["finished", "failed", "interrupted"]


class Record:
    """The one writer of a run's directory, apart from what nodes write about themselves."""

    def __init__(self, path: Path, experiment: Experiment) -> None:
        self.path = path
        self.experiment = experiment
        self._start = time.monotonic()
        self._backdoor: dict[str, float] = {}
        self._evaluations = Lines(path / "evaluations.jsonl")
        self._events = Lines(path / "events.jsonl")

    @classmethod
    def begin(cls, experiment: Experiment, runs: Path) -> "Record":
        """A new directory with the resolved experiment and what it runs on."""
        path = _new_directory(runs / experiment.name, experiment.digest)
        write_json(path / "experiment.json", experiment.to_dict())
        write_json(path / "environment.json", environment())
        for folder in ("nodes", "models", "logs"):
            (path / folder).mkdir()
        return cls(path, experiment)

    def evaluation(
        self,
        *,
        step: int,
        accuracy: float,
        loss: float,
        diameter: float,
        models: int,
        seconds: float,
        backdoor: float | None = None,
    ) -> None:
        """What the median of `models` honest servers' models of `step` is worth.

        They were all there `seconds` after training began. Where a liar plants one, `backdoor` is
        the share of inputs with its trigger that are misread as it wants.
        """
        self._backdoor = {} if backdoor is None else {"backdoor": backdoor}
        self._evaluations.write(
            step=step,
            accuracy=accuracy,
            loss=loss,
            diameter=diameter,
            models=models,
            seconds=seconds,
            **self._backdoor,
        )

    def event(self, event: str, at_s: float | None = None, **details: Any) -> None:
        """Something worth knowing later, such as a node that died.

        It happened at `at_s` of a virtual time, or else just now: then with the time since `begin`.
        """
        now = time.monotonic() - self._start if at_s is None else at_s
        self._events.write(seconds=round(now, 6), event=event, **details)

    def finish(
        self,
        status: Status,
        *,
        accuracy: float,
        steps: int,
        diameter: float,
        seconds: float,
        warnings: tuple[str, ...] = (),
        **more: Any,
    ) -> Run:
        """Write the result and give the directory its final name. Nobody may write to it after."""
        self.close()
        found = find(self.path, self.experiment, ended=status == "finished")
        write_json(
            self.path / "result.json",
            {
                "status": status,
                "accuracy": accuracy,
                "steps": steps,
                "diameter": diameter,
                **self._backdoor,
                "seconds": seconds,
                "steps_per_second": steps / seconds if seconds > 0 else None,
                "warnings": [*self.experiment.warnings, *warnings, *found],
                "digest": self.experiment.digest,
                **self._judged(),
                **more,
            },
        )
        os.rename(self.path, self.final_path)
        self.path = self.final_path
        return Run.open(self.path)

    def _judged(self) -> dict[str, Any]:
        """Of a synchronous run how often honest servers were not believed, where it is known."""
        if self.experiment.plan.mode == "async":
            return {}
        events = read_lines(self.path / "events.jsonl")
        rejected, judged = false_rejections(events, self.experiment.honest_servers)
        return {"false_rejections": {"rejected": rejected, "judged": judged}}

    @property
    def final_path(self) -> Path:
        """What the directory is called once the run has ended."""
        return self.path.with_name(self.path.name.removesuffix(PENDING))

    def close(self) -> None:
        """Close the files. A record that is closed and not finished stays pending."""
        self._evaluations.close()
        self._events.close()


def _new_directory(parent: Path, digest: str) -> Path:
    while True:
        stamp = f"{datetime.now(UTC):%Y%m%dT%H%M%S.%fZ}-{digest[:6]}"
        path = parent / f"{stamp}{PENDING}"
        try:
            path.mkdir(parents=True)
        except FileExistsError:
            if not path.is_dir():
                raise ConfigError(f"{path}: cannot be made: {parent} is no directory") from None
            continue  # another run began in the same microsecond
        except OSError as error:
            raise ConfigError(f"{path}: cannot be made: {error.strerror}") from None
        if not (parent / stamp).exists():
            return path
        path.rmdir()
