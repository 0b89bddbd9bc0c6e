"""MDA's budget: what spends it, what is chosen then, and that replicas agree on it."""

import itertools
import random

import numpy as np
import numpy.typing as npt
import pytest
import torch

from byzsgd.aggregators import AggregationError, compiled, pairwise_squared
from byzsgd.aggregators.mda import BUDGET, mda, minimum_diameter_choice
from byzsgd.aggregators.rows import Rows
from byzsgd.aggregators.subset_search import SubsetSearch

Edges = list[tuple[int, int]]
Matrix = npt.NDArray[np.float64]


def diameter(distances: Matrix, rows: tuple[int, ...]) -> float:
    return float(distances[np.ix_(rows, rows)].max())


def tied(rng: random.Random, n: int) -> Matrix:
    most = rng.choice([3, 12, 10**9])
    upper = np.triu([[rng.randint(1, most) for _ in range(n)] for _ in range(n)], 1).astype(float)
    distances: Matrix = upper + upper.T
    return distances


def test_a_spent_budget_gives_a_subset_of_at_most_twice_the_least_diameter() -> None:
    spent = 0
    for seed in range(60):
        points = torch.from_numpy(np.random.default_rng(seed).normal(size=(26, 2)))
        distances = pairwise_squared(points).sqrt()
        best = minimum_diameter_choice(distances, 12, BUDGET)
        assert best.exact
        least = diameter(distances.numpy(), best.rows)
        for budget in (0, 1, 2, 5, 12):
            choice = minimum_diameter_choice(distances, 12, budget)
            assert choice == minimum_diameter_choice(distances, 12, budget)
            assert len(set(choice.rows)) == 14
            assert list(choice.rows) == sorted(choice.rows)
            assert least <= diameter(distances.numpy(), choice.rows) <= 2 * least
            assert choice == best if choice.exact else True
            spent += not choice.exact
    assert spent > 150


def test_the_budget_counts_alike_without_numba(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = random.Random(3)
    cases = [(tied(rng, n), (n - 1) // 2) for n in (20, 31, 66) for _ in range(8)]
    budgets = [1, 3, 10, 25, 40]

    def choices() -> list[object]:
        return [
            minimum_diameter_choice(torch.from_numpy(distances), f, budget)
            for distances, f in cases
            for budget in budgets
        ]

    ours = choices()
    monkeypatch.setattr(compiled, "AVAILABLE", False)
    assert choices() == ours
    assert {choice.exact for choice in ours} == {True, False}  # type: ignore[attr-defined]


def test_the_rule_says_whether_its_budget_was_enough() -> None:
    vectors = torch.from_numpy(np.random.default_rng(0).normal(size=(26, 2)))
    whole, little = mda().apply(vectors, 12), mda(budget=1).apply(vectors, 12)
    assert whole.choice is not None
    assert little.choice is not None
    assert (whole.choice.exact, little.choice.exact) == (True, False)
    torch.testing.assert_close(little.vector, vectors[list(little.choice.rows)].mean(0))
    assert mda(budget=1).options == {"budget": 1}
    assert mda().choose is not None
    assert mda().choose(Rows(vectors), 0).exact  # type: ignore[misc]


@pytest.mark.parametrize("budget", [-1, 1.5, True])
def test_a_budget_is_a_count(budget: int) -> None:
    with pytest.raises(AggregationError, match=f"integer ≥ 0, was given {budget}"):
        mda(budget=budget)


# --- hard graphs: nodes, not time -----------------------------------------------------------------


def regular(m: int, degree: int, rng: random.Random) -> Edges:
    """A random graph with `degree` edges at each of m vertices: pair stubs, exchange what fails."""
    stubs = [v for v in range(m) for _ in range(degree)]
    rng.shuffle(stubs)
    pairs = list(zip(stubs[::2], stubs[1::2], strict=True))
    while True:
        keys = [frozenset(pair) for pair in pairs]
        bad = [at for at, key in enumerate(keys) if len(key) == 1 or keys.count(key) > 1]
        if not bad:
            return pairs
        at, other = bad[0], rng.randrange(len(pairs))
        (a, b), (c, d) = pairs[at], pairs[other]
        if at != other:
            pairs[at], pairs[other] = (a, d), (c, b)


def far_graph(n: int, edges: Edges, rng: random.Random) -> Matrix:
    """Distances without ties of which those along `edges` are the largest."""
    order = rng.sample(range(n), n)
    distances = np.zeros((n, n))
    far = {frozenset((order[i], order[j])) for i, j in edges}
    for i, j in itertools.combinations(range(n), 2):
        distances[i, j] = distances[j, i] = 1 + rng.random() + 2 * (frozenset((i, j)) in far)
    return distances


def beside_honest(n: int, f: int, rng: random.Random) -> Matrix:
    """Honest distances in random order, and each liar next to an honest row."""
    honest = np.triu([[1 + rng.random() for _ in range(n)] for _ in range(n)], 1)
    near = [*range(n - f), *(rng.randrange(n - f) for _ in range(f))]
    distances: Matrix = (honest + honest.T)[np.ix_(near, near)]
    noise = np.triu([[1e-9 * rng.random() for _ in range(n)] for _ in range(n)], 1)
    order = rng.sample(range(n), n)
    distances += noise + noise.T
    return distances[np.ix_(order, order)]


def nodes(distances: Matrix, f: int) -> int:
    prepared = distances.copy()
    np.fill_diagonal(prepared, -np.inf)
    selection = SubsetSearch(prepared, f, BUDGET)
    assert selection.choice().exact
    return BUDGET - selection.covers.budget


HARD = [  # n, f, vertices and degree of the far graph
    (50, 16, 25, 6),
    (50, 24, 41, 4),
    (50, 24, 38, 7),
    (100, 33, 48, 7),
    (100, 33, 55, 4),
    (100, 49, 90, 3),
    (100, 49, 82, 4),
    (100, 49, 75, 6),
]


@pytest.mark.parametrize(("n", "f", "m", "degree"), HARD)
def test_the_hardest_known_far_graphs_stay_far_below_the_budget(
    n: int, f: int, m: int, degree: int
) -> None:
    if not compiled.AVAILABLE:
        pytest.skip("minutes without numba")
    for seed in range(4):
        rng = random.Random(seed)
        spent = nodes(far_graph(n, regular(m, degree, rng), rng), f)
        assert spent < (1_000 if n == 50 else 5_000 if f == 33 else BUDGET // 8)


@pytest.mark.parametrize(("n", "f", "most"), [(50, 24, 150), (100, 33, 130), (100, 49, 700)])
def test_liars_beside_honest_rows_cost_few_nodes(n: int, f: int, most: int) -> None:
    """A third more without mirrors: such a liar and its neighbour are dropped together."""
    if not compiled.AVAILABLE:
        pytest.skip("minutes without numba")
    assert max(nodes(beside_honest(n, f, random.Random(seed)), f) for seed in range(6)) < most


@pytest.mark.parametrize("f", [66, 99])
def test_natural_distances_cost_next_to_nothing_at_two_hundred(f: int) -> None:
    rng = np.random.default_rng(f)
    rows = rng.normal(size=(200, 60))
    clusters, copies = rows.copy(), rows.copy()
    clusters[:f] += 3
    copies[:f] = rows[f:].mean(0) - 1.5 * rows[f:].std(0)
    for points, most in ((rows, 1_000), (clusters, 20), (copies, 50)):
        assert nodes(pairwise_squared(torch.from_numpy(points)).numpy(), f) < most
