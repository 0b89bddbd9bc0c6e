"""What is told of an aggregation, against its definitions written out."""

import json
import math
from collections.abc import Sequence

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from byzsgd import resilience
from byzsgd.aggregators import compiled
from byzsgd.aggregators.spread import spread
from byzsgd.cluster import NodeId
from tests.world import workers

W = workers(9)
LIARS = frozenset(W[:2])
BOUND = 0.5


@pytest.fixture(params=[True, False], ids=["kernels", "torch"], autouse=True)
def kernels(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if not request.param:
        monkeypatch.setattr(compiled, "AVAILABLE", False)


def told(x: Tensor, aggregate: Tensor, chosen: Sequence[NodeId] | None = None) -> dict[str, object]:
    """Of rows of which the first two are lies."""
    rows = {W[k]: k for k in range(len(x))}
    found = resilience.of_gradients(x, rows, aggregate, LIARS, chosen, BOUND)
    json.dumps(found, allow_nan=False)
    return found


def naive(x: Tensor, aggregate: Tensor) -> dict[str, object]:
    """The same of finite rows, without one clever thought."""
    lies, honest = x[:2].double(), x[2:].double()
    mean = honest.mean(0)
    variance = sum(float((row - mean).norm() ** 2) for row in honest) / (len(honest) - 1)
    return {
        "ratio": variance / float(mean.norm() ** 2),
        "bound": BOUND,
        "met": int(variance**0.5 <= BOUND * float(mean.norm())),
        "moved": float((aggregate.double() - mean).norm() / mean.norm()),
        "lies": {
            str(node): (
                float(lie.norm() / mean.norm()),
                float(lie @ mean / lie.norm() / mean.norm()),
            )
            for node, lie in zip(W, lies, strict=False)
        },
    }


def cloud(n: int, d: int, seed: int, size: float = 1.0, spread_: float = 1.0) -> Tensor:
    made = torch.Generator().manual_seed(seed)
    return size * (torch.randn(d, generator=made) + spread_ * torch.randn(n, d, generator=made))


@given(
    st.integers(4, 9),
    st.sampled_from([1, 2, 511, 513, 3000]),
    st.integers(0, 99),
    st.sampled_from([1e-15, 1.0, 1e15, 1e30]),
    st.sampled_from([1e-3, 0.3, 3.0]),
)
def test_all_figures_are_those_of_their_definitions(
    n: int, d: int, seed: int, size: float, spread_: float
) -> None:
    x = cloud(n, d, seed, size, spread_)
    found, expected = told(x, x[2:].mean(0)), naive(x, x[2:].mean(0))
    assert found["ratio"] == pytest.approx(expected["ratio"], rel=1e-4, abs=1e-6)
    assert found["moved"] == pytest.approx(expected["moved"], rel=1e-4, abs=1e-6)
    assert found["met"] == expected["met"] or found["ratio"] == pytest.approx(BOUND**2, rel=1e-4)
    for lie, definition in zip(found["lies"].values(), expected["lies"].values(), strict=True):  # type: ignore[attr-defined]
        assert lie[:2] == pytest.approx(definition, rel=1e-4, abs=1e-6)


def test_the_aggregate_of_a_rule_that_was_fooled_has_moved() -> None:
    x = cloud(7, 100, seed=1)
    honest = x[2:].mean(0)
    assert told(x, honest)["moved"] == pytest.approx(0, abs=1e-6)
    assert told(x, -honest)["moved"] == pytest.approx(2)
    assert told(x, torch.full((100,), math.inf))["moved"] is None


def test_a_lie_that_the_rule_took_is_told_from_one_that_it_did_not() -> None:
    lies = told(cloud(5, 10, seed=1), torch.zeros(10), chosen=W[1:4])["lies"]
    assert [lie[2] for lie in lies.values()] == [0, 1]  # type: ignore[attr-defined]


@pytest.mark.parametrize("poison", [math.nan, math.inf, -math.inf])
def test_rows_that_are_not_finite_spoil_nothing(poison: float) -> None:
    x = cloud(6, 600, seed=2)
    clean = told(x, x[2])
    x[0, 599] = poison
    found = told(x, x[2])
    assert found == clean | {"lies": clean["lies"] | {"worker-0": (None, None, None)}}  # type: ignore[operator]
    broken = torch.cat([x, torch.full((1, 600), poison)])
    assert told(broken, x[2]) == found, "an honest one neither"


def test_what_is_not_defined_is_not_told() -> None:
    zero = torch.zeros(6)
    one = told(torch.ones(3, 6), torch.ones(6))
    assert (one["ratio"], one["met"]) == (None, None), "of one vector nothing varies"
    nobody = told(torch.ones(2, 6), torch.ones(6))
    assert (nobody["ratio"], nobody["moved"]) == (None, None)
    assert nobody["lies"] == {"worker-0": (None, None, None), "worker-1": (None, None, None)}
    equal = told(torch.zeros(5, 6), zero)
    assert (equal["ratio"], equal["met"], equal["moved"]) == (None, None, None)
    apart = told(torch.cat([torch.zeros(2, 6), torch.eye(6)[:1], -torch.eye(6)[:1]]), zero)
    assert (apart["ratio"], apart["met"]) == (None, 0), "they point nowhere"


def test_vectors_that_are_nearly_equal_do_not_cancel() -> None:
    x = torch.ones(5, 1000)
    x[4, 0] = 1 + 2**-20
    variance = (2**-20) ** 2 * 2 / 3 / 2
    assert told(x, x[2])["ratio"] == pytest.approx(variance / 1000, rel=1e-2)


def test_an_unbounded_rule_is_always_met() -> None:
    x = cloud(5, 10, seed=3)
    rows = {W[k]: k for k in range(5)}
    found = resilience.of_gradients(x, rows, x[2], LIARS, None, math.inf)
    assert (found["bound"], found["met"]) == (None, 1)
    found = resilience.of_gradients(x, rows, x[2], LIARS, None, None)
    assert (found["bound"], found["met"]) == (None, None)


def test_a_view_has_the_spread_of_its_copy() -> None:
    x = cloud(6, 40, seed=4)
    view = x.T.contiguous().T
    assert spread(view, [2, 5], [1], x[0]) == spread(x, [2, 5], [1], x[0])


def test_lying_models_are_as_far_as_they_are_from_the_mean_of_the_honest() -> None:
    models = torch.ones(4, 25)
    models[0] *= -1
    rows = {W[k]: k for k in range(4)}
    found = resilience.of_models(models, rows, models[3], frozenset(W[:1]))
    assert found == {"moved": 0.0, "lies": {"worker-0": 2.0}}
    assert resilience.of_models(models, rows, models[3], frozenset()) == {}


def marks(x: Tensor, rows: list[int], step: int) -> list[int]:
    found = resilience.looks(x, rows, step)["marks"]
    assert isinstance(found, list)
    return found


@pytest.mark.parametrize("poison", [math.nan, math.inf, -math.inf])
def test_a_lying_model_that_is_not_finite_is_at_no_distance(poison: float) -> None:
    x, rows = cloud(5, 40, 3), {W[k]: k for k in range(5)}
    x[0, 7] = poison
    found = resilience.of_models(x, rows, x[2], LIARS)
    assert found["lies"][str(W[0])] is None  # type: ignore[index]
    assert found["lies"][str(W[1])] > 0  # type: ignore[index]


def test_rows_that_are_not_finite_are_told_by_their_places() -> None:
    x = torch.ones(4, 6)
    x[1, 5], x[3] = float("nan"), float("inf")
    assert resilience.looks(x, [0, 1, 2, 3], step=0)["broken"] == [1, 3]
    assert "broken" not in resilience.looks(x, [2, 0], step=0)


def test_marks_tell_rows_apart_that_differ_where_they_look() -> None:
    x = cloud(3, 40_000, seed=5)
    x[1] = x[0]
    first, second, third = marks(x, [0, 1, 2], step=1)
    assert first == second != third
    x[1, 24] += 1
    assert marks(x, [1], step=0) == marks(x, [0], step=0)
    assert marks(x, [1], step=4) != marks(x, [0], step=4), "every twentieth"
