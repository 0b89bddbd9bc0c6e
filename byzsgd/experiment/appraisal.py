"""How good the honest servers' models are, and how far a backdoor in them has come."""

from torch import Tensor

from byzsgd.aggregators import AggregationError, aggregate, pairwise_squared
from byzsgd.experiment.config import Experiment
from byzsgd.experiment.poisons import exams_of
from byzsgd.training.evaluate import evaluate, success
from byzsgd.training.flat import FlatModel
from byzsgd.training.task import Task


class Appraisal:
    """Of the median of some models (k, d): accuracy and loss; of all of them the diameter.

    Where a liar plants a backdoor, `backdoor` is its success, of several the greatest. Raises
    `ConfigError` for a task that has no such backdoor.
    """

    def __init__(self, experiment: Experiment, task: Task, flat: FlatModel) -> None:
        self._task, self._flat = task, flat
        self._exams = exams_of(experiment, task)

    def __call__(self, models: Tensor) -> dict[str, float]:
        params = _median(models)
        accuracy, loss = evaluate(self._task, self._flat, params)
        diameter = float(pairwise_squared(models).max().sqrt())
        figures = {"accuracy": accuracy, "loss": loss, "diameter": diameter}
        successes = [success(self._flat, params, exam) for exam in self._exams]
        return figures | ({"backdoor": max(successes)} if successes else {})


def _median(models: Tensor) -> Tensor:
    """Not finite where an honest model is not: a system that is broken is to be seen as such."""
    try:
        return aggregate("median", models)
    except AggregationError:
        return models.median(dim=0).values
