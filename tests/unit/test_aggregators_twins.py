"""Every rule, and every step before one, against its naive twin: ties, non-finite rows, options."""

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from byzsgd.aggregators import (
    AGGREGATORS,
    PREAGGREGATIONS,
    AggregationError,
    compiled,
    configured,
    preaggregation,
)
from byzsgd.aggregators.testing import STEP_TWINS, TWINS, twin_of
from byzsgd.aggregators.testing.center_twins import summed_distance

WHOLE, ON_A_LINE, GENERIC = "whole numbers", "on a line", "generic"

WITH_OPTIONS: list[tuple[str, dict[str, Any], tuple[str, ...]]] = [
    ("multi_krum", {"m": 1}, (WHOLE, GENERIC)),
    ("bulyan", {"base": "mda"}, (GENERIC,)),
    ("bulyan", {"base": "medoid"}, (ON_A_LINE, GENERIC)),
    ("bulyan", {"variant": "aggregathor"}, (GENERIC,)),
    ("centered_clipping", {"radius": 1.5, "iterations": 5}, (ON_A_LINE, GENERIC)),
]
"""A rule, its options, and the inputs on which it breaks ties exactly."""

STEPS: list[tuple[str, dict[str, Any]]] = [
    ("nnm", {}),
    ("bucketing", {}),
    ("bucketing", {"size": 3, "seed": 7}),
    ("clipping", {}),
    ("clipping", {"threshold": 2.0}),
]

KINDS = {"medoid": (ON_A_LINE, GENERIC), "centered_clipping": (ON_A_LINE, GENERIC)}
"""They add square roots: off the line, ties are broken by rounding."""

QUICK = settings(max_examples=20)


@st.composite
def settings_of(draw: st.DrawFn, minimum_n: Callable[[int], int]) -> tuple[int, int]:
    f = draw(st.integers(0, 2))
    return minimum_n(f) + draw(st.integers(0, 2)), f


@st.composite
def rows(draw: st.DrawFn, n: int, f: int, kind: str) -> Tensor:
    """(n, d) vectors of which now and then up to f + 1 are not finite."""
    if kind == GENERIC:
        generator = torch.Generator().manual_seed(draw(st.integers(0, 10**6)))
        vectors = torch.randn(n, draw(st.integers(2, 7)), generator=generator)
        vectors *= torch.randn(n, 1, generator=generator).exp()
    else:
        d = 1 if kind == ON_A_LINE else draw(st.integers(1, 3))
        whole = st.lists(st.integers(-3, 3), min_size=d, max_size=d)
        vectors = torch.tensor(draw(st.lists(whole, min_size=n, max_size=n))).float()
        if kind == ON_A_LINE:  # whole distances: 5 from step to step
            vectors = vectors * torch.tensor([[3.0, 0.0, 4.0]])
    lies = draw(st.lists(st.integers(0, n - 1), max_size=f + 1))
    for row in lies:
        at = draw(st.integers(0, vectors.shape[1] - 1))
        vectors[row, at] = draw(st.sampled_from([math.nan, math.inf, -math.inf]))
    return vectors.to(draw(st.sampled_from([torch.float32, torch.float64])))


def _lost_altogether(rows: Tensor) -> Tensor:
    """What a row with NaN or Inf holds besides is nobody's business."""
    return rows.masked_fill(~rows.isfinite().all(1, keepdim=True), torch.nan)


def _with_and_without_kernels(check: Callable[[], None]) -> None:
    check()
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(compiled, "AVAILABLE", False)
        check()


def _assert_same(result: Tensor, expected: Tensor, vectors: Tensor) -> None:
    finite = vectors[vectors.isfinite()].double()
    size = float(finite.abs().max()) if len(finite) else 0.0
    near = 16 * torch.finfo(vectors.dtype).eps * size
    result, expected = (
        x.double().nan_to_num(torch.nan, torch.nan, torch.nan) for x in (result, expected)
    )
    torch.testing.assert_close(result, expected, rtol=0, atol=near, equal_nan=True)


def _assert_as_the_twin(
    rule: Callable[[Tensor, int], Tensor],
    twin: Callable[[Tensor, int], Tensor],
    vectors: Tensor,
    f: int,
    may_survive: bool,
) -> None:
    """The same result or a refusal of both; a rule on coordinates may do without a refusal, when no
    coordinate has lost more than it can spare.
    """
    try:
        expected = twin(vectors, f)
    except AggregationError:
        if may_survive:
            return
        with pytest.raises(AggregationError, match=r"NaN or Inf|non-finite"):
            rule(vectors, f)
        return
    _assert_same(rule(vectors, f), expected, vectors)


TWINNED = sorted(set(AGGREGATORS) & set(TWINS) - {"geometric_median"})


@pytest.mark.parametrize("name", TWINNED)
@QUICK
@given(data=st.data())
def test_a_rule_is_its_twin(name: str, data: st.DataObject) -> None:
    rule, twin = AGGREGATORS[name], twin_of(name)
    assert twin is not None
    n, f = data.draw(settings_of(rule.minimum_n))
    vectors = data.draw(rows(n, f, data.draw(st.sampled_from(KINDS.get(name, (WHOLE, GENERIC))))))
    _with_and_without_kernels(
        lambda: _assert_as_the_twin(rule, twin, vectors, f, not rule.by_distance)
    )


@pytest.mark.parametrize(("name", "options", "kinds"), WITH_OPTIONS)
@QUICK
@given(data=st.data())
def test_a_rule_with_options_is_its_twin(
    name: str, options: dict[str, Any], kinds: tuple[str, ...], data: st.DataObject
) -> None:
    rule = configured(name, **options)
    twin = twin_of(name, options)
    assert twin is not None
    n, f = data.draw(settings_of(rule.minimum_n))
    vectors = data.draw(rows(n, f, data.draw(st.sampled_from(kinds))))
    _with_and_without_kernels(lambda: _assert_as_the_twin(rule, twin, vectors, f, False))


@pytest.mark.parametrize(("name", "options"), STEPS)
@QUICK
@given(data=st.data())
def test_a_step_before_a_rule_is_its_twin(
    name: str, options: dict[str, Any], data: st.DataObject
) -> None:
    step = preaggregation({"name": name, **options})
    n, f = data.draw(settings_of(lambda f: 2 * f + 1))
    vectors = data.draw(rows(n, f, data.draw(st.sampled_from([WHOLE, GENERIC]))))

    def step_of(vectors: Tensor, f: int) -> Tensor:
        return _lost_altogether(step(vectors, f))

    def twin(vectors: Tensor, f: int) -> Tensor:
        return _lost_altogether(STEP_TWINS[name](vectors, f, **options))

    _with_and_without_kernels(lambda: _assert_as_the_twin(step_of, twin, vectors, f, True))


@pytest.mark.skipif("geometric_median" not in AGGREGATORS, reason="not there")
@settings(max_examples=30)
@given(data=st.data())
def test_no_point_has_smaller_summed_distances_than_the_geometric_median(
    data: st.DataObject,
) -> None:
    """Where several are best, as between two points, any of them will do."""
    rule, twin = AGGREGATORS["geometric_median"], TWINS["geometric_median"]
    n, f = data.draw(settings_of(rule.minimum_n))
    vectors = data.draw(rows(n, f, data.draw(st.sampled_from([WHOLE, ON_A_LINE, GENERIC]))))
    finite = vectors.isfinite().all(1)
    if int((~finite).sum()) > f:
        with pytest.raises(AggregationError):
            rule(vectors, f)
        return
    points = vectors[finite]

    def check() -> None:
        best = summed_distance(points, twin(vectors, f))
        spread = float((points.double() - points.double().mean(0)).norm(dim=1).max())
        assert summed_distance(points, rule(vectors, f)) <= best + 1e-4 * spread

    _with_and_without_kernels(check)


def test_every_rule_and_every_step_has_a_twin() -> None:
    assert set(AGGREGATORS) - set(TWINS) <= {"safeguard"}  # a filter over many steps
    assert set(PREAGGREGATIONS) == set(STEP_TWINS)


# --- the twins themselves, on cases that are done by hand -----------------------------------------

LINE = torch.tensor([[0.0], [1.0], [2.0], [4.0], [8.0], [100.0], [-50.0]])


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("average", 65 / 7),
        ("median", 2.0),
        ("trimmed_mean", (1 + 2 + 4) / 3),
        ("meamed", (2 + 1 + 4 + 0 + 8) / 5),
        ("phocas", (2 + 1 + 4 + 0 + 8) / 5),
        ("krum", 2.0),  # of 3 neighbours: 1 + 4 + 16, 1 + 1 + 9, 1 + 4 + 4, …
        ("multi_krum", (2 + 1 + 0) / 3),
        ("mda", (0 + 1 + 2 + 4 + 8) / 5),
        ("medoid", 2.0),
        ("geometric_median", 2.0),
    ],
)
def test_a_twin_by_hand(name: str, expected: float) -> None:
    assert TWINS[name](LINE, 2).item() == pytest.approx(expected)


def test_bulyans_twin_by_hand() -> None:
    """With f = 1, n = 7: 5 picks (by 4, 3, 2, 1, 1 neighbours), then the 3 values
    nearest the median.
    """
    vectors = torch.tensor([[0.0], [1.0], [2.0], [3.0], [5.0], [9.0], [1000.0]])
    assert TWINS["bulyan"](vectors, 1).item() == pytest.approx(2.0)


def test_centered_clippings_twin_by_hand() -> None:
    """From 2: the distances are 2 1 0 2 6 98 52, so the radius is 2, and one step adds
    (−2 − 1 + 0 + 2 + 2 + 2 − 2) / 7.
    """
    result = TWINS["centered_clipping"](LINE, 2, iterations=1)
    assert result.item() == pytest.approx(2 + 1 / 7)


def test_the_steps_twins_by_hand() -> None:
    mixed = STEP_TWINS["nnm"](LINE[:5], 2)
    assert mixed.flatten().tolist() == pytest.approx([1, 1, 1, 7 / 3, 14 / 3])
    clipped = STEP_TWINS["clipping"](LINE, 2)
    assert clipped.flatten().tolist() == [0, 1, 2, 4, 4, 4, -4]
    buckets = STEP_TWINS["bucketing"](LINE, 2, size=7)
    assert buckets.flatten().tolist() == pytest.approx([65 / 7])
    assert len(STEP_TWINS["bucketing"](LINE, 2)) == 4
