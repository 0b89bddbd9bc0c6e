"""What coordinate-wise rules compute, as straight-line programs of operations on whole vectors.

They sort by comparator networks, Batcher's odd-even merge sort ("Sorting networks and their
applications", AFIPS 1968) for any n, pruned to what the result needs. Data never decides which
instruction comes next, so that each one works on as many coordinates as a register holds.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal, NamedTuple, TypeAlias, cast

Operation: TypeAlias = Literal["min", "max", "add", "halves", "nearer", "over"]


class Step(NamedTuple):
    """One value made of others, elementwise.

    min(a, b); max(a, b); add: a + b; halves: a/2 + b/2, which cannot overflow; over: a / divisor;
    nearer: of (centre, low, high) the one nearer to the centre, of two equally near the low one.
    """

    operation: Operation
    operands: tuple[int, ...]
    divisor: int = 1


@dataclass(frozen=True, eq=False)
class Program:
    """Values 0 … inputs-1 are the rows, value inputs + k is what step k makes, one is the result.

    The makers of programs are cached, so that a program is known by its identity.
    """

    inputs: int
    steps: tuple[Step, ...]
    result: int

    @cached_property
    def text(self) -> str:
        """All of it in one line, to compile from and to tell programs apart by."""
        steps = (f"{s.operation} {s.divisor} {' '.join(map(str, s.operands))}" for s in self.steps)
        return "|".join((f"{self.inputs} {self.result}", *steps))

    @classmethod
    def parse(cls, text: str) -> "Program":
        """The program with this `text`."""
        head, *lines = text.split("|")
        inputs, result = map(int, head.split())
        return cls(inputs, tuple(_step(line) for line in lines), result)


class Values:
    """A program in the making: values that come of n rows."""

    def __init__(self, n: int) -> None:
        self.n = n
        self._steps: list[Step] = []

    def make(self, operation: Operation, *operands: int, divisor: int = 1) -> int:
        """The value that this operation makes of these."""
        self._steps.append(Step(operation, operands, divisor))
        return self.n + len(self._steps) - 1

    def ordered(self) -> list[int]:
        """The rows' values, least first."""
        wires = list(range(self.n))
        for low, high in _comparators(self.n):
            pair = wires[low], wires[high]
            wires[low], wires[high] = self.make("min", *pair), self.make("max", *pair)
        return wires

    def middle(self, ordered: Sequence[int]) -> int:
        """The median of sorted values; of an even number the mean of the two in the middle."""
        low, high = ordered[(len(ordered) - 1) // 2], ordered[len(ordered) // 2]
        return low if low == high else self.make("halves", low, high)

    def mean(self, values: Sequence[int]) -> int:
        """Their sum, in this order, divided once."""
        total = values[0]
        for value in values[1:]:
            total = self.make("add", total, value)
        return total if len(values) == 1 else self.make("over", total, divisor=len(values))

    def program(self, result: int) -> Program:
        """What leads to `result`, each step shortly before its value is used."""
        order = _depth_first(self.n, self._steps, result) if result >= self.n else []
        name = {old: new for new, old in enumerate((*range(self.n), *order))}
        steps = (self._steps[old - self.n] for old in order)
        renamed = (s._replace(operands=tuple(name[v] for v in s.operands)) for s in steps)
        return Program(self.n, tuple(renamed), name[result])


def _step(line: str) -> Step:
    operation, divisor, *operands = line.split()
    return Step(cast(Operation, operation), tuple(map(int, operands)), int(divisor))


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


def _depth_first(n: int, steps: Sequence[Step], result: int) -> list[int]:
    """The values that `result` needs, each after its operands, minimum beside maximum."""
    needed = _needed(n, steps, result)
    ordered: dict[int, None] = {}
    waiting = [result]
    while waiting:
        value = waiting[-1]
        missing = [v for v in steps[value - n].operands if v >= n and v not in ordered]
        if missing:
            waiting.append(missing[0])
            continue
        waiting.pop()
        ordered |= dict.fromkeys(v for v in _twins(n, steps, value) if v in needed)
    return list(ordered)


def _needed(n: int, steps: Sequence[Step], result: int) -> set[int]:
    """The values made on the way to `result`, and that itself."""
    needed = {result}
    for value in range(n + len(steps) - 1, n - 1, -1):
        if value in needed:
            needed.update(steps[value - n].operands)
    return needed


def _twins(n: int, steps: Sequence[Step], value: int) -> list[int]:
    """The value, and the other end of the comparator that it comes of: made one after the other."""
    around = range(max(n, value - 1), min(n + len(steps), value + 2))
    return [v for v in around if steps[v - n].operands == steps[value - n].operands]
