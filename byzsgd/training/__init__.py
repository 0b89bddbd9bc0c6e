"""What a worker computes with: a task (model, loss, data) and all on the way to a gradient."""

from byzsgd.training.examples import Examples
from byzsgd.training.models import MODELS
from byzsgd.training.task import TASKS, Task, accuracy, load_task

__all__ = ["MODELS", "TASKS", "Examples", "Task", "accuracy", "load_task"]
