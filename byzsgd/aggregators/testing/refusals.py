"""What every twin refuses, as every rule does."""

from torch import Tensor

from byzsgd.aggregators import AggregationError


def refuse(name: str, vectors: Tensor, f: int, at_least: int) -> None:
    """Raise `AggregationError` for too few rows, or more than f with NaN or Inf in them."""
    n = len(vectors)
    lost = n - len(finite_rows(vectors))
    if n < at_least:
        raise AggregationError(f"{name} needs at least {at_least} rows for f={f}, was given {n}")
    if lost > f:
        raise AggregationError(f"{name} was given {lost} rows with NaN or Inf, more than f={f}")


def finite_rows(vectors: Tensor) -> list[int]:
    """The indices of the rows without NaN and Inf."""
    return [index for index, row in enumerate(vectors) if bool(row.isfinite().all())]
