"""Rules that look at one coordinate at a time: a program, run by a kernel or else by torch.

NaN counts as +Inf. Whether there is any is not looked for value by value: a sum that is finite has
finite terms only. Rows are counted, and overflown means done again, only where that leaves doubt.
"""

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from byzsgd.aggregators import compiled
from byzsgd.aggregators.inputs import check_finite
from byzsgd.aggregators.networks import Program
from byzsgd.aggregators.registers import Registers
from byzsgd.aggregators.rows import Rows

if TYPE_CHECKING:
    from byzsgd.aggregators.vector_code import Doubts

MOST_ROWS = 128
"""Of more rows no kernel is compiled: that takes some seconds, and gains little over torch."""
LEAST_WIDTH = 16
"""Coordinates that a kernel needs at least: those of one vector register."""
WIDTH = 32_768
"""Long enough to hide what a call costs, short enough for rows and scratch to stay in cache."""


def fill(name: str, program: Program, rows: Rows, f: int, out: Tensor) -> None:
    """Fill (d,) `out` with the result of the rule's program on `rows`, of which f may be lies.

    Raises `AggregationError` if more than f rows are non-finite.
    """
    if aggregate(program, rows, out):
        check_finite(name, rows, f)


def aggregate(program: Program, rows: Rows, out: Tensor) -> bool:
    """Fill (d,) `out` with the program's result; return whether a row may have been non-finite.

    Results of float16 and bfloat16 are computed in float32 and rounded once.
    """
    machine = _Machine(program)
    if rows.mix is None and rows.store.is_contiguous() and machine.compiles(rows.store):
        return machine.whole(rows.store, rows.order, out)
    doubtful = False
    for block, columns in rows.blocks(WIDTH):
        doubtful |= machine.block(columns, out[block])
    return doubtful


class _Machine:
    """Runs one program: on all rows at once by a kernel, or on one block after the other."""

    def __init__(self, program: Program) -> None:
        self.program = program
        self.registers = Registers(program)

    def compiles(self, vectors: Tensor) -> bool:
        fits = self.program.inputs <= MOST_ROWS and vectors.shape[1] >= LEAST_WIDTH
        return fits and compiled.compiles(vectors)

    def whole(self, store: Tensor, order: Sequence[int], out: Tensor) -> bool:
        doubts = self._sweep(store, order, out)
        for number in doubts.results():
            block = slice(number * WIDTH, (number + 1) * WIDTH)
            self._by_parts(store[list(order), block], out[block])
        return doubts.any()

    def block(self, columns: Tensor, out: Tensor) -> bool:
        exact = columns.to(torch.promote_types(columns.dtype, torch.float32))
        result = out if out.dtype == exact.dtype else exact.new_empty(len(out))
        doubtful, overflown = self._attempt(exact, result)
        if overflown:
            self._by_parts(exact, result)
        if result is not out:
            out.copy_(result)
        return doubtful

    def _attempt(self, columns: Tensor, out: Tensor) -> tuple[bool, bool]:
        """Fill `out`; whether anything may be non-finite, and whether results may be."""
        if self.compiles(columns):
            doubts = self._sweep(columns.contiguous(), range(len(columns)), out)
            return doubts.any(), bool(doubts.results())
        doubtful = not math.isfinite(float(columns.sum()))
        if doubtful:
            columns = columns.nan_to_num(nan=math.inf, posinf=math.inf, neginf=-math.inf)
        self.registers.run(columns, out)
        overflown = not math.isfinite(float(out.sum()))
        return doubtful or overflown, overflown

    def _by_parts(self, columns: Tensor, out: Tensor) -> None:
        """Fill in what is not finite in `out`: finite values that add up to infinity do not as
        parts. By a power of two: exact but for numbers next to zero, lost beside huge ones anyway.
        """
        scale = 2.0 ** len(columns).bit_length()
        parts = torch.empty_like(out)
        self._attempt(columns / scale, parts)
        out.copy_(torch.where(out.isfinite(), out, parts * scale))

    def _sweep(self, store: Tensor, order: Sequence[int], out: Tensor) -> "Doubts":
        from byzsgd.aggregators.vector_code import sweep

        return sweep(self.program, store.numpy(), order, out.numpy(), WIDTH)
