"""Attacks on data: a worker that computes an honest gradient of examples which are not.

Each takes inputs (B, …), targets (B,) and how many classes there are, and returns the inputs and
targets to compute with. Nothing given is changed.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor

from byzsgd.attacks.attack import Attack
from byzsgd.attacks.window import ALWAYS, Window


def label_flip(inputs: Tensor, targets: Tensor, classes: int) -> tuple[Tensor, Tensor]:
    """ℓ → classes − 1 − ℓ (SafeguardSGD, arXiv 2012.14368, section 5: 9 − ℓ of ten classes)."""
    return inputs, classes - 1 - targets


@dataclass(frozen=True)
class Poison:
    """What a liar does to its batches in its `window`; `classes` is how many its task has."""

    attack: Attack
    classes: int
    options: Mapping[str, Any] = field(default_factory=dict)
    window: Window = ALWAYS

    def __call__(self, inputs: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        return self.attack.poisoned(inputs, targets, self.classes, self.options)

    def changed(self, inputs: Tensor, targets: Tensor) -> int:
        """How many of these examples are not what they were, once poisoned."""
        poisoned = self(inputs, targets)
        pairs = zip((inputs, targets), poisoned, strict=True)
        differ = [(old != new).reshape(len(old), -1).any(dim=1) for old, new in pairs]
        return int((differ[0] | differ[1]).sum())
