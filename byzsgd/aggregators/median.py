"""The coordinate-wise median: what replicas contract their models with (DMC)."""

import math

import torch
from torch import Tensor

from byzsgd.aggregators.blocks import blocks, widest
from byzsgd.aggregators.networks import Program, median_program
from byzsgd.aggregators.rule import Rule

WIDTH = 32_768
"""Long enough to hide what a call costs, short enough for rows and scratch to stay in cache."""


def _fill(vectors: Tensor, f: int, out: Tensor) -> None:
    program = median_program(len(vectors))
    scratch = vectors.new_empty(program.scratch, widest(vectors, WIDTH))
    clean: Tensor | None = None
    for block in blocks(vectors, WIDTH):
        columns, target = vectors[:, block], out[block]
        work = scratch[:, : target.numel()]
        if clean is None:
            _run(program, columns, work, target)
            if not _has_nan(target):
                continue
            # Where one NaN was, more will be: from here on look for them first, instead of after.
            clean = vectors.new_empty(len(vectors), scratch.shape[1])
        tidy = clean[:, : target.numel()]
        torch.nan_to_num(columns, nan=math.inf, posinf=math.inf, neginf=-math.inf, out=tidy)
        _run(program, tidy, work, target)


def _has_nan(target: Tensor) -> bool:
    """Whether any input of the network was NaN, read off its output.

    min and max pass NaN on, and a median depends on each of its inputs, so there is a path of min
    and max from every input to the output: one NaN among the inputs is a NaN in the output, and
    one NaN in the output makes its sum NaN. The reverse need not hold and costs only time.
    """
    return math.isnan(float(target.sum()))


def _run(program: Program, columns: Tensor, scratch: Tensor, target: Tensor) -> None:
    registers = [*columns.unbind(), *scratch.unbind()]
    for maximum, left, right, result in program.steps:
        best = torch.maximum if maximum else torch.minimum
        best(registers[left], registers[right], out=registers[result])
    if len(program.outputs) == 1:
        target.copy_(registers[program.outputs[0]])
    else:
        low, high = (registers[output] for output in program.outputs)
        torch.mul(low, 0.5, out=target)  # halves first: the sum of two large values overflows
        target.add_(high, alpha=0.5)


MEDIAN = Rule(
    name="median",
    aliases=("cwmed",),
    bound="n ≥ 2f+1",
    minimum_n=lambda f: 2 * f + 1,
    fill=_fill,
)
"""Per coordinate the middle value, of an even number the mean of the two middle ones (a one-sided
choice would drift). NaN counts as +Inf, so that it is sorted last; each coordinate of the result
lies within the range of the honest values (El-Mhamdi et al., arXiv 1905.03853, DMC)."""
