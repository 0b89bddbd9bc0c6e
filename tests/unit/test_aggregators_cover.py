"""Vertex covers against the enumeration of all covers, compiled and not."""

import itertools
import random
from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
import pytest

from byzsgd.aggregators import compiled
from byzsgd.aggregators.cover import CoverSearch, OutOfNodes

Edges = list[tuple[int, int]]
PLENTY = 10**9


@pytest.fixture(params=["numba", "plain"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    if request.param == "plain":
        monkeypatch.setattr(compiled, "AVAILABLE", False)
    elif not compiled.AVAILABLE:
        pytest.skip("there is no numba")
    return str(request.param)


def matrix(n: int, edges: Edges) -> npt.NDArray[np.bool_]:
    joined = np.zeros((n, n), bool)
    for i, j in edges:
        joined[i, j] = joined[j, i] = True
    return joined


def searching(n: int, edges: Edges, budget: int = PLENTY) -> CoverSearch:
    covers = CoverSearch(n, budget)
    covers.load(matrix(n, edges))
    return covers


def least_cover(edges: Edges) -> int:
    """The naive twin: one end of every edge has to be taken."""
    if not edges:
        return 0
    return 1 + min(least_cover([e for e in edges if end not in e]) for end in edges[0])


def assert_least_cover(n: int, edges: Edges, least: int) -> None:
    covers = searching(n, edges)
    for size in range(least + 2):
        found = covers.cover((1 << n) - 1, size)
        assert (found is not None) == (size >= least), (n, edges, size)
        if found is not None:
            assert all((found >> i | found >> j) & 1 for i, j in edges)
            assert found.bit_count() <= size
            assert found >> n == 0


@pytest.mark.parametrize("seed", range(4))
def test_covers_are_found_exactly_when_there_are_some(way: str, seed: int) -> None:
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


def test_vertices_that_are_not_live_do_not_count(way: str) -> None:
    covers = searching(4, [(0, 1), (1, 2), (2, 3)])
    assert covers.cover(0b1001, 0) == 0
    assert covers.cover(0b1011, 0) is None


@pytest.mark.parametrize("length", [3, 4, 5, 6, 7, 8, 9])
@pytest.mark.parametrize("copies", [1, 2, 4, 16])
def test_cycles_apart_from_one_another(way: str, length: int, copies: int) -> None:
    edges = [
        (start + at, start + (at + 1) % length)
        for start in range(0, length * copies, length)
        for at in range(length)
    ]
    assert_least_cover(length * copies, edges, copies * ((length + 1) // 2))


def petersen(start: int = 0) -> Edges:
    rim = ((start + v, start + (v + 1) % 5) for v in range(5))
    spokes = ((start + v, start + v + 5) for v in range(5))
    star = ((start + v + 5, start + (v + 2) % 5 + 5) for v in range(5))
    return [*rim, *spokes, *star]


def test_cubic_graphs_of_known_cover(way: str) -> None:
    cube = [(a, a ^ bit) for a in range(8) for bit in (1, 2, 4) if a < a ^ bit]
    assert_least_cover(8, cube, 4)
    cubes = [(a + start, b + start) for a, b in cube for start in (0, 8, 16)]
    assert_least_cover(24, cubes, 12)  # what its bound leaves to each is just enough
    assert_least_cover(10, petersen(), 6)


def test_what_fell_apart_is_not_multiplied(way: str) -> None:
    """Each of 20 components needs one vertex more than its bound: 2²⁰ ways, if taken together."""
    edges = [edge for start in range(0, 200, 10) for edge in petersen(start)]
    covers = searching(200, edges, budget=2_000)
    assert covers.cover((1 << 200) - 1, 119) is None
    found = covers.cover((1 << 200) - 1, 120)
    assert found is not None
    assert found.bit_count() == 120


def random_graphs(number: int) -> Iterator[tuple[int, Edges]]:
    """In one to three parts, sparse and dense, on both sides of one and two words of 64 bits."""
    rng = random.Random(number)
    for _ in range(number):
        n = rng.choice([rng.randint(1, 14), rng.randint(15, 50), 63, 64, 65, 80, 129])
        chance = rng.choice([rng.random(), rng.uniform(1, 6) / n, 4 / n])
        part = [rng.randrange(rng.choice([1, 1, 2, 3])) for _ in range(n)]
        pairs = itertools.combinations(range(n), 2)
        yield n, [(i, j) for i, j in pairs if part[i] == part[j] and rng.random() < chance]


@pytest.mark.skipif(not compiled.AVAILABLE, reason="there is no numba")
def test_the_same_covers_in_the_same_nodes_with_and_without_numba(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    outcomes = []
    graphs = list(random_graphs(1_000))
    for available in (True, False):
        monkeypatch.setattr(compiled, "AVAILABLE", available)
        rng = random.Random(0)
        outcomes.append([outcome(n, edges, rng) for n, edges in graphs])
    assert outcomes[0] == outcomes[1]
    found = [cover for cover, _ in outcomes[0]]
    assert min(found.count(None), found.count("spent")) > 20
    assert sum(30 - left > 10 for _, left in outcomes[0]) > 50


def outcome(n: int, edges: Edges, rng: random.Random) -> tuple[int | str | None, int]:
    covers = searching(n, edges, budget=30)
    live = rng.choice([(1 << n) - 1, rng.getrandbits(n)])
    guess = int(min(n, len(edges)) * rng.uniform(0.4, 0.7))
    try:
        return covers.cover(live, guess), covers.budget
    except OutOfNodes:
        return "spent", covers.budget
