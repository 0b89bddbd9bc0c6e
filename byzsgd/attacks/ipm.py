"""Inner-product manipulation: a lie that points against the honest mean."""

import torch
from torch import Tensor

from byzsgd.attacks.attack import Setting
from byzsgd.attacks.geometry import Line
from byzsgd.attacks.strength import strongest
from byzsgd.attacks.values import strength

EPSILON = 0.1


def ipm(
    honest: Tensor,
    *,
    setting: Setting,
    epsilon: float | str = EPSILON,
) -> Tensor:
    """−ε times the mean of the honest rows (Xie, Koyejo and Gupta, "Fall of Empires", arXiv
    1903.03936, section 4).

    A plain mean changes sign iff ε > (n − f)/f. A small ε beats Krum and the median, a large one
    does not: `"auto"` finds the one that moves the aggregate farthest, and is 0.1 where the rule is
    not known or cannot be played through.
    """
    given, mean = strength("ipm", "epsilon", epsilon), honest.mean(0)
    if given is None:
        line, defence = Line(mean.neg(), base=torch.zeros_like(mean)), setting.defence(honest)
        given = strongest(honest, mean, line, defence, default=EPSILON, usual=0.5)
    return mean.mul_(-given)
