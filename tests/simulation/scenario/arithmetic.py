"""Vectors of a few numbers, and the algorithm's rules written as plainly as they can be.

Nothing here is shared with the aggregators. Whoever writes a scenario chooses numbers that are
exact: halves of whole numbers.
"""

import math
from collections.abc import Iterable, Sequence
from itertools import combinations
from typing import NamedTuple, TypeAlias

Numbers: TypeAlias = tuple[float, ...]


def show(vector: Numbers) -> str:
    return f" ({' '.join(f'{number + 0.0:g}' for number in vector)})"


def median(vectors: Iterable[Numbers]) -> Numbers:
    """Per coordinate the middle value, or the mean of the two middle ones; NaN is sorted last."""
    return tuple(_middle(column) for column in zip(*vectors, strict=True))


def _middle(column: Iterable[float]) -> float:
    ordered = sorted(math.inf if math.isnan(value) else value for value in column)
    half = len(ordered) // 2
    return ordered[half] if len(ordered) % 2 else (ordered[half - 1] + ordered[half]) / 2


def mda(vectors: Sequence[Numbers], f: int) -> tuple[int, ...]:
    """The rows of a subset of n − f with the least diameter, the lexicographically first such."""
    subsets = combinations(range(len(vectors)), max(1, len(vectors) - f))
    return min(subsets, key=lambda rows: diameter([vectors[row] for row in rows]))


def diameter(vectors: Sequence[Numbers]) -> float:
    return max((distance(*pair) for pair in combinations(vectors, 2)), default=0.0)


def distance(first: Numbers, second: Numbers) -> float:
    far = math.dist(first, second)
    return math.inf if math.isnan(far) else far


def mean(vectors: Sequence[Numbers]) -> Numbers:
    return tuple(sum(column) / len(vectors) for column in zip(*vectors, strict=True))


def minus(first: Numbers, second: Numbers, times: float = 1.0) -> Numbers:
    return tuple(a - times * b for a, b in zip(first, second, strict=True))


class Box(NamedTuple):
    """The least box around some vectors."""

    low: Numbers
    high: Numbers

    def __contains__(self, vector: object) -> bool:
        assert isinstance(vector, tuple)
        bounds = zip(self.low, vector, self.high, strict=True)
        return all(low <= value <= high for low, value, high in bounds)


def box(vectors: Sequence[Numbers]) -> Box:
    columns = list(zip(*vectors, strict=True))
    return Box(tuple(map(min, columns)), tuple(map(max, columns)))
