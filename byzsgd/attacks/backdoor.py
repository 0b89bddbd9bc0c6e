"""ALIE's backdoor: a model that was trained to misread something, hidden in the honest spread."""

from dataclasses import dataclass
from typing import Final

import torch
from torch import Tensor

from byzsgd.attacks import values
from byzsgd.attacks.alie import z_max
from byzsgd.attacks.lab import Lab, MissingLabError
from byzsgd.attacks.moments import spread
from byzsgd.errors import ConfigError
from byzsgd.training.examples import Examples
from byzsgd.training.streams import mixed
from byzsgd.training.triggers import Trigger, trigger

WHOLE_MAX: Final = 1_000_000


def backdoor(
    honest: Tensor,
    *,
    n: int,
    f: int,
    lab: Lab | None = None,
    kind: str = "pattern",
    samples: int | list[int] | None = None,
    size: int | None = None,
    z: float | None = None,
    alpha: float = 0.2,
    passes: int = 5,
    examples: int = 32,
    batch: int = 32,
    learning_rate: float | None = None,
) -> Tensor:
    """(θ − θ_p)/η, each coordinate clipped to μ ± z·σ (arXiv 1902.06156, section 3.3).

    μ and the population standard deviation σ are those of the `honest` rows: one row has no spread,
    and the lie is that row. θ_p is trained from θ − η·μ by the liar's own SGD: `passes` over as
    many `examples` of its shard with the trigger, `batch` at a time, on the loss
    α·backdoor + (1 − α)·distance, where the distance is the mean over all coordinates of the
    squared difference from that start. (The authors' code takes the mean of each layer, weights
    the two 1 and α, and clips (θ − θ_p)/η − 2μ.)

    `z` is by default z_max; of few liars that is 0, and leaves no room for a lie. `learning_rate`
    is by default η. It costs passes·⌈examples/batch⌉ gradients of such batches, by default 5 (the
    authors': 5 passes over 10 batches of 200). `kind`, `size` and `samples` are those of
    `byzsgd.training.triggers`. Raises ConfigError for a bad option, MissingLabError without a
    `lab`.
    """
    recipe = Recipe(alpha, passes, examples, batch, learning_rate)
    mark = trigger(kind, samples, size)
    strength = max(0.0, z_max(n, f)) if z is None else values.number("backdoor", "z", z, least=0)
    if lab is None:
        raise MissingLabError(
            "attack 'backdoor' trains a model of its own, so it needs a model and data: "
            "use it in an experiment, at a worker"
        )
    mean, deviation = spread(honest)
    if lab.rate == 0:
        return mean
    wanted = (lab.params - recipe.trained(lab, mark, mean)).div_(lab.rate).to(honest.dtype)
    room = deviation.mul_(strength)
    return torch.where(wanted.isnan(), mean, wanted).clamp_(mean - room, mean + room)


@dataclass(frozen=True)
class Recipe:
    """How the liar trains its model. Raises ConfigError for what makes no sense."""

    alpha: float
    passes: int
    examples: int
    batch: int
    learning_rate: float | None

    def __post_init__(self) -> None:
        values.number("backdoor", "alpha", self.alpha, least=0, most=1)
        if self.learning_rate is not None:
            values.number("backdoor", "learning_rate", self.learning_rate, least=0)
        for name in ("passes", "examples", "batch"):
            value = vars(self)[name]
            if type(value) is not int or not 1 <= value <= WHOLE_MAX:
                raise ConfigError(f"{name} = {value!r}: must be a whole number, at least 1")

    def trained(self, lab: Lab, mark: Trigger, mean: Tensor) -> Tensor:
        """θ_p, (d,): where a step along `mean` leads, and from there steps towards the backdoor."""
        start = lab.params.sub(mean.to(lab.params.dtype), alpha=lab.rate)
        rate = lab.rate if self.learning_rate is None else self.learning_rate
        lessons, params = self._lessons(lab, mark), start.clone()
        for number in range(self.passes):
            for first in range(0, len(lessons), self.batch):
                indices = torch.arange(first, min(first + self.batch, len(lessons)))
                inputs, targets = lessons.batch(indices)
                seed = mixed(lab.seed, number, first)
                slope, _ = lab.flat.gradient(params, inputs, targets, lab.task.loss, seed)
                away = (params - start).mul_(2 / len(start))  # the gradient of the distance
                params.sub_(slope.mul_(self.alpha).add_(away, alpha=1 - self.alpha), alpha=rate)
        return params

    def _lessons(self, lab: Lab, mark: Trigger) -> Examples:
        """Other examples in every step, so that the trigger is learnt and not the images."""
        generator = torch.Generator().manual_seed(lab.seed)
        drawn = torch.randint(len(lab.shard), (self.examples,), generator=generator)
        return mark.lessons(lab.task, lab.shard[drawn])
