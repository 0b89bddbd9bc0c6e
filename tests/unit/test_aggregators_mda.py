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


def test_a_row_kept_against_the_first_cover_changes_which_others_can_stay() -> None:
    """Found by search: the complement of the first cover found is not the first subset."""
    distances = [[float(i != j) for j in range(7)] for i in range(7)]
    for i, j in [(0, 1), (0, 2), (2, 6), (4, 5), (4, 6)]:
        distances[i][j] = distances[j][i] = 2.0
    assert minimum_diameter_subset(distances, 3) == enumerated(distances, 3) == (0, 3, 5, 6)


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


Edges = list[tuple[int, int]]


def least_cover(edges: Edges) -> int:
    """The naive twin: one end of every edge has to be taken."""
    if not edges:
        return 0
    return 1 + min(least_cover([e for e in edges if end not in e]) for end in edges[0])


def bitsets(n: int, edges: Edges) -> list[int]:
    graph = [0] * n
    for i, j in edges:
        graph[i] |= 1 << j
        graph[j] |= 1 << i
    return graph


def assert_least_cover(n: int, edges: Edges, least: int) -> None:
    for budget in range(least + 2):
        found = vertex_cover(bitsets(n, edges), (1 << n) - 1, budget)
        assert (found is not None) == (budget >= least), (n, edges, budget)
        if found is not None:
            assert all((found >> i | found >> j) & 1 for i, j in edges)
            assert found.bit_count() <= budget
            assert found >> n == 0


@pytest.mark.parametrize("seed", range(4))
def test_covers_are_found_exactly_when_there_are_some(seed: int) -> None:
    """Half of the graphs have two or three edges at each vertex: those that no rule shrinks."""
    rng = random.Random(seed)
    for _ in range(80):
        n = rng.randint(1, 9)
        edges = [e for e in itertools.combinations(range(n), 2) if rng.random() < rng.random()]
        assert_least_cover(n, edges, least_cover(edges))
        n = rng.randint(8, 13)
        ring = [(i, (i + 1) % n) for i in range(n)]
        chords = [(rng.randrange(n - 1), n - 1) for _ in range(2)]
        chords += [(at, at + n // 2) for at in range(n // 2) if rng.random() < 0.5]
        edges = sorted({(min(e), max(e)) for e in ring + chords})
        assert_least_cover(n, edges, least_cover(edges))


def test_vertices_that_are_not_live_do_not_count() -> None:
    graph = bitsets(4, [(0, 1), (1, 2), (2, 3)])
    assert vertex_cover(graph, 0b1001, 0) == 0
    assert vertex_cover(graph, 0b1011, 0) is None


@pytest.mark.parametrize("length", [3, 4, 5, 6, 7, 8, 9])
@pytest.mark.parametrize("copies", [1, 2, 4])
def test_cycles_apart_from_one_another(length: int, copies: int) -> None:
    edges = [
        (start + at, start + (at + 1) % length)
        for start in range(0, length * copies, length)
        for at in range(length)
    ]
    assert_least_cover(length * copies, edges, copies * ((length + 1) // 2))


def test_cubic_graphs_of_known_cover() -> None:
    cube = [(a, a ^ bit) for a in range(8) for bit in (1, 2, 4) if a < a ^ bit]
    assert_least_cover(8, cube, 4)
    petersen = [
        e for v in range(5) for e in ((v, (v + 1) % 5), (v, v + 5), (v + 5, (v + 2) % 5 + 5))
    ]
    assert_least_cover(10, petersen, 6)
