"""Trimmed mean, MeaMed, Phocas and Bulyan's second phase against naive twins in float64."""

import itertools
import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from byzsgd.aggregators import compiled
from byzsgd.aggregators.coordinatewise import WIDTH
from byzsgd.aggregators.inputs import AggregationError
from byzsgd.aggregators.meamed import meamed, mean_around_median
from byzsgd.aggregators.median import median
from byzsgd.aggregators.phocas import phocas
from byzsgd.aggregators.rows import Rows
from byzsgd.aggregators.rule import Rule
from byzsgd.aggregators.trimmed_mean import trimmed_mean

Twin = Callable[[list[float], int], float]
LIES = [math.nan, math.inf, -math.inf, 3e38, -3e38, 1e20, 0.0]
SHAPES = [(1, 0), (5, 2), (8, 3), (9, 1), (31, 10)]
"""(n, f) for which kernels are compiled here."""


def centre_of(values: list[float]) -> float:
    ordered = sorted(values)
    return ordered[(len(ordered) - 1) // 2] / 2 + ordered[len(ordered) // 2] / 2


def kept(values: list[float], f: int) -> list[float]:
    return sorted(values)[f : len(values) - f]


def nearest(values: list[float], centre: float, count: int) -> list[float]:
    """Two values equally far away are equal or on two sides: the lower one first."""
    return sorted(values, key=lambda value: (abs(value - centre), value))[:count]


def mean(values: list[float]) -> float:
    return sum(value / len(values) for value in values)


TWINS: dict[str, tuple[Rule, Twin]] = {
    "median": (median(), lambda values, f: centre_of(values)),
    "trimmed_mean": (trimmed_mean(), lambda values, f: mean(kept(values, f))),
    "meamed": (meamed(), lambda v, f: mean(nearest(v, centre_of(v), len(v) - f))),
    "phocas": (phocas(), lambda v, f: mean(nearest(v, mean(kept(v, f)), len(v) - f))),
}
NAMES = pytest.mark.parametrize("name", TWINS)
WAYS = pytest.mark.parametrize("way", ["kernel", "torch"])


def twin(name: str, vectors: torch.Tensor, f: int) -> torch.Tensor:
    columns = vectors.double().nan_to_num(math.inf, math.inf, -math.inf).T.tolist()
    return torch.tensor([TWINS[name][1](values, f) for values in columns], dtype=torch.float64)


def assert_right(name: str, vectors: torch.Tensor, f: int, error: float = 1e-6) -> None:
    result, expected = TWINS[name][0](vectors, f), twin(name, vectors, f)
    # Absolutely, as far as values cancel in a sum.
    finite = torch.where(vectors.isfinite() & (vectors.abs() < 1e19), vectors, 0).abs().max()
    torch.testing.assert_close(result.double(), expected, rtol=error, atol=error * float(finite))


@pytest.fixture
def by(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    return lambda way: monkeypatch.setattr(compiled, "AVAILABLE", way == "kernel")


@NAMES
@WAYS
@pytest.mark.parametrize(("n", "f"), SHAPES)
def test_the_same_as_the_twin(
    name: str, way: str, n: int, f: int, by: Callable[[str], None]
) -> None:
    by(way)
    torch.manual_seed(n)
    assert_right(name, torch.randn(n, 203), f)
    assert_right(name, 1e3 + torch.randn(n, 100), f)
    for lie in LIES:
        vectors = torch.randn(n, 37)
        vectors[torch.randperm(n)[:f]] = lie
        assert_right(name, vectors, f)


@NAMES
@pytest.mark.parametrize("n", range(1, 34))
def test_every_n_and_f_in_torch(name: str, n: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compiled, "AVAILABLE", False)
    for f in {(n - 1) // 4, (n - 1) // 2}:
        vectors = torch.randn(n, 17)
        vectors[:f] = torch.tensor(LIES)[torch.randint(0, len(LIES), (f, 17))]
        assert_right(name, vectors[torch.randperm(n)], f)


@NAMES
@pytest.mark.parametrize(
    ("dtype", "n", "f"),
    [*((torch.float32, n, f) for n, f in SHAPES), (torch.float64, 5, 2)],
)
def test_the_kernel_and_torch_agree_to_the_bit(
    name: str, dtype: torch.dtype, n: int, f: int, by: Callable[[str], None]
) -> None:
    vectors = torch.cat([torch.randn(n, 700), torch.randint(-3, 4, (n, 700)) / 2], 1).to(dtype)
    vectors[:f, ::3] = torch.tensor(LIES, dtype=dtype)[torch.randint(0, len(LIES), (f, 467))]
    by("kernel")
    result = TWINS[name][0](vectors, f)
    by("torch")
    assert torch.equal(result, TWINS[name][0](vectors, f))


@pytest.mark.parametrize("name", ["meamed", "phocas"])
@WAYS
def test_of_two_values_equally_far_the_lower_is_nearer(
    name: str, way: str, by: Callable[[str], None]
) -> None:
    by(way)
    rule = TWINS[name][0]
    for values, f, expected in [
        ([0.0, 1.0, 2.0], 1, 0.5),
        ([1.0, 1.0, 2.0, 3.0, 3.0], 2, 4 / 3),
        ([-4.0, -1.0, 0.0, 1.0, 4.0], 1, -1.0),
        ([5.0, 5.0, 5.0], 1, 5.0),
    ]:
        for order in itertools.permutations(values):
            column = torch.tensor(order)[:, None].expand(-1, 20)
            torch.testing.assert_close(rule(column, f), torch.full((20,), expected))


@NAMES
@WAYS
def test_ties_of_whole_numbers(name: str, way: str, by: Callable[[str], None]) -> None:
    by(way)
    for n, f in [(8, 3), (5, 2)]:  # trimmed means of 1 or 2 values: exact
        assert_right(name, torch.randint(-3, 4, (n, 600)).float(), f)


@NAMES
@pytest.mark.parametrize(("n", "f"), [(5, 2), (9, 1), (31, 10)])
def test_no_bit_depends_on_the_order_of_the_rows(name: str, n: int, f: int) -> None:
    vectors = torch.randn(n, 500)
    vectors[:f] = 1e5 * torch.randn(f, 500)
    rule = TWINS[name][0]
    for _ in range(3):
        assert torch.equal(rule(vectors[torch.randperm(n)], f), rule(vectors, f))


@NAMES
@WAYS
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_sums_that_overflow(
    name: str, way: str, dtype: torch.dtype, by: Callable[[str], None]
) -> None:
    """Values next to the largest, of both signs, in some coordinates; ordinary ones beside."""
    by(way)
    most = torch.finfo(dtype).max
    vectors = torch.randn(5, 600).to(dtype)
    for at, signs in enumerate(itertools.product((-1, 0, 1), repeat=5)):
        vectors[:, at] = most * torch.tensor(signs, dtype=dtype)
    result = TWINS[name][0](vectors, 1)
    eighths = twin(name, vectors / 8, 1) if dtype == torch.float64 else twin(name, vectors, 1) / 8
    error = torch.finfo(dtype).eps * 4
    torch.testing.assert_close(result.double() / 8, eighths, rtol=error, atol=most / 8 * error)
    torch.testing.assert_close(result[243:], TWINS[name][0](vectors[:, 243:], 1))


@NAMES
@WAYS
def test_a_sum_that_overflows_costs_the_least_of_numbers_beside_it_nothing(
    name: str, way: str, by: Callable[[str], None]
) -> None:
    by(way)
    vectors = torch.full((9, 40), 1e-45)
    vectors[:, 7] = 3e38
    result = TWINS[name][0](vectors, 1)
    assert result[7] == pytest.approx(3e38)
    assert torch.equal(result[8:], TWINS[name][0](vectors[:, 8:], 1))
    assert bool((result[8:] > 0).all())


@NAMES
@WAYS
@pytest.mark.parametrize("lie", [math.nan, math.inf, -math.inf])
def test_more_than_f_non_finite_rows_are_refused(
    name: str, way: str, lie: float, by: Callable[[str], None]
) -> None:
    by(way)
    vectors = torch.randn(5, WIDTH + 50)
    vectors[0, WIDTH + 49] = vectors[3, 0] = lie
    assert bool(TWINS[name][0](vectors, 2).isfinite().all())
    with pytest.raises(AggregationError, match=rf"{name} .*f=1 .* was given 2 of n=5"):
        TWINS[name][0](vectors, 1)


@NAMES
@WAYS
@pytest.mark.parametrize("d", [1, 15, 16, 17, WIDTH - 1, WIDTH + 1, 2 * WIDTH + 33])
def test_the_borders_of_blocks(name: str, way: str, d: int, by: Callable[[str], None]) -> None:
    by(way)
    vectors = torch.randn(5, d)
    vectors[4, -1] = math.nan
    whole = torch.arange(5).repeat(d, 1).T + torch.arange(d) * 5.0
    result = TWINS[name][0](vectors, 2)
    assert_right(name, vectors[:, -40:], 2)
    assert torch.equal(result[-40:], TWINS[name][0](vectors[:, -40:].clone(), 2))
    assert torch.equal(median()(whole, 2), whole[2])


@NAMES
@WAYS
def test_rows_in_another_order_of_any_stride_and_mixed(
    name: str, way: str, by: Callable[[str], None]
) -> None:
    by(way)
    rule, store = TWINS[name][0], torch.randn(7, 3 * WIDTH)
    order = [6, 2, 0, 3, 5]
    expected = rule(store[order], 2)
    assert torch.equal(rule.apply(Rows(store, order), 2).vector, expected)
    assert torch.equal(rule(store[order].T.contiguous().T, 2), expected)
    assert torch.equal(rule(store.repeat_interleave(2, 1)[:, ::2][order], 2), expected)
    mix = torch.eye(7, dtype=torch.float64)[order]
    assert torch.equal(rule.apply(Rows(store, mix=mix), 2).vector, expected)
    mix[1] = math.nan
    store[2] = math.nan
    unlike = rule(store[order], 2)
    assert torch.equal(rule.apply(Rows(store, mix=mix), 2).vector, unlike)


@NAMES
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_types_are_computed_in_float32_and_rounded_once(name: str, dtype: torch.dtype) -> None:
    vectors = torch.randn(8, 300).to(dtype)
    vectors[2] = math.nan
    rule = TWINS[name][0]
    assert torch.equal(rule(vectors, 3), rule(vectors.float(), 3).to(dtype))


@NAMES
@WAYS
@settings(max_examples=40)
@given(data=st.data())
def test_anything_from_f_liars_leaves_the_result_among_the_honest_or_near(
    name: str, way: str, data: st.DataObject
) -> None:
    """Median and trimmed mean stay in the honest range. For the others, a liar that is kept is no
    farther from a centre in that range than some honest value that is not.
    """
    n, f = data.draw(st.sampled_from(SHAPES))
    number = st.floats(width=32) | st.sampled_from(LIES)
    honest = torch.randint(-8, 9, (n - f, 16)).float()
    lies = torch.tensor(data.draw(st.lists(number, min_size=f, max_size=f)))[:, None]
    vectors = torch.cat([honest, lies.expand(f, 16)])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(compiled, "AVAILABLE", way == "kernel")
        result = TWINS[name][0](vectors[torch.randperm(n)], f)
    low, high = honest.min(0).values, honest.max(0).values
    room = 0 if name in ("median", "trimmed_mean") else high - low
    assert bool((result >= low - room - 1e-4).all())
    assert bool((result <= high + room + 1e-4).all())


@WAYS
@pytest.mark.parametrize(("n", "count"), [(5, 3), (8, 5), (9, 3)])
def test_the_mean_around_the_median_of_any_count(
    way: str, n: int, count: int, by: Callable[[str], None]
) -> None:
    """Also of fewer than half of the values, as in Bulyan's second phase at n = 4f+3."""
    by(way)
    for vectors in (torch.randn(n, 200), torch.randint(-4, 5, (n, 200)).float()):
        out = torch.empty(200)
        mean_around_median(Rows(vectors), count, out)
        columns = vectors.double().T.tolist()
        expected = [mean(nearest(values, centre_of(values), count)) for values in columns]
        torch.testing.assert_close(out.double(), torch.tensor(expected).double())


def test_bounds_from_the_paper() -> None:
    """Distributed Momentum (ICLR 2021): kappa² of each rule."""
    n, f = 25, 5
    squares = {
        "median": n - f,
        "trimmed_mean": 2 * (f + 1) * (n - f) / (n - 2 * f) ** 2,
        "meamed": 10 * (n - f),
        "phocas": 4 + 12 * (f + 1) * (n - f) / (n - 2 * f) ** 2,
    }
    for name, (rule, _) in TWINS.items():
        assert rule.variance_bound is not None
        assert rule.variance_bound(n, f) == pytest.approx(1 / math.sqrt(squares[name]))
        assert (rule.minimum_n(3), rule.name) == (7, name)
        with pytest.raises(AggregationError, match=rf"{name} needs n ≥ 2f\+1"):
            rule(torch.zeros(6, 20), 3)


def test_the_input_is_not_written_to() -> None:
    vectors = torch.from_numpy(np.ones((5, 100), dtype=np.float32))
    vectors[0], vectors[1] = math.nan, 3e38
    before = vectors.clone()
    for rule, _ in TWINS.values():
        rule(vectors, 2)
        assert torch.equal(vectors.nan_to_num(7), before.nan_to_num(7))
