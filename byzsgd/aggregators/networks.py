"""Comparator networks that select order statistics, as straight-line programs of min and max.

Batcher's odd-even merge sort ("Sorting networks and their applications", AFIPS 1968) for any n,
pruned to what the wanted outputs need. Data never decides which instruction comes next, so each one
is a whole vector's minimum or maximum.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from typing import NamedTuple


class Step(NamedTuple):
    """`registers[target] = min or max of registers[left] and registers[right]`."""

    maximum: bool
    left: int
    right: int
    target: int


@dataclass(frozen=True)
class Program:
    """Registers 0 … inputs-1 are the rows, never written; `scratch` more hold what is between."""

    inputs: int
    scratch: int
    steps: tuple[Step, ...]
    outputs: tuple[int, ...]
    """The registers where the wanted order statistics end up, lowest first."""


@cache
def median_program(n: int) -> Program:
    """Selects the middle value of n, or the two middle ones of an even n."""
    return selection_program(n, range((n - 1) // 2, n // 2 + 1))


def selection_program(n: int, ranks: Sequence[int]) -> Program:
    """Selects the values of these ranks (0 is the least of n) in as few scratch rows as it can."""
    values = list(range(n))  # which value each wire of the network carries now
    made: list[Step] = []
    for low, high in _comparators(n):
        left, right = values[low], values[high]
        values[low], values[high] = n + len(made), n + len(made) + 1
        made += [Step(False, left, right, values[low]), Step(True, left, right, values[high])]
    outputs = [values[rank] for rank in ranks]
    return _allocate(n, _depth_first(n, _needed(made, outputs), outputs), outputs)


def _comparators(n: int) -> Iterator[tuple[int, int]]:
    """Batcher's sorter: merge sorted runs of p wires by comparing at distances p, p/2, … 1."""
    p = 1
    while p < n:
        distance = p
        while distance:
            for begin in range(distance % p, n - distance, 2 * distance):
                for low in range(begin, min(begin + distance, n - distance)):
                    if low // (2 * p) == (low + distance) // (2 * p):
                        yield low, low + distance
            distance //= 2
        p *= 2


def _needed(steps: Sequence[Step], outputs: Sequence[int]) -> list[Step]:
    """Only the steps that some output depends on."""
    wanted, kept = set(outputs), []
    for step in reversed(steps):
        if step.target in wanted:
            wanted |= {step.left, step.right}
            kept.append(step)
    return kept[::-1]


def _depth_first(n: int, steps: Sequence[Step], outputs: Sequence[int]) -> list[Step]:
    """The same steps, each shortly before its results are used: what is in use then is in cache."""
    makers: dict[tuple[int, int], list[Step]] = {}
    for step in steps:
        makers.setdefault((step.left, step.right), []).append(step)
    operands = {step.target: (step.left, step.right) for step in steps}
    ordered: list[Step] = []

    def visit(value: int) -> None:
        if value >= n and operands[value] in makers:
            twins = makers.pop(operands[value])
            visit(twins[0].left)
            visit(twins[0].right)
            ordered.extend(twins)

    for output in outputs:
        visit(output)
    return ordered


def _allocate(n: int, steps: Sequence[Step], outputs: Sequence[int]) -> Program:
    """Values that live at different times share a register: less scratch, more of it cached."""
    last_use = {value: at for at, step in enumerate(steps) for value in (step.left, step.right)}
    last_use |= dict.fromkeys(outputs, len(steps))
    register = {value: value for value in range(n)}
    free: list[int] = []
    top = n
    placed = []
    for at, (maximum, left, right, target) in enumerate(steps):
        # An operand that dies here gives its register to the result: elementwise, in place.
        free += [register[v] for v in (left, right) if last_use[v] == at and register[v] >= n]
        if not free:
            free.append(top)
            top += 1
        register[target] = free.pop()
        placed.append(Step(maximum, register[left], register[right], register[target]))
    return Program(n, top - n, tuple(placed), tuple(register[value] for value in outputs))
