"""What a rule is, and the checks that all rules share."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

FLOATS = (torch.float32, torch.float64, torch.bfloat16, torch.float16)


class AggregationError(ValueError):
    """What was given cannot be aggregated: names the rule, its bound and what was given."""


@dataclass(frozen=True)
class Rule:
    """An aggregation rule: call it on (n, d) vectors of which at most f are lies.

    Every rule is deterministic, never changes or aliases its input, and is total: a row with NaN or
    Inf in it is one more lie, and the result is finite whenever at most f rows are like that (the
    plain average alone tolerates none). The rules' own files say how they treat ties.
    """

    name: str
    aliases: tuple[str, ...]
    bound: str
    """`minimum_n` in words, for messages."""
    minimum_n: Callable[[int], int]
    """The least number of rows with which the rule tolerates f of them."""
    fill: Callable[[Tensor, int, Tensor], tuple[int, ...] | None]
    """(vectors, f, out): writes the aggregate and returns the rows it selected, if it selects.
    All are checked and carry no gradient."""
    choose: Callable[[Tensor, int], tuple[int, ...]] | None = None
    """(vectors, f) → ascending row indices, for rules that select. The input has been checked."""

    def __call__(self, vectors: Tensor, f: int = 0, *, out: Tensor | None = None) -> Tensor:
        """The (d,) aggregate of (n, d) floating-point `vectors`, in their type and on their device.

        A given `out` must be a contiguous (d,) tensor of the same type and device that shares no
        memory with `vectors`; it is filled and returned. Raises `AggregationError`.
        """
        return self.with_choice(vectors, f, out=out)[0]

    def with_choice(
        self, vectors: Tensor, f: int = 0, *, out: Tensor | None = None
    ) -> tuple[Tensor, tuple[int, ...] | None]:
        """The aggregate as from a call, and the rows it took if the rule selects any."""
        self._check(vectors, f)
        if out is None:
            out = torch.empty(vectors.shape[1], dtype=vectors.dtype, device=vectors.device)
        else:
            self._check_out(vectors, out)
        return out, self.fill(vectors.detach(), f, out.detach())

    def select(self, vectors: Tensor, f: int = 0) -> tuple[int, ...]:
        """Ascending indices of the rows it selects, or `AggregationError` if it selects none."""
        if self.choose is None:
            raise AggregationError(f"{self.name} selects no rows: it has a result, but no indices")
        self._check(vectors, f)
        return self.choose(vectors.detach(), f)

    def _check(self, vectors: Tensor, f: int) -> None:
        if not isinstance(vectors, Tensor):
            raise self._refusal("an (n, d) tensor", f"a {type(vectors).__name__}")
        if vectors.dim() != 2 or vectors.numel() == 0:
            raise self._refusal("a non-empty (n, d) tensor", f"shape {tuple(vectors.shape)}")
        if vectors.dtype not in FLOATS:
            raise self._refusal("a floating-point type", str(vectors.dtype))
        if type(f) is not int or f < 0:  # True is an int as well
            raise self._refusal("f to be an integer ≥ 0", f"f={f!r}")
        if len(vectors) < self.minimum_n(f):
            raise self._refusal(
                f"{self.bound} (at least {self.minimum_n(f)} vectors for f={f})",
                f"n={len(vectors)}",
            )

    def _check_out(self, vectors: Tensor, out: Tensor) -> None:
        given = (tuple(out.shape), out.dtype, out.device)
        wanted = ((vectors.shape[1],), vectors.dtype, vectors.device)
        if given != wanted:
            raise self._refusal(f"out to be {_described(*wanted)}", _described(*given))
        if not out.is_contiguous():
            raise self._refusal("out to be contiguous", f"strides {out.stride()}")
        if _overlap(vectors, out):
            raise self._refusal("out to share no memory with the vectors", "an out that does")

    def _refusal(self, needed: str, given: str) -> AggregationError:
        return AggregationError(f"{self.name} needs {needed}, was given {given}")


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
