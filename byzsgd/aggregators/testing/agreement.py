"""Checks of a rule against float64: its twin, its ties, and vectors that lie close together."""

from dataclasses import replace

import torch
from torch import Tensor

from byzsgd.aggregators.testing import clouds
from byzsgd.aggregators.testing.equivariance import compare, inputs
from byzsgd.aggregators.testing.expectations import INEXACT_TIES
from byzsgd.aggregators.testing.subject import Failure, NotApplicable, Subject
from byzsgd.aggregators.testing.twins import Twin

CASES = 2
TIED_CASES = 16
MANY = 26
"""More rows than torch.cdist takes direct differences of."""


def naive_twin(subject: Subject) -> str:
    """The same result as the published definition in float64, on vectors without ties."""
    twin = _twin(subject)
    for seed in range(CASES):
        seeded = replace(subject, seed=subject.seed + 100 * seed)
        for vectors in [*inputs(seeded), *_uneven(seeded)]:
            _same(subject, twin, vectors, "generic vectors")
    return f"as in float64, with {CASES} seeds, n={subject.n} and {subject.n + 1}"


def ties(subject: Subject) -> str:
    """The same result as the twin where distances and values tie, as its docstring says.

    Liars make ties, by sending copies; replicas, and implementations, must break them alike. Small
    whole numbers have exact distances in any floating-point type, so that nothing else differs.
    """
    twin = _twin(subject)
    for seed in range(TIED_CASES):
        on_a_line = subject.name in INEXACT_TIES or seed % 3 == 0
        vectors = clouds.tied(subject.n + seed % 2, subject.seed + seed, on_a_line)
        _same(subject, twin, vectors, f"tied vectors, seed {seed}")
    return f"ties are broken as by the twin, on {TIED_CASES} inputs"


def precision(subject: Subject) -> str:
    """Where distances differ by 1e-6 relative, around 1000, select as float64 does.

    Late in training honest gradients are close together compared with their length. There, float32
    products of vectors cancel, and who is selected is chance, or what a liar makes of it.
    """
    separation = worst = 0.0
    for n in [subject.n] if subject.minimum_n is not None else [subject.n, MANY]:
        for seed in range(2):
            vectors = clouds.close_together(n, subject.seed + seed)
            result = subject(vectors).double()
            separation = float((vectors[0].double() - vectors[1].double()).norm())
            worst = max(worst, float((result - _exact(subject, vectors)).norm()) / separation)
            if not worst <= 0.01:
                raise Failure(f"selects others than float64 does, with n={n}: off by {worst:.2g} of"
                              " the rows' distance")  # fmt: skip
    return f"off by {worst:.1g} of the rows' distance"


def _exact(subject: Subject, vectors: Tensor) -> Tensor:
    """What the twin says, or the rule itself when given float64."""
    if subject.twin is not None:
        return subject.twin(vectors, subject.f)
    return subject(vectors.double()).double()


def _uneven(subject: Subject) -> list[Tensor]:
    """Some rows much farther out than others, in few dimensions: what exactly a rule adds up, or
    orders by, decides here.
    """
    return [
        clouds.uneven(subject.n + case % 2, 2 + case % 3, subject.seed + case) for case in range(10)
    ]


def _same(subject: Subject, twin: Twin, vectors: Tensor, what: str) -> None:
    expected = twin(vectors, subject.f)
    for dtype in (torch.float32, torch.float64):
        given = vectors.to(dtype)
        compare(subject, subject(given), expected, given, f"{what}, {given.dtype}")


def _twin(subject: Subject) -> Twin:
    if subject.twin is None:
        raise NotApplicable("there is no twin to compare with")
    return subject.twin
