"""Whether a pulled model is believed: the two filters on scalars, and against plain twins."""

import math
import random

import pytest

from byzsgd.cluster import Cluster, Plan
from byzsgd.protocol import Change
from byzsgd.protocol.filters import PAST_LEAST, PAST_MAX, Filters, lipschitz, spread

CLUSTER = Cluster(servers=5, workers=7, f_servers=1, f_workers=2)
PLAN = Plan(steps=1000, gather_every=10, mode="sync")
NAN, INF = math.nan, math.inf


def filters(cluster: Cluster = CLUSTER, plan: Plan = PLAN) -> Filters:
    return Filters(cluster, plan)


def change(coefficient: float = 1.0, model: float = 0.0, stride: float = 1.0) -> Change:
    return Change(model=model, gradient=coefficient * stride, stride=stride)


def after(coefficients: list[float], cluster: Cluster = CLUSTER) -> Filters:
    """Filters that have seen these."""
    seen = filters(cluster)
    for coefficient in coefficients:
        seen.judge(12, change(coefficient), after_quorum=False)
    return seen


# -- what cannot be measured -----------------------------------------------------------------------


@pytest.mark.parametrize("bad", [NAN, INF, -INF])
@pytest.mark.parametrize("field", ["model", "gradient", "stride"])
@pytest.mark.parametrize("f_servers", [0, 1])
def test_what_is_no_number_is_never_believed(field: str, bad: float, f_servers: int) -> None:
    numbers = {"model": 0.0, "gradient": 1.0, "stride": 1.0, field: bad}
    judge = filters(Cluster(5, 7, f_servers, 2)).judge
    assert judge(1, Change(**numbers), after_quorum=True) == "not finite"


def test_what_is_no_number_leaves_no_trace() -> None:
    """Neither in the quantile nor in what distances are measured by."""
    seen = after([1.0] * PAST_LEAST)
    for bad in (Change(0.0, NAN, 1.0), Change(NAN, 0.0, INF)):
        seen.judge(11, bad, after_quorum=True)
    assert seen.judge(12, change(1.0), after_quorum=False) == "accepted"
    assert seen.judge(12, change(1.01), after_quorum=False) == "lipschitz"


def test_who_trusts_every_server_believes_any_number() -> None:
    seen = after([1.0] * 50, Cluster(1, 7, f_workers=2))
    assert seen.judge(12, change(1e9, model=1e9), after_quorum=False) == "accepted"


# -- Lipschitz -------------------------------------------------------------------------------------


def test_the_coefficient_is_that_of_the_gradient() -> None:
    assert lipschitz(Change(model=9.0, gradient=3.0, stride=2.0)) == 1.5
    assert lipschitz(Change(model=9.0, gradient=0.0, stride=0.0)) == 0.0
    assert lipschitz(Change(model=9.0, gradient=1e-30, stride=0.0)) == INF


def test_with_few_coefficients_any_is_accepted() -> None:
    assert after([1.0] * (PAST_LEAST - 1)).judge(12, change(9.0), False) == "accepted"
    assert after([1.0] * PAST_LEAST).judge(12, change(9.0), False) == "lipschitz"


@pytest.mark.parametrize(
    ("cluster", "share"),
    [
        (CLUSTER, 4 / 5),
        (Cluster(8, 7, f_servers=2, f_workers=2), 6 / 8),
        (Cluster(11, 10, f_servers=3, f_workers=3), 8 / 11),
    ],
)
@pytest.mark.parametrize("count", [10, 11, 23, 199, 200])
def test_the_threshold_is_the_quantile_of_the_past(
    cluster: Cluster, share: float, count: int
) -> None:
    """At most that share of the past is below it, and with it at least that share."""
    draw = random.Random(count)
    past = [draw.random() for _ in range(count)]
    low, high = 0.0, 1.0
    for one in past:
        if after(past, cluster).judge(12, change(one), False) == "accepted":
            low = max(low, one)
        else:
            high = min(high, one)
    assert low < high, "there is one threshold"
    assert sum(one <= low for one in past) >= share * count - 1e-9
    assert sum(one < low for one in past) < share * count


def test_a_rejected_coefficient_is_remembered() -> None:
    """With accepted ones only, the threshold sinks with every honest model that it rejects."""
    seen, rejected = filters(), 0
    draw = random.Random(7)
    for _ in range(3000):
        rejected += seen.judge(12, change(draw.lognormvariate(0, 1)), False) == "lipschitz"
    assert rejected / 3000 == pytest.approx(1 / 5, abs=0.03)


def test_only_the_newest_coefficients_count() -> None:
    seen = after([100.0] * PAST_MAX)
    assert seen.judge(12, change(99.0), False) == "accepted"
    for _ in range(PAST_MAX):
        seen.judge(12, change(1.0), False)
    assert seen.judge(12, change(99.0), False) == "lipschitz"


# -- outliers --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("step", "strides"),
    [
        (11, 20.0 + 0),  # (3·10 + 2)·5/(4·2) = 20, and (11 − 1) mod 10 = 0: just after a gather
        (12, 20.0 + 2),
        (19, 20.0 + 16),
        (21, 20.0 + 0),
        (1, 20.0 + 0),
    ],
)
def test_how_far_an_honest_model_may_be(step: int, strides: float) -> None:
    assert spread(CLUSTER, 10, step) == strides
    for far, verdict in ((strides, "accepted"), (strides * 1.001, "outlier")):
        seen = filters()
        seen.judge(11, change(stride=0.5), after_quorum=True)
        assert seen.judge(step, change(model=0.5 * far, stride=0.5), False) == verdict


def test_distances_are_measured_by_the_stride_after_the_last_gather() -> None:
    seen = filters()
    seen.judge(11, change(stride=2.0), after_quorum=True)
    seen.judge(12, change(stride=100.0), after_quorum=False)
    assert seen.judge(13, change(model=48.1), after_quorum=False) == "outlier"
    seen.judge(21, change(stride=10.0), after_quorum=True)
    assert seen.judge(23, change(model=48.1), after_quorum=False) == "accepted"


def test_where_no_worker_may_lie_nothing_is_too_far() -> None:
    seen = filters(Cluster(5, 7, f_servers=1))
    seen.judge(11, change(stride=1e-9), after_quorum=True)
    assert seen.judge(12, change(model=1e30), after_quorum=False) == "accepted"
    assert spread(Cluster(5, 7, f_servers=1), 10, 12) == INF


def test_a_scaled_model_passes_the_first_filter_and_not_the_second() -> None:
    """Nearly flat far away: the gradient changes little, the model much."""
    seen = after([1.0] * 20)
    seen.judge(11, change(1.0), after_quorum=True)
    assert seen.judge(12, change(0.1, model=1e4), after_quorum=False) == "outlier"


def test_a_rate_of_zero_believes_only_what_has_not_moved() -> None:
    seen = after([1.0] * 20)
    still = Change(model=0.0, gradient=0.0, stride=0.0)
    assert seen.judge(11, still, after_quorum=True) == "accepted"
    assert seen.judge(12, Change(1.0, 1.0, 0.0), after_quorum=False) == "lipschitz"
    assert seen.judge(12, Change(1.0, 0.0, 0.0), after_quorum=False) == "outlier"
