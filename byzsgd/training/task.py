"""What is learned: a model, a loss and the data.

An own task is a function somewhere that Python can import; `load_task("my_file:mine")` finds it.
It runs once in every process, so whatever it draws at random must come from a fixed seed:

    def mine():
        x = torch.randn(500, 20, generator=torch.Generator().manual_seed(1))
        y = (x.sum(dim=1) > 0).long()
        return Task(
            name="mine",
            model=lambda: nn.Linear(20, 2),
            loss=nn.functional.cross_entropy,
            training=Examples(x[:400], y[:400]),
            test=Examples(x[400:], y[400:]),
        )
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from byzsgd.errors import ConfigError, unknown_name
from byzsgd.training.datasets import DATASETS, data_directory
from byzsgd.training.examples import Examples
from byzsgd.training.flat import Loss, flat_model
from byzsgd.training.models import model_builder
from byzsgd.training.named import is_path, load_object

Metric = Callable[[Tensor, Tensor], float]


def accuracy(outputs: Tensor, targets: Tensor) -> float:
    """The share of rows of `outputs` (N, classes) that are largest at their target (N,)."""
    return float((outputs.argmax(dim=1) == targets).float().mean())


@dataclass(frozen=True)
class Task:
    """A model to build, its loss, and examples to train and to test it on.

    `loss` and `metric` take (outputs, targets) and return the mean over the batch. Building the
    model may draw from torch's global random state: `initial` seeds it.
    """

    name: str
    model: Callable[[], nn.Module]
    loss: Loss
    training: Examples
    test: Examples
    metric: Metric = accuracy


def load_task(name: str, *, model: str | None = None, data_dir: Path | None = None) -> Task:
    """The task called `name`, one of TASKS or `package.module:function` that returns a Task.

    `model` replaces the task's own: one of MODELS, or `package.module:function` that takes
    nothing or (input_shape, classes). Data are looked for in `data_dir`, else in the folder that
    the environment's BYZSGD_DATA names, else in ./data.

    Raises ConfigError for unknown names, missing or damaged data, and a model that cannot take
    one step on this data.
    """
    if is_path(name):
        task = _own(name)
    elif name in TASKS:
        task = TASKS[name](data_directory(data_dir))
    else:
        raise unknown_name("task", name, [*TASKS, "package.module:function"])
    if model is not None:
        task = replace(task, model=model_builder(model, task.training.shape, _classes(task)))
    _try_one_step(task)
    return task


def classes_of(task: Task, why: str) -> int:
    """How many classes there are: one more than the largest target of training and test.

    Raises ConfigError, naming `why` it was asked, where targets are not (N,) whole numbers ≥ 0.
    """
    for targets in (task.training.targets, task.test.targets):
        whole = not (targets.is_floating_point() or targets.dtype == torch.bool)
        if targets.dim() != 1 or not whole or int(targets.min()) < 0:
            raise ConfigError(
                f"{why} needs a task whose targets are classes, whole numbers ≥ 0 of shape (N,); "
                f"those of {task.name!r} are {targets.dtype} of shape {tuple(targets.shape)}"
            )
    return _classes(task)


def _image_task(name: str, model: str, directory: Path) -> Task:
    training, test = DATASETS[name](directory)
    build = model_builder(model, training.shape, classes=10)
    return Task(name, build, cross_entropy, training, test)


TASKS: dict[str, Callable[[Path], Task]] = {
    "digits": partial(_image_task, "digits", "mlp"),
    "mnist": partial(_image_task, "mnist", "mlp"),
    "fashion_mnist": partial(_image_task, "fashion_mnist", "mlp"),
    "cifar10": partial(_image_task, "cifar10", "cnn"),
}


def _own(name: str) -> Task:
    function = load_object("task", name)
    try:
        task = function()
    except Exception as error:
        raise ConfigError(f"task {name!r} raised {type(error).__name__}: {error}") from error
    if not isinstance(task, Task):
        raise ConfigError(
            f"task {name!r} returned {type(task).__name__}, not a byzsgd.training.task.Task"
        )
    return task


def _classes(task: Task) -> int:
    return int(max(task.training.targets.max(), task.test.targets.max())) + 1


def _try_one_step(task: Task) -> None:
    """A model that does not fit its data is found here, not in twelve processes later."""
    try:
        flat = flat_model(task.model)
        inputs, targets = task.training.batch(torch.arange(min(2, len(task.training))))
        flat.gradient(flat.vector(), inputs, targets, task.loss, seed=0)
        task.metric(flat.module_at(flat.vector())(inputs), targets)
    except ConfigError:
        raise
    except Exception as error:
        raise ConfigError(
            f"the model of task {task.name!r} cannot take a step on inputs of shape "
            f"{task.training.shape}: {type(error).__name__}: {error}"
        ) from error
