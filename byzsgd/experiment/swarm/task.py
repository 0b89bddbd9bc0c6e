"""Something small to learn, so that a world costs its events and not its gradients."""

import torch
from torch import nn

from byzsgd.training import Examples, Task

NAME = f"{__name__}:three_groups"
FEATURES, GROUPS, EXAMPLES = 3, 3, 96


def three_groups() -> Task:
    """Three noisy groups of points, d = 12."""
    generator = torch.Generator().manual_seed(1)
    targets = torch.arange(EXAMPLES) % GROUPS
    centres = 2 * torch.randn(GROUPS, FEATURES, generator=generator)
    inputs = centres[targets] + torch.randn(EXAMPLES, FEATURES, generator=generator)
    examples = Examples(inputs, targets)
    return Task(
        "three_groups",
        lambda: nn.Linear(FEATURES, GROUPS),
        nn.functional.cross_entropy,
        examples,
        examples,
    )
