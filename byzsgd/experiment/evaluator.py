"""A process of its own that says how good the replicas' models are, outside every timed path."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import torch

from byzsgd.experiment.appraisal import Appraisal
from byzsgd.experiment.channel import Channel
from byzsgd.experiment.config import Experiment
from byzsgd.experiment.files import load_model
from byzsgd.training.flat import flat_model
from byzsgd.training.task import load_task

LEAST_URGENT: Final = 19
"""Or it would take a processor from nodes whose steps are timed."""


def evaluator(experiment: Experiment, channel: Channel) -> None:
    """Answer the launcher's questions until there are no more."""
    torch.set_num_threads(1)
    os.nice(LEAST_URGENT)
    task = load_task(experiment.training.task, model=experiment.training.model)
    flat = flat_model(task.model, experiment.seed)
    appraisal = Appraisal(experiment, task, flat)
    channel.say("listening", endpoints={}, dimension=flat.dimension)
    while (word := channel.hear()) and word["kind"] != "stop":
        if word["kind"] == "evaluate":
            models = _models(word["files"])
            channel.say("evaluated", step=word["step"], models=len(models), **appraisal(models))


def _models(files: Sequence[str]) -> torch.Tensor:
    return torch.stack([load_model(Path(file)) for file in files])
