"""Programs run by torch, operation by operation: wherever there are no kernels."""

from collections.abc import Callable
from functools import cache
from typing import NamedTuple

import torch
from torch import Tensor

from byzsgd.aggregators.networks import Operation, Program, Step


class Plan(NamedTuple):
    """A program's steps over registers: first its inputs, never written, then scratch."""

    scratch: int
    steps: tuple[tuple[Step, int], ...]
    """Operands are registers, and so is the number beside each step: where its value goes."""
    result: int


class Registers:
    """What runs one program, on block after block in the same scratch: fresh pages cost more."""

    def __init__(self, program: Program) -> None:
        self.plan = plan(program)
        self._scratch: Tensor | None = None

    def run(self, columns: Tensor, out: Tensor) -> None:
        """Fill (width,) `out` with the result on (n, width) `columns`, all of one type."""
        registers = [*columns.unbind(), *self._scratch_like(columns).unbind()]
        for step, target in self.plan.steps:
            operands = [registers[register] for register in step.operands]
            _OPERATIONS[step.operation](step.divisor, registers[target], *operands)
        out.copy_(registers[self.plan.result])

    def _scratch_like(self, columns: Tensor) -> Tensor:
        width = columns.shape[1]
        if self._scratch is None or self._scratch.shape[1] < width:
            self._scratch = columns.new_empty(self.plan.scratch, width)
        return self._scratch[:, :width]


@cache
def plan(program: Program) -> Plan:
    """Values that live at different times share a register: less scratch, more of it in cache."""
    n = program.inputs
    last_use = {v: at for at, step in enumerate(program.steps) for v in step.operands}
    register = {value: value for value in range(n)}
    free: list[int] = []
    top = n
    placed = []
    for at, step in enumerate(program.steps):
        # An operand that dies here gives its register to the result: elementwise, in place.
        dying = {v for v in step.operands if last_use[v] == at}
        free += [register[v] for v in sorted(dying) if register[v] >= n]
        if not free:
            free.append(top)
            top += 1
        register[n + at] = free.pop()
        operands = tuple(register[v] for v in step.operands)
        placed.append((step._replace(operands=operands), register[n + at]))
    return Plan(top - n, tuple(placed), register[program.result])


def _halves(_: int, out: Tensor, a: Tensor, b: Tensor) -> None:
    torch.add(a * 0.5, b * 0.5, out=out)


def _nearer(_: int, out: Tensor, centre: Tensor, low: Tensor, high: Tensor) -> None:
    torch.where(centre - low > high - centre, high, low, out=out)


_OPERATIONS: dict[Operation, Callable[..., object]] = {
    "min": lambda _, out, a, b: torch.minimum(a, b, out=out),
    "max": lambda _, out, a, b: torch.maximum(a, b, out=out),
    "add": lambda _, out, a, b: torch.add(a, b, out=out),
    "halves": _halves,
    "nearer": _nearer,
    "over": lambda divisor, out, a: torch.div(a, divisor, out=out),
}
