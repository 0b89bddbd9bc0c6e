"""Random directions that follow from a seed."""

import torch
from torch import Tensor


def normal(like: Tensor, seed: int) -> Tensor:
    """N(0, 1) in each of as many coordinates as the row `like` (d,) has, float32, on its device."""
    generator = torch.Generator(device=like.device).manual_seed(seed)
    return torch.randn(like.shape, generator=generator, dtype=torch.float32, device=like.device)
