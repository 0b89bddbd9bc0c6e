"""What may be aggregated: every refusal names who refuses, what is needed and what was given."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from byzsgd.aggregators.rows import Rows

FLOATS = (torch.float32, torch.float64, torch.bfloat16, torch.float16)


class AggregationError(ValueError):
    """What was given cannot be aggregated: names the rule, its bound and what was given."""


def rows_of(name: str, vectors: Tensor | Sequence[Tensor] | Rows) -> Rows:
    """The rows of an (n, d) floating-point tensor, or of n tensors (d,), without gradients."""
    if isinstance(vectors, Rows):
        return vectors
    if isinstance(vectors, list | tuple):
        vectors = _stacked(name, vectors)
    if not isinstance(vectors, Tensor):
        raise refusal(name, "an (n, d) tensor", f"a {type(vectors).__name__}")
    if vectors.dim() != 2 or vectors.numel() == 0:
        raise refusal(name, "a non-empty (n, d) tensor", f"shape {tuple(vectors.shape)}")
    if vectors.dtype not in FLOATS:
        raise refusal(name, "a floating-point type", str(vectors.dtype))
    return Rows(vectors.detach())


def check_f(name: str, f: int) -> None:
    if type(f) is not int or f < 0:  # True is an int as well
        raise refusal(name, "f to be an integer ≥ 0", f"f={f!r}")


def check_iterations(name: str, iterations: int) -> None:
    if type(iterations) is not int or iterations < 1:
        raise refusal(name, "a whole number of iterations ≥ 1", f"{iterations!r}")


def check_count(name: str, bound: str, minimum: int, n: int, f: int) -> None:
    """Raise `AggregationError` if n rows are too few to tolerate f among them."""
    if n < minimum:
        raise refusal(name, f"{bound} (at least {minimum} vectors for f={f})", f"n={n}")


def check_finite(name: str, rows: Rows, f: int) -> None:
    """Raise `AggregationError` if more than f rows are non-finite: no rule can do without them."""
    lost = len(rows) - np.count_nonzero(rows.finite.numpy())
    if lost > f:
        raise AggregationError(
            f"{name} tolerates f={f} rows with NaN or Inf in them,"
            f" was given {lost} of n={len(rows)}"
        )


def checked_distances(name: str, rows: Rows, f: int) -> Tensor:
    """The rows' squared distances, which also tell, at no cost, which rows are non-finite."""
    squared = rows.squared
    check_finite(name, rows, f)
    return squared


def check_out(name: str, store: Tensor, out: Tensor) -> None:
    given = (tuple(out.shape), out.dtype, out.device)
    wanted = ((store.shape[1],), store.dtype, store.device)
    if given != wanted:
        raise refusal(name, f"out to be {_described(*wanted)}", _described(*given))
    if not out.is_contiguous():
        raise refusal(name, "out to be contiguous", f"strides {out.stride()}")
    if _overlap(store, out):
        raise refusal(name, "out to share no memory with the vectors", "an out that does")


def refusal(name: str, needed: str, given: str) -> AggregationError:
    return AggregationError(f"{name} needs {needed}, was given {given}")


def _stacked(name: str, vectors: Sequence[Tensor]) -> Tensor:
    types = {type(vector).__name__ for vector in vectors}
    if not all(issubclass(type(vector), Tensor) for vector in vectors):
        raise refusal(name, "tensors", f"a sequence of {', '.join(sorted(types))}")
    kinds = {_described(tuple(v.shape), v.dtype, v.device) for v in vectors}
    if len(kinds) != 1 or vectors[0].dim() != 1:
        given = " and ".join(sorted(kinds)) or "an empty sequence"
        raise refusal(name, "vectors of one shape (d,), one type and one device", given)
    return torch.stack(list(vectors))


def _described(shape: tuple[int, ...], dtype: torch.dtype, device: torch.device) -> str:
    return f"{shape} {dtype} on {device}"


def _overlap(first: Tensor, second: Tensor) -> bool:
    """Whether two tensors' address ranges meet (one device is assumed, and has been checked)."""
    begin, end = _address_range(first)
    other_begin, other_end = _address_range(second)
    return begin < other_end and other_begin < end


def _address_range(tensor: Tensor) -> tuple[int, int]:
    last = sum((size - 1) * step for size, step in zip(tensor.shape, tensor.stride(), strict=True))
    begin = tensor.data_ptr()
    return begin, begin + (last + 1) * tensor.element_size()
