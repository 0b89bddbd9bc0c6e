"""MDA against the enumeration of all subsets."""

import itertools
import math
import random
from functools import cache

import numpy as np
import numpy.typing as npt
import pytest
import torch

from byzsgd.aggregators import (
    AGGREGATORS,
    AggregationError,
    aggregate,
    compiled,
    minimum_diameter_subset,
    pairwise_squared,
)
from byzsgd.aggregators.mda import FEW

Matrix = npt.NDArray[np.float64]


@pytest.fixture(autouse=True, params=[FEW, 0], ids=["few rows: all subsets", "covers"])
def _both_ways(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("byzsgd.aggregators.mda.FEW", request.param)


@cache
def subsets(n: int, size: int) -> npt.NDArray[np.int64]:
    return np.array(list(itertools.combinations(range(n), size)))


def enumerated(distances: Matrix, f: int) -> tuple[int, ...]:
    """The naive twin: the first of all C(n, f) subsets in order with the least diameter."""
    rows = subsets(len(distances), len(distances) - f)
    diameters = np.zeros(len(rows))
    for i, j in itertools.combinations(range(rows.shape[1]), 2):
        np.maximum(diameters, distances[rows[:, i], rows[:, j]], out=diameters)
    return tuple(rows[diameters.argmin()].tolist())


def diameter(distances: Matrix, rows: tuple[int, ...]) -> float:
    return float(distances[np.ix_(rows, rows)].max())


def random_distances(rng: random.Random, n: int, f: int) -> Matrix:
    """From all distinct to nearly all equal; infinite ones that leave n−f rows, now and then."""
    values = rng.choice([1, 2, 3, 5, 12, 10**9])
    matrix = np.zeros((n, n))
    lost = set(rng.sample(range(n), rng.choice([0, 0, f // 2, f])))
    holes = rng.choice([0, 0, 0.5, 1])
    for i, j in itertools.combinations(range(n), 2):
        infinite = (i in lost or j in lost) and rng.random() < holes
        matrix[i, j] = matrix[j, i] = math.inf if infinite else rng.randint(0, values)
    return matrix


def chosen(distances: Matrix, f: int) -> tuple[int, ...]:
    return minimum_diameter_subset(torch.from_numpy(distances), f)


def check_random_instances(seed: int, number: int, most: int) -> None:
    rng = random.Random(seed)
    for _ in range(number):
        n = rng.randint(1, most)
        f = rng.randint(0, (n - 1) // 2)
        distances = random_distances(rng, n, f)
        assert chosen(distances, f) == enumerated(distances, f), (distances.tolist(), f)


@pytest.mark.parametrize("seed", range(20))
def test_the_same_subset_as_enumeration(seed: int) -> None:
    """10,000 instances in all."""
    check_random_instances(seed, 500, 14)


def test_the_same_subset_as_enumeration_without_numba(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compiled, "AVAILABLE", False)
    check_random_instances(-1, 300, 11)


@pytest.mark.parametrize("seed", range(4))
def test_the_same_subset_as_enumeration_on_points(seed: int) -> None:
    """Vectors on a small grid, with copies and lies: the ties that geometry makes."""
    rng = random.Random(100 + seed)
    for _ in range(30):
        n = rng.randint(3, 13)
        f = rng.randint(1, (n - 1) // 2)
        vectors = torch.tensor([[rng.randint(0, 3) for _ in range(2)] for _ in range(n)]).float()
        vectors[: f // 2] = rng.choice([math.nan, math.inf, 1e20, vectors[-1, 0].item()])
        rows = enumerated(pairwise_squared(vectors).numpy(), f)
        assert AGGREGATORS["mda"].select(vectors, f) == rows
        assert torch.allclose(aggregate("mda", vectors, f), vectors[list(rows)].mean(0))


def test_a_row_kept_against_the_first_cover_changes_which_others_can_stay() -> None:
    """Found by search: the complement of the first cover found is not the first subset."""
    distances = 1.0 - np.eye(7)
    for i, j in [(0, 1), (0, 2), (2, 6), (4, 5), (4, 6)]:
        distances[i, j] = distances[j, i] = 2.0
    assert chosen(distances, 3) == enumerated(distances, 3) == (0, 3, 5, 6)


@pytest.mark.parametrize("n", [20, 63, 64, 65, 130])
def test_in_any_order_the_diameter_is_the_same_and_the_subset_the_first(n: int) -> None:
    rng = np.random.default_rng(n)
    f = (n - 1) // 3
    for values in (5, 10**9):
        distances = np.triu(rng.integers(1, values, (n, n)), 1).astype(float)
        distances += distances.T
        order = rng.permutation(n)
        first, second = chosen(distances, f), chosen(distances[np.ix_(order, order)], f)
        moved = tuple(sorted(order[list(second)].tolist()))
        assert diameter(distances, first) == diameter(distances, moved)
        assert len(set(first)) == len(set(second)) == n - f
        assert first <= moved


def test_distances_that_are_not_a_number_count_as_infinite() -> None:
    rng = random.Random(5)
    for _ in range(100):
        n = rng.randint(3, 9)
        f = rng.randint(1, (n - 1) // 2)
        infinite = random_distances(rng, n, 0)
        for bad in rng.sample(range(n), f):
            infinite[bad] = infinite[:, bad] = math.inf
        np.fill_diagonal(infinite, 0)
        unknown = np.where(np.isinf(infinite), math.nan, infinite)
        assert chosen(unknown, f) == enumerated(infinite, f)


def test_without_enough_rows_at_finite_distances_there_is_no_subset() -> None:
    for n, f in [(3, 1), (6, 2), (80, 39)]:
        distances = torch.full((n, n), math.inf)
        distances[: n - f - 1, : n - f - 1] = 1.0
        with pytest.raises(AggregationError, match=f"n-f={n - f} of the n={n} rows at finite"):
            minimum_diameter_subset(distances, f)
        # Each row has enough others at finite distances, but no n−f rows have one another.
        if n > 3:
            ring = torch.ones(n, n)
            for at in range(n):
                ring[at, (at + 1) % n] = ring[(at + 1) % n, at] = math.inf
            with pytest.raises(AggregationError, match="at finite distances"):
                minimum_diameter_subset(ring, f)


@pytest.mark.parametrize("f", [-1, 2])
def test_distances_for_too_few_rows_are_refused(f: int) -> None:
    with pytest.raises(AggregationError, match=r"n ≥ 2f\+1"):
        minimum_diameter_subset(torch.zeros(4, 4), f)
    with pytest.raises(AggregationError, match=r"shape \(4, 3\)"):
        minimum_diameter_subset(torch.zeros(4, 3), 1)


def test_the_distances_given_are_not_changed() -> None:
    for dtype in (torch.float64, torch.float32):
        distances = torch.full((5, 5), math.nan, dtype=dtype)
        distances[:3, :3] = 1
        before = distances.clone()
        assert minimum_diameter_subset(distances, 2) == (0, 1, 2)
        assert torch.equal(distances.nan_to_num(-1), before.nan_to_num(-1))


@pytest.mark.parametrize("lie", [math.nan, math.inf, -math.inf])
def test_f_non_finite_rows_are_left_out_and_one_more_is_refused(lie: float) -> None:
    vectors = torch.randn(7, 40_000)
    vectors[1, 39_999] = vectors[4, 0] = lie
    assert AGGREGATORS["mda"].select(vectors, 2) == (0, 2, 3, 5, 6)
    assert bool(aggregate("mda", vectors, 2).isfinite().all())
    vectors[6, 5] = lie
    refusal = "mda tolerates f=2 rows with NaN or Inf in them, was given 3 of n=7"
    with pytest.raises(AggregationError, match=refusal):
        aggregate("mda", vectors, 2)


@pytest.mark.parametrize("n", [1, 2, 5])
def test_without_liars_it_is_the_mean_and_no_row_may_be_non_finite(n: int) -> None:
    vectors = torch.randn(n, 9)
    assert AGGREGATORS["mda"].select(vectors) == tuple(range(n))
    assert minimum_diameter_subset(pairwise_squared(vectors), 0) == tuple(range(n))
    torch.testing.assert_close(aggregate("mda", vectors), vectors.mean(0))
    vectors[n - 1, 3] = math.nan
    with pytest.raises(AggregationError, match="tolerates f=0"):
        aggregate("mda", vectors)


def test_all_rows_equal_gives_the_first_ones() -> None:
    vectors = torch.ones(9, 5)
    assert AGGREGATORS["mda"].select(vectors, 4) == (0, 1, 2, 3, 4)
    assert aggregate("mda", vectors, 4).tolist() == [1] * 5
