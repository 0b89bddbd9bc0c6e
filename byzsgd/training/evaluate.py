"""How good a model is on the test examples; outside every timed path."""

import torch
from torch import Tensor

from byzsgd.training.flat import FlatModel
from byzsgd.training.task import Task

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
