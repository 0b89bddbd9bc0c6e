"""What a liar trains models of its own with."""

from dataclasses import dataclass

from torch import Tensor

from byzsgd.errors import ConfigError
from byzsgd.training.flat import FlatModel
from byzsgd.training.task import Task


@dataclass(frozen=True)
class Lab:
    """A lying worker's task, the model `flat`, and the indices (s,) of its `shard` of examples.

    `params` (d,) is the model at which it computed its own gradient, `rate` the learning rate that
    servers apply in this step; `seed` is for what is drawn at random in it.
    """

    task: Task
    flat: FlatModel
    shard: Tensor
    params: Tensor
    rate: float
    seed: int = 0


class MissingLabError(ConfigError):
    """The attack's options are fine, but it trains a model and was given none."""
