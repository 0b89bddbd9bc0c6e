"""How good a model is on the test examples; outside every timed path."""

import torch
from torch import Tensor

from byzsgd.training.examples import Examples
from byzsgd.training.flat import FlatModel
from byzsgd.training.task import Task, accuracy

BATCH = 500


def evaluate(task: Task, flat: FlatModel, params: Tensor) -> tuple[float, float]:
    """(metric, loss) of the (d,) `params` over all test examples, each counted once."""
    module = flat.module_at(params)
    metric = loss = 0.0
    with torch.no_grad():
        for start in range(0, len(task.test), BATCH):
            indices = torch.arange(start, min(start + BATCH, len(task.test)))
            inputs, targets = task.test.batch(indices)
            outputs = module(inputs)
            metric += len(indices) * float(task.metric(outputs, targets))
            loss += len(indices) * float(task.loss(outputs, targets))
    return metric / len(task.test), loss / len(task.test)


def success(flat: FlatModel, params: Tensor, exam: Examples) -> float:
    """The share of `exam` that the model of the (d,) `params` takes for what its targets say."""
    module, hits = flat.module_at(params), 0.0
    with torch.no_grad():
        for start in range(0, len(exam), BATCH):
            indices = torch.arange(start, min(start + BATCH, len(exam)))
            inputs, targets = exam.batch(indices)
            hits += len(indices) * accuracy(module(inputs), targets)
    return hits / len(exam)
