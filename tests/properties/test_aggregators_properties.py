"""What holds for any input: permutation, translation, scale, and how far f liars can drag."""

import math

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from byzsgd.aggregators import AGGREGATORS, aggregate

RELAXED = settings(deadline=None, max_examples=60)  # a busy machine is no failure
RULES = st.sampled_from(["average", "median", "trimmed_mean", "meamed", "mda"])
"""Those whose results are exact on whole numbers; `byzsgd.aggregators.testing` asks all of them."""
SMALL = st.integers(-50, 50)
ANYTHING = st.floats(width=32, allow_nan=True, allow_infinity=True)


@st.composite
def inputs(draw: st.DrawFn, least_f: int = 0) -> tuple[torch.Tensor, int]:
    """Whole numbers, so that moving and scaling them is exact; many of them equal."""
    f = draw(st.integers(least_f, 4))
    n = draw(st.integers(2 * f + 1, 2 * f + 6))
    d = draw(st.integers(1, 4))
    rows = draw(st.lists(st.lists(SMALL, min_size=d, max_size=d), min_size=n, max_size=n))
    return torch.tensor(rows, dtype=torch.float32), f


@RELAXED
@given(inputs(), RULES, st.randoms(use_true_random=False))
def test_the_order_of_rows_matters_only_where_distances_tie(case, rule, random):  # type: ignore[no-untyped-def]
    vectors, f = case
    if rule == "mda":  # distinct distances: powers of two along one axis
        vectors[:, 0] = torch.tensor([2.0 ** (10 + i) for i in range(len(vectors))])
    order = list(range(len(vectors)))
    random.shuffle(order)
    first, second = aggregate(rule, vectors, f), aggregate(rule, vectors[order], f)
    torch.testing.assert_close(first, second, rtol=1e-6, atol=1e-5)
    if rule == "mda":
        chosen = AGGREGATORS[rule].select(vectors[order], f)
        assert sorted(order[i] for i in chosen) == list(AGGREGATORS[rule].select(vectors, f))


@RELAXED
@given(inputs(), RULES, SMALL)
def test_moving_all_rows_moves_the_result(case, rule, shift):  # type: ignore[no-untyped-def]
    vectors, f = case
    moved = aggregate(rule, vectors + shift, f)
    torch.testing.assert_close(moved, aggregate(rule, vectors, f) + shift, rtol=0, atol=1e-4)
    if rule == "mda":
        select = AGGREGATORS[rule].select
        assert select(vectors + shift, f) == select(vectors, f)


@RELAXED
@given(inputs(), RULES, st.integers(-100, 100))
def test_scaling_all_rows_scales_the_result(case, rule, exponent):  # type: ignore[no-untyped-def]
    vectors, f = case
    scale = 2.0**exponent
    assert torch.equal(aggregate(rule, vectors * scale, f), aggregate(rule, vectors, f) * scale)


@RELAXED
@given(inputs(least_f=1), st.data())
def test_the_median_stays_within_the_honest_range(case, data):  # type: ignore[no-untyped-def]
    vectors, f = case
    honest = vectors[f:].clone()
    lies = data.draw(st.lists(ANYTHING, min_size=vectors[:f].numel(), max_size=vectors[:f].numel()))
    vectors[:f] = torch.tensor(lies).view_as(vectors[:f])
    result = aggregate("median", vectors, f)
    assert bool((result >= honest.min(0).values).all())
    assert bool((result <= honest.max(0).values).all())


@RELAXED
@given(inputs(least_f=1), st.data())
def test_mda_stays_within_its_bound_of_the_honest_mean(case, data):  # type: ignore[no-untyped-def]
    """Each chosen liar is within the honest diameter of each chosen honest row."""
    vectors, f = case
    n, honest = len(vectors), vectors[f:].clone()
    lies = data.draw(st.lists(ANYTHING, min_size=vectors[:f].numel(), max_size=vectors[:f].numel()))
    vectors[:f] = torch.tensor(lies).view_as(vectors[:f])
    result = aggregate("mda", vectors, f)
    diameter = float(torch.cdist(honest.double(), honest.double()).max())
    distance = float((result - honest.mean(0)).norm())
    assert math.isfinite(distance)
    assert distance <= 2 * f / (n - f) * diameter * 1.0001 + 1e-4
