"""The exact search for the subset of least diameter, as a sequence of vertex covers.

n−f rows of diameter at most r exist iff f vertices cover the graph of the pairs farther apart than
r; r is found by bisection, the first of several such subsets row by row.
"""

import numpy as np
import numpy.typing as npt

from byzsgd.aggregators.cover import CoverSearch, OutOfNodes
from byzsgd.aggregators.inputs import AggregationError
from byzsgd.aggregators.rule import Choice

Matrix = npt.NDArray[np.float64]


def none_finite(n: int, f: int) -> AggregationError:
    return AggregationError(
        f"mda needs n-f={n - f} of the n={n} rows at finite distances from one another,"
        " was given distances without such rows"
    )


class SubsetSearch:
    """One search in an (n, n) matrix with -inf on its diagonal and at most `budget` search nodes.

    `best` is the complement of the best subset known, at first of a ball.
    """

    def __init__(self, matrix: Matrix, f: int, budget: int) -> None:
        self.matrix, self.f, self.n = matrix, f, len(matrix)
        self.covers = CoverSearch(self.n, budget)
        # A chosen row has n−f−1 others within the diameter, and n−f rows are chosen.
        last = self.n - f - 1
        reach = np.partition(matrix, last, axis=1)[:, last]
        self.lower = np.partition(reach, last)[last]
        # The rows nearest to one of them have a diameter of at most twice their reach.
        ball = np.argsort(matrix[reach.argmin()], kind="stable")[: last + 1]
        self.upper = matrix[np.ix_(ball, ball)].max()
        self.best = (1 << self.n) - 1 ^ sum(1 << v for v in ball.tolist())

    def choice(self) -> Choice:
        try:
            self._bisect()
            return Choice(self._first_subset())
        except OutOfNodes:
            rest = [v for v in range(self.n) if not self.best >> v & 1]
            return Choice(tuple(rest[: self.n - self.f]), exact=False)

    def _bisect(self) -> None:
        """Find a cover of at most f at the least distance that has one; leave its graph loaded."""
        matrix, everyone = self.matrix, (1 << self.n) - 1
        eligible = (matrix >= self.lower) & (matrix <= self.upper) & (matrix < np.inf)
        limits = np.unique(matrix[eligible])
        low, high, cover = 0, len(limits), None
        while low < high:
            middle = (low + high) // 2
            self.covers.load(matrix > limits[middle])
            cover = self.covers.cover(everyone, self.f)
            if cover is None:
                low = middle + 1
            else:
                high, self.best = middle, cover
        if high == len(limits):
            raise none_finite(self.n, self.f)
        if cover is None:
            self.covers.load(matrix > limits[high])

    def _first_subset(self) -> tuple[int, ...]:
        """The first of all subsets of n−f rows with no far pair.

        Row by row: keep it if the rest can still be completed. The cover known so far answers that
        for the rows that it leaves; for a row that it takes, another one is looked for.
        """
        far, cover, spare = self.covers.neighbours(), self.best, self.f
        kept: list[int] = []
        live = (1 << self.n) - 1
        for row in range(self.n):
            if len(kept) == self.n - self.f or not live >> row & 1:
                continue
            live ^= 1 << row
            lost = far[row] & live
            left = spare - lost.bit_count()
            if cover >> row & 1:
                other = self.covers.cover(live & ~lost, left) if left >= 0 else None
                if other is None:
                    spare -= 1
                    continue
                cover = other | lost
            kept.append(row)
            live, spare = live & ~lost, left
        return tuple(kept)
