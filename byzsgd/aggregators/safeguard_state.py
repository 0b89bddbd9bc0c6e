"""What SafeguardSGD remembers: a value that goes into each step and comes out of it."""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class State:
    """Before `step`: which of the m senders are good, and their (m, d) sums of each window.

    `present` counts for each window in how many of its steps each has sent. `scales`, one for each
    window, are what the warm-up has seen. Tensors in it are never written to: keep as many states
    as you like.
    """

    step: int
    good: tuple[bool, ...]
    sums: tuple[Tensor, ...]
    present: tuple[tuple[int, ...], ...]
    scales: tuple[float, ...]

    @property
    def excluded(self) -> tuple[int, ...]:
        return tuple(sender for sender, fine in enumerate(self.good) if not fine)

    def tensors(self) -> dict[str, Tensor]:
        """All of it by names, as a checkpoint keeps it; nothing is copied."""
        sums = {f"sums{window}": total for window, total in enumerate(self.sums)}
        return {
            "step": torch.tensor(self.step),
            "good": torch.tensor(self.good),
            "present": torch.tensor(self.present),
            "scales": torch.tensor(self.scales, dtype=torch.float64),
            **sums,
        }

    @classmethod
    def of(cls, tensors: Mapping[str, Tensor]) -> "State":
        """Of `tensors` the state again, to the bit."""
        scales = tuple(tensors["scales"].tolist())
        return cls(
            int(tensors["step"]),
            tuple(tensors["good"].tolist()),
            tuple(tensors[f"sums{window}"] for window in range(len(scales))),
            tuple(map(tuple, tensors["present"].tolist())),
            scales,
        )
