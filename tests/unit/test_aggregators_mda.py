"""MDA against the enumeration of all subsets, and covers against the enumeration of all covers."""

import itertools
import math
import random

import pytest
import torch

from byzsgd.aggregators import (
    AGGREGATORS,
    AggregationError,
    aggregate,
    minimum_diameter_subset,
    pairwise_squared,
)
from byzsgd.aggregators.cover import vertex_cover

Matrix = list[list[float]]


def enumerated(distances: Matrix, f: int) -> tuple[int, ...]:
    """The naive twin: the first of all C(n, f) subsets in order with the least diameter."""
    n = len(distances)
    best: tuple[float, tuple[int, ...]] | None = None
    for subset in itertools.combinations(range(n), n - f):
        diameter = max((distances[i][j] for i, j in itertools.combinations(subset, 2)), default=0.0)
        if best is None or diameter < best[0]:
            best = diameter, subset
    assert best is not None
    return best[1]


def random_distances(rng: random.Random, n: int) -> Matrix:
    """From all distinct to nearly all equal; infinite ones, and copies, now and then."""
    values = rng.choice([1, 2, 3, 5, 12, 10**9])
    matrix = [[0.0] * n for _ in range(n)]
    for i, j in itertools.combinations(range(n), 2):
        matrix[i][j] = matrix[j][i] = float(rng.randint(0, values))
    return matrix


@pytest.mark.parametrize("seed", range(8))
def test_the_same_subset_as_enumeration(seed: int) -> None:
    rng = random.Random(seed)
    for _ in range(400):
        n = rng.randint(1, 10)
        f = rng.randint(0, (n - 1) // 2)
        distances = random_distances(rng, n)
        assert minimum_diameter_subset(distances, f) == enumerated(distances, f), (distances, f)


@pytest.mark.parametrize("seed", range(8))
def test_the_same_subset_as_enumeration_on_points(seed: int) -> None:
    """Vectors on a small grid, with copies and lies: the ties that geometry makes."""
    rng = random.Random(100 + seed)
    for _ in range(30):
        n = rng.randint(3, 13)
        f = rng.randint(1, (n - 1) // 2)
        vectors = torch.tensor([[rng.randint(0, 3) for _ in range(2)] for _ in range(n)]).float()
        vectors[: f // 2] = rng.choice([math.nan, math.inf, 1e20, vectors[-1, 0].item()])
        squared: Matrix = pairwise_squared(vectors).tolist()
        chosen = enumerated(squared, f)
        assert AGGREGATORS["mda"].select(vectors, f) == chosen
        assert torch.allclose(aggregate("mda", vectors, f), vectors[list(chosen)].mean(0))


@pytest.mark.parametrize("n", [15, 17])
def test_the_same_subset_as_enumeration_at_the_largest_f(n: int) -> None:
    rng = random.Random(n)
    for _ in range(3):
        distances = random_distances(rng, n)
        assert minimum_diameter_subset(distances, (n - 1) // 2) == enumerated(
            distances, (n - 1) // 2
        )


@pytest.mark.parametrize("far", [math.inf, math.nan])
def test_infinite_distances_are_never_chosen_while_there_is_another_way(far: float) -> None:
    rng = random.Random(5)
    for _ in range(200):
        n = rng.randint(3, 9)
        f = rng.randint(1, (n - 1) // 2)
        distances = random_distances(rng, n)
        for bad in rng.sample(range(n), f):
            for other in range(n):
                distances[bad][other] = distances[other][bad] = far
        finite = [[math.inf if math.isnan(x) else x for x in row] for row in distances]
        assert minimum_diameter_subset(distances, f) == enumerated(finite, f)


@pytest.mark.parametrize("lie", [math.nan, math.inf, -math.inf])
def test_f_non_finite_rows_are_left_out_and_one_more_is_refused(lie: float) -> None:
    vectors = torch.randn(7, 40_000)
    vectors[1, 39_999] = vectors[4, 0] = lie
    assert AGGREGATORS["mda"].select(vectors, 2) == (0, 2, 3, 5, 6)
    assert bool(aggregate("mda", vectors, 2).isfinite().all())
    vectors[6, 5] = lie
    with pytest.raises(AggregationError, match="more than f=2 of the n=7 rows are non-finite"):
        aggregate("mda", vectors, 2)


@pytest.mark.parametrize("n", [1, 2, 5])
def test_without_liars_it_is_the_mean_and_no_row_may_be_non_finite(n: int) -> None:
    vectors = torch.randn(n, 9)
    assert AGGREGATORS["mda"].select(vectors) == tuple(range(n))
    torch.testing.assert_close(aggregate("mda", vectors), vectors.mean(0))
    vectors[n - 1, 3] = math.nan
    with pytest.raises(AggregationError, match="more than f=0"):
        aggregate("mda", vectors)


def test_all_rows_non_finite_is_refused() -> None:
    for n, f in [(1, 0), (3, 1), (6, 2)]:
        with pytest.raises(AggregationError, match="non-finite"):
            aggregate("mda", torch.full((n, 2), math.nan), f)


def test_all_rows_equal_gives_the_first_ones() -> None:
    vectors = torch.ones(9, 5)
    assert AGGREGATORS["mda"].select(vectors, 4) == (0, 1, 2, 3, 4)
    assert aggregate("mda", vectors, 4).tolist() == [1] * 5


@pytest.mark.parametrize("f", [-1, 2])
def test_distances_for_too_few_rows_are_refused(f: int) -> None:
    with pytest.raises(AggregationError, match=r"n ≥ 2f\+1"):
        minimum_diameter_subset(torch.zeros(4, 4), f)
    with pytest.raises(AggregationError, match=r"shape \(4, 3\)"):
        minimum_diameter_subset(torch.zeros(4, 3), 1)


def test_the_distances_given_are_not_changed() -> None:
    distances = torch.full((5, 5), math.nan, dtype=torch.float64)
    distances[:3, :3] = 1
    before = distances.clone()
    assert minimum_diameter_subset(distances, 2) == (0, 1, 2)
    assert torch.equal(distances, before) or torch.equal(distances.isnan(), before.isnan())


@pytest.mark.parametrize("seed", range(4))
def test_covers_are_found_exactly_when_there_are_some(seed: int) -> None:
    rng = random.Random(seed)
    for _ in range(250):
        n = rng.randint(1, 11)
        graph, edges = random_graph(rng, n, rng.choice([0.1, 0.2, 0.35, 0.5, 0.9]))
        live = rng.getrandbits(n) | rng.getrandbits(n)
        inside = [(i, j) for i, j in edges if live >> i & live >> j & 1]
        least = min(s.bit_count() for s in range(1 << n) if covers(s, inside))
        for budget in range(least + 2):
            found = vertex_cover(graph, live, budget)
            assert (found is not None) == (budget >= least)
            if found is not None:
                assert covers(found, inside)
                assert found.bit_count() <= budget
                assert found & ~live == 0


def random_graph(
    rng: random.Random, n: int, density: float
) -> tuple[list[int], list[tuple[int, int]]]:
    edges = [pair for pair in itertools.combinations(range(n), 2) if rng.random() < density]
    graph = [0] * n
    for i, j in edges:
        graph[i] |= 1 << j
        graph[j] |= 1 << i
    return graph, edges


def covers(vertices: int, edges: list[tuple[int, int]]) -> bool:
    return all((vertices >> i | vertices >> j) & 1 for i, j in edges)


def test_sparse_graphs_whose_core_no_rule_shrinks() -> None:
    """Disjoint odd cycles, cubic graphs: branching, components and bounds, with known answers."""
    for length, copies in [(5, 1), (5, 4), (7, 3), (9, 2)]:
        graph = [0] * (length * copies)
        for v in range(length * copies):
            start, at = v - v % length, v % length
            for step in (1, length - 1):
                graph[v] |= 1 << (start + (at + step) % length)
        live, need = (1 << len(graph)) - 1, copies * (length + 1) // 2
        assert vertex_cover(graph, live, need - 1) is None
        cover = vertex_cover(graph, live, need)
        assert cover is not None
        assert cover.bit_count() == need
    petersen = [0] * 10
    for v in range(5):
        for a, b in ((v, (v + 1) % 5), (v, v + 5), (v + 5, (v + 2) % 5 + 5)):
            petersen[a] |= 1 << b
            petersen[b] |= 1 << a
    assert vertex_cover(petersen, 1023, 5) is None
    assert vertex_cover(petersen, 1023, 6) is not None
