"""Which examples a worker looks at in a step."""

import torch
from torch import Tensor

from byzsgd.training.streams import Purpose, stream


def batch_indices(seed: int, worker: int, step: int, size: int, batch: int) -> Tensor:
    """(batch,) int64 indices into `size` examples: independent, uniform, with replacement.

    The theory assumes gradients of independent samples (arXiv 1905.03853), hence no
    epochs. A pure function of its arguments: a restarted worker repeats the batch of any step,
    and no worker needs to remember a position.
    """
    assert min(size, batch) > 0, (size, batch)
    drawn = stream(seed, Purpose.BATCH, worker, step).integers(0, size, batch)
    return torch.from_numpy(drawn)
