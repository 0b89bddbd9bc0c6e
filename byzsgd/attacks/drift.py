"""A lie that begins as the truth and moves away from it so slowly that no single step shows it."""

from typing import Final

import torch
from torch import Tensor

from byzsgd.attacks import values
from byzsgd.attacks.noise import normal

TOWARD: Final = ("aside", "back")


def drift(
    honest: Tensor, *, step: int, run_seed: int, speed: float = 0.01, toward: str = "aside"
) -> Tensor:
    """The liar's own vector g and an error of length `speed` · `step` · ‖g‖.

    With `toward` "aside" the error is along one random direction, the same for all liars at all
    steps of a run; with "back" along −g, so that after 1/`speed` steps nothing is left of g, and
    then it points back. The length grows from step 0 on, whenever the liar begins to lie. What it
    is to be hidden in are the differences of honest vectors: of gradients about ‖g‖, which the
    default reaches after 100 steps, of models some hundred times less.
    """
    values.number("drift", "speed", speed, least=0)
    values.one_of("drift", "toward", toward, TOWARD)
    own, length = honest[0], speed * step
    if toward == "back":
        return own * (1 - length)
    direction = normal(own, run_seed)
    norm = torch.linalg.vector_norm
    scale = length * float(norm(own)) / float(norm(direction))
    return own + direction.mul_(scale).to(own.dtype)
