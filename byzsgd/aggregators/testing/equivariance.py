"""Checks of what a rule must do when its rows are reordered, moved, scaled or all equal."""

import torch
from torch import Tensor

from byzsgd.aggregators.testing import clouds
from byzsgd.aggregators.testing.subject import Failure, Subject

EXPONENTS = (-64, -8, 8, 64)
"""Squares of vectors times 2^±64 leave float32's range; the vectors are far inside it."""


def inputs(subject: Subject) -> list[Tensor]:
    """Honest vectors, n and n + 1, since what is in the middle differs; and n of which f lie."""
    n, d, seed = subject.n, subject.d, subject.seed
    return [
        clouds.honest(n, d, seed),
        clouds.honest(n + 1, d, seed),
        with_outliers(n, subject.f, d, seed + 1),
    ]


def with_outliers(n: int, f: int, d: int, seed: int) -> Tensor:
    """(n, d) vectors, of which f lie well outside, each in a direction of its own."""
    truths = clouds.honest(n - f, d, seed)
    directions = torch.randn(f, d, generator=_generator(seed))
    lies = clouds.on_grid(truths[:f] + 10 * clouds.SPREAD * directions)
    return clouds.placed(truths, lies, "among")


def compare(subject: Subject, result: Tensor, expected: Tensor, vectors: Tensor, what: str) -> None:
    """Raise `Failure` unless two results agree as well as the rule's precision lets them."""
    spread = clouds.scale_of(vectors)
    finite = vectors[vectors.isfinite().all(1)].double()
    rounding = 4 * torch.finfo(result.dtype).eps * float(finite.abs().max())
    off = float((result.double() - expected.double()).abs().max())
    if not off <= subject.tolerance * spread + rounding:  # NaN is not within anything
        raise Failure(f"{what}: off by {off:.2g}, where vectors lie {spread:.2g} apart")


def permutation(subject: Subject) -> str:
    """The order in which vectors arrive must not matter.

    It is the network that decides on it, and a liar can. Replicas that aggregate the same vectors
    in another order would part ways. f of the vectors lie outside, so that there is no tie about
    whom to leave out (subsets of equal diameter are nothing rare).
    """
    generator = _generator(subject.seed)
    for n in (subject.n, subject.n + 1):
        vectors = with_outliers(n, subject.f, subject.d, subject.seed)
        expected = subject(vectors)
        orders = [torch.randperm(len(vectors), generator=generator) for _ in range(3)]
        for order in [torch.arange(len(vectors)).flip(0), *orders]:
            result = subject(vectors[order])
            compare(subject, result, expected, vectors, f"in the order {order.tolist()}")
    return "the same in every order tried"


def translation(subject: Subject) -> str:
    """Adding one vector to all rows must add it to the result.

    Otherwise zero is a special place, and how well the rule protects depends on how near to it the
    honest vectors happen to be: models, unlike gradients, are nowhere near.
    """
    for vectors in inputs(subject):
        for size in (100, 10_000, -100_000):
            shift = torch.full((subject.d,), float(size))
            shift[::2] *= -1
            expected = subject(vectors) + shift
            compare(
                subject, subject(vectors + shift), expected, vectors + shift, f"moved by {size}"
            )
    return "moves with its rows"


def scale(subject: Subject) -> str:
    """Multiplying all rows must multiply the result, by a negative number as well.

    A rule that is not scale-equivariant has a hidden unit of length that suits one model and one
    phase of training; a sign that matters is a bias, as that of a lower median.
    """
    factors = [-1.0, *(sign * 2.0**exponent for exponent in EXPONENTS for sign in (1, -1))]
    for vectors in inputs(subject):
        expected = subject(vectors)
        for factor in factors:
            result = subject(vectors * factor) / factor
            compare(subject, result, expected, vectors, f"times {factor:.3g}")
    return f"scales with its rows, by ±2^{EXPONENTS[0]} to ±2^{EXPONENTS[-1]}"


def identical_rows(subject: Subject) -> str:
    """If all agree, that is the result: distances of zero must not be divided by."""
    for size in (0.0, 1.0, 1e-20, 1e20):
        row = size * clouds.honest(1, subject.d, subject.seed)[0] / clouds.CENTRE
        result = subject(row.expand(subject.n, -1))
        off = float((result.double() - row.double()).abs().max())
        if not off <= 1e-6 * float(row.abs().max()):
            raise Failure(f"n equal rows of size {size:g} give another one, off by {off:.2g}")
    return "n equal rows give that row"


def _generator(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)
