"""Distances against float64, where float32 and the Gram matrix would go wrong."""

import math
import random

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from byzsgd.aggregators import distance_sums, distances, pairwise_squared
from byzsgd.aggregators.distance_sums import WIDTH
from byzsgd.aggregators.distances import add_row, finite_rows

BLOCK = 256  # of the kernel


pytestmark = pytest.mark.usefixtures("way")


def twin(vectors: Tensor) -> Tensor:
    wide = vectors.double()
    squared = torch.stack([(wide - row).square().sum(1) for row in wide])
    return squared.nan_to_num(nan=math.inf, posinf=math.inf).fill_diagonal_(0)


def assert_right(vectors: Tensor, error: float = 1e-6) -> None:
    torch.testing.assert_close(pairwise_squared(vectors), twin(vectors), rtol=error, atol=0)


def added_one_by_one(store: Tensor, order: list[int]) -> Tensor:
    squared = torch.full((len(order) + 2, len(order) + 2), math.nan, dtype=torch.float64)
    for k in range(1, len(order) + 1):
        add_row(store, order[:k], squared)
    return squared[: len(order), : len(order)]


@pytest.mark.parametrize("d", [1, 5, BLOCK - 1, BLOCK + 17, WIDTH, WIDTH + 1, 2 * WIDTH + 11])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16, torch.float16])
def test_distances_of_any_length_and_type(d: int, dtype: torch.dtype) -> None:
    assert_right(torch.randn(6, d).to(dtype))


@pytest.mark.parametrize("separation", [1.0, 1e-2, 1e-4, 1e-5])
def test_vectors_close_to_one_another(separation: float) -> None:
    assert_right(torch.randn(1, 100_000) + separation * torch.randn(5, 100_000))


@pytest.mark.parametrize("difference", [0.1, 1 / 3, 0.7, 1.1, 3e-3, 1e-7])
def test_rows_that_differ_by_the_same_amount_everywhere(difference: float) -> None:
    """Whatever roundings there are, they are all of one sign."""
    vectors = torch.full((4, 100_000), difference)
    vectors[1], vectors[3] = 0, difference / 7
    assert_right(vectors)


def test_distances_a_millionth_apart_are_ordered_as_in_float64_at_an_offset_of_a_thousand() -> None:
    d = 50_000
    direction = torch.where(torch.rand(d) < 0.5, 1.0, -1.0)
    vectors = torch.full((6, d), 1000.0)
    for row in range(1, 6):  # float32 has steps of 6e-5 at 1000
        vectors[row] += direction * 0.125
        vectors[row, : row - 1] += direction[: row - 1] * 2.0**-9
    right = twin(vectors)[0]
    steps = right[2:] / right[1:-1] - 1
    assert bool(((steps > 1e-7) & (steps < 2e-6)).all())
    assert torch.equal(pairwise_squared(vectors)[0].argsort(), right.argsort())


@pytest.mark.parametrize("scale", [1e-38, 1e-30, 1e-25, 1e-20, 1e-12, 1e10, 1e18, 1e25, 1e37])
def test_vectors_of_any_scale(scale: float) -> None:
    assert_right(scale * torch.randn(5, 5000))


@pytest.mark.parametrize("size", [1e10, 1e20, 1e30, 3e38])
def test_one_huge_row_spoils_nothing(size: float) -> None:
    vectors = torch.randn(1, 50_000) + 1e-5 * torch.randn(6, 50_000)
    honest = pairwise_squared(vectors)[:5, :5]
    vectors[5] = size
    assert_right(vectors)
    assert torch.equal(pairwise_squared(vectors)[:5, :5], honest)


def test_only_the_pairs_of_a_huge_row_are_computed_again(monkeypatch: pytest.MonkeyPatch) -> None:
    again: list[tuple[int, int]] = []

    def spy(store: Tensor, left: list[int], right: list[int]) -> Tensor:
        again.extend(zip(left, right, strict=True))
        return distance_sums.some_pairs(store, left, right)

    monkeypatch.setattr(distances, "some_pairs", spy)
    vectors = torch.randn(7, 100)
    vectors[2, 5], vectors[4, 3], vectors[6] = 1e20, math.nan, vectors[0]
    assert_right(vectors)
    assert sorted(sorted(pair) for pair in again) == [[0, 2], [1, 2], [2, 3], [2, 5], [2, 6]]


def test_tiny_differences_beside_equal_rows() -> None:
    vectors = torch.zeros(7, 1000)
    vectors[1, 3] = 1e-25
    vectors[4, 3] = 1e-25
    vectors[5, 3] = 1e-25
    vectors[3, 999] = 1e-40
    assert_right(vectors)
    vectors += torch.randn(1000)  # now they are equal
    assert not pairwise_squared(vectors).any()


@pytest.mark.parametrize("difference", [1.1e-22, 2.7e-22, 1.7e-20])
def test_squares_with_few_digits_left(difference: float) -> None:
    """They do not vanish in float32, but are rounded to multiples of 1.4e-45."""
    vectors = torch.zeros(3, 5000)
    vectors[1], vectors[2] = difference, 2 * difference
    assert_right(vectors)


@pytest.mark.parametrize("n", [1, 2, 9])
def test_symmetric_with_a_diagonal_of_zeros(n: int) -> None:
    squared = pairwise_squared(torch.randn(n, 30))
    assert (squared.shape, squared.dtype) == ((n, n), torch.float64)
    assert torch.equal(squared, squared.T)
    assert not squared.diagonal().any()


@pytest.mark.parametrize("lie", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("at", [0, -1])
def test_a_non_finite_row_is_infinitely_far_from_all_others(lie: float, at: int) -> None:
    vectors = torch.randn(6, WIDTH + 3)
    honest = pairwise_squared(vectors)
    vectors[1, at] = vectors[4, at] = lie
    squared = pairwise_squared(vectors)
    for i in range(6):
        for j in range(6):
            bad = i != j and (i in (1, 4) or j in (1, 4))
            assert squared[i, j] == (math.inf if bad else honest[i, j])


def test_float64_rows_whose_distance_overflows_are_infinitely_far() -> None:
    vectors = torch.randn(3, 40, dtype=torch.float64)
    vectors[1] = 1e200
    assert torch.equal(pairwise_squared(vectors).isinf(), twin(vectors).isinf())


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("d", [1, 7, 1023, 1024, 1025, 5000])
@pytest.mark.parametrize("n", [2, 5, 9, 33])
def test_a_distance_depends_on_its_two_rows_alone(n: int, d: int, dtype: torch.dtype) -> None:
    vectors = torch.randn(n, d, dtype=dtype)
    squared = pairwise_squared(vectors)
    order = random.Random(n * d).sample(range(n), n)
    assert torch.equal(pairwise_squared(vectors, order), squared[order][:, order])
    assert torch.equal(pairwise_squared(vectors[order]), squared[order][:, order])
    i, j = order[:2]
    assert pairwise_squared(vectors[[j, i]])[0, 1] == squared[i, j]


def test_one_distance_is_the_same_at_every_pair_of_places(way: str) -> None:
    store = torch.randn(2, 519)
    expected = pairwise_squared(store)[0, 1]
    for n in range(2, 34 if way == "kernel" else 10):
        for i in range(n):
            squared = pairwise_squared(store, [0] * i + [1] + [0] * (n - i - 1))
            others = torch.cat([squared[i, :i], squared[i, i + 1 :]])
            assert bool((others == expected).all())


@pytest.mark.parametrize("n", [1, 2, 3, 4, 5, 8, 13, 33])
@pytest.mark.parametrize("d", [1, 255, 1025])
def test_rows_added_one_by_one_give_the_same_bits(n: int, d: int) -> None:
    store = torch.randn(n + 3, d)
    store[n // 2] = store[0]
    order = random.Random(n + d).sample(range(n + 3), n)
    assert torch.equal(added_one_by_one(store, order), pairwise_squared(store, order))


ODD = st.sampled_from(
    [0, 0, 1, -1, 1e-40, 1e-25, 1e-19, 3e-8, 1e19, 1e20, -3e38, math.nan, math.inf]
)


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 9), st.integers(1, 5), st.data())
def test_anything_at_all(n: int, d: int, data: st.DataObject) -> None:
    values = data.draw(st.lists(ODD, min_size=n * d, max_size=n * d))
    vectors = torch.tensor(values, dtype=torch.float32).view(n, d)
    order = data.draw(st.permutations(range(n)))
    expected = twin(vectors)
    squared = pairwise_squared(vectors)
    torch.testing.assert_close(squared, expected, rtol=1e-6, atol=0)
    assert torch.equal(pairwise_squared(vectors, order), squared[order][:, order])
    assert torch.equal(added_one_by_one(vectors, order), squared[order][:, order])


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_strided_input_gives_what_a_copy_gives_and_is_not_changed(dtype: torch.dtype) -> None:
    wide = torch.randn(600, 14).to(dtype)
    before = wide.clone()
    strided = wide.T[::2]
    assert torch.equal(pairwise_squared(strided), pairwise_squared(strided.contiguous()))
    assert torch.equal(
        pairwise_squared(strided, [4, 0, 2]), pairwise_squared(strided.contiguous()[[4, 0, 2]])
    )
    assert torch.equal(wide, before)


def test_finite_rows_even_where_their_sum_overflows() -> None:
    vectors = torch.randn(6, 300)
    vectors[1], vectors[2, 7], vectors[3, 0], vectors[4, :2] = (
        3e38,
        math.nan,
        -math.inf,
        torch.tensor([math.inf, -math.inf]),
    )
    assert finite_rows(vectors).tolist() == [True, True, False, False, False, True]
    assert finite_rows(torch.full((2, 9), 6e4, dtype=torch.float16)).all()
