"""Checks of what a rule does with its input, apart from what it computes."""

import contextlib

import torch
from torch import Tensor

from byzsgd.aggregators.testing import clouds
from byzsgd.aggregators.testing.subject import Failure, Subject

TYPES = (torch.float32, torch.float64, torch.bfloat16, torch.float16)


def contract(subject: Subject) -> str:
    """(n, d) in, (d,) out, of the same type and on the same device, twice the same; the input is
    neither changed nor aliased, not even where it holds NaN or the rule returns one of its rows.

    Whoever steps a model with the result in place would otherwise change what others still read.
    """
    for dtype in TYPES:
        for vectors in _inputs(subject, dtype):
            _is_pure(subject, vectors)
            _keeps_type(subject, vectors)
        _is_near(subject, _inputs(subject, dtype)[0])
        _leaves_alone(subject, _with_lies(subject, dtype))
    return "float32, float64, bfloat16 and float16; pure"


def _inputs(subject: Subject, dtype: torch.dtype) -> list[Tensor]:
    """Small enough for float16; also as columns of a wider tensor, and all equal."""
    rows = (clouds.honest(subject.n, subject.d, subject.seed) / 1024).to(dtype).to(subject.device)
    return [rows, rows.T.contiguous().T, rows[:1].expand(subject.n, -1).contiguous()]


def _with_lies(subject: Subject, dtype: torch.dtype) -> Tensor:
    vectors = _inputs(subject, dtype)[0]
    vectors[: subject.f, ::2] = torch.nan
    return vectors


def _keeps_type(subject: Subject, vectors: Tensor) -> None:
    result = subject.bare(vectors)
    if result.dtype != vectors.dtype:
        raise Failure(f"returns {_short(result.dtype)} for {_short(vectors.dtype)} vectors")
    if result.device != vectors.device:
        raise Failure(f"returns a result on {result.device} for vectors on {vectors.device}")


def _is_near(subject: Subject, vectors: Tensor) -> None:
    """A type may be taken and yet be summed or sorted wrongly."""
    off = float((subject.bare(vectors).double() - vectors.double().mean(0)).norm())
    if not off <= subject.reach * clouds.diameter(vectors):
        raise Failure(f"{_short(vectors.dtype)} vectors give a result that is off by {off:.2g}")


def _is_pure(subject: Subject, vectors: Tensor) -> None:
    before = vectors.clone()
    first = subject.bare(vectors)
    if not torch.equal(vectors, before):
        raise Failure("changes its input")
    second = subject.bare(vectors)
    if not torch.equal(first.nan_to_num(7), second.nan_to_num(7)):
        raise Failure("the same input twice gives two results")
    kept = second.clone()
    first.fill_(1e4)
    if not torch.equal(vectors, before):
        raise Failure("the result shares memory with the input")
    if not torch.equal(second.nan_to_num(7), kept.nan_to_num(7)):
        raise Failure("two results share memory")


def _leaves_alone(subject: Subject, vectors: Tensor) -> None:
    before = vectors.clone()
    with contextlib.suppress(Exception):  # whether it can is what totality asks
        subject.bare(vectors)
    if not torch.equal(vectors.nan_to_num(7), before.nan_to_num(7)):
        raise Failure("changes its input where that holds NaN")


def _short(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")
