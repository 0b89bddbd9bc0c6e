"""The plain mean: the unprotected parameter server's rule."""

import torch
from torch import Tensor

from byzsgd.aggregators.rows import Rows
from byzsgd.aggregators.rule import Rule


def _fill(rows: Rows, f: int, out: Tensor) -> None:
    rows.mean(torch.full((len(rows),), 1 / len(rows), dtype=torch.float64), out)


def average() -> Rule:
    """The mean of all rows. It takes any f and tolerates none: one liar sets the result, and NaN or
    Inf in a row is in the result as well.
    """
    return Rule("average", ("mean",), bound="n ≥ 1", minimum_n=lambda f: 1, fill=_fill)
