"""Rows that arrive one at a time: what can be done before the last one is in, is.

A server waits for gradients most of the time. The distances of each to those before it are computed
as it comes, so that the last one costs a row of them, not all n².
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from byzsgd.aggregators.distances import add_row
from byzsgd.aggregators.inputs import AggregationError
from byzsgd.aggregators.rows import Rows
from byzsgd.aggregators.rule import Aggregate, Rule


class Arrivals:
    """Up to `capacity` rows of d coordinates for one rule, in memory that `clear` lets reuse.

        arrivals = Arrivals(rule, capacity=7, dimension=d)
        row = arrivals.add(vector)                   # its index; or fill `arrivals.free()` yourself
        arrivals.aggregate(f=2, order=[2, 0, 1])

    The result is to the bit that of the rule called on the rows in `order`, whatever order they
    came in: `order` decides ties and sums. `store` is where they lie, (capacity, d).
    """

    def __init__(
        self,
        rule: Rule,
        capacity: int,
        dimension: int,
        dtype: torch.dtype = torch.float32,
        device: torch.device | str = "cpu",
    ) -> None:
        self.rule = rule
        self.store = torch.empty(capacity, dimension, dtype=dtype, device=device)
        self._squared = torch.zeros(capacity, capacity, dtype=torch.float64)
        self._count = 0

    def __len__(self) -> int:
        return self._count

    @property
    def capacity(self) -> int:
        return len(self.store)

    @property
    def full(self) -> bool:
        return self._count == len(self.store)

    def clear(self) -> None:
        self._count = 0

    def free(self) -> Tensor:
        """The next free row, (d,), to be filled before `added`."""
        if self.full:
            raise AggregationError(f"there is room for {self._count} rows, and all of it is used")
        return self.store[self._count]

    def free_rows(self, count: int) -> Tensor:
        """The next free rows, (count, d), to be filled before `added`."""
        if self._count + count > len(self.store):
            raise AggregationError(f"there is room for {len(self.store)} rows, {self._count} used")
        return self.store[self._count : self._count + count]

    def added(self, rows: int = 1) -> int:
        """Free rows have been filled: count them, and compute what can be. Returns the first."""
        first = self._count
        self._count += rows
        if self.rule.by_distance:
            add_row(self.store, range(self._count), self._squared, rows)
        return first

    def add(self, vector: Tensor) -> int:
        """Copy one (d,) vector in. Returns the index of its row."""
        row = self.free()
        if vector.shape != row.shape:
            raise AggregationError(
                f"arrivals of d={len(row)} were given a vector of shape {tuple(vector.shape)}"
            )
        row.copy_(vector)
        return self.added()

    def aggregate(
        self, f: int, order: Sequence[int] | None = None, *, out: Tensor | None = None
    ) -> Aggregate:
        """The aggregate of the rows with these indices, by default all; see `Rule.apply`."""
        rows = list(range(self._count) if order is None else order)
        if not rows:
            raise AggregationError(f"{self.rule.name} was given no rows")
        return self.rule.apply(self.rows(rows), f, out=out)

    def rows(self, order: Sequence[int]) -> Rows:
        """The rows with these indices, with their distances if they are known."""
        rows = list(order)
        squared = self._squared[rows][:, rows] if self.rule.by_distance else None
        return Rows(self.store, rows, squared)
