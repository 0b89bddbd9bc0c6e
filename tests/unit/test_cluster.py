"""Every bound of the theory, on both of its sides, and what is said to who breaks it."""

import math
import re
import sys
from typing import get_args

import pytest

from byzsgd.cluster import Cluster, Mode, NodeId, Plan, gather_period
from byzsgd.errors import ConfigError

TOLERANT = Cluster(servers=5, workers=7, f_servers=1, f_workers=2)


# -- how many nodes ------------------------------------------------------------------------------


@pytest.mark.parametrize("f", [1, 2, 3, 10])
def test_servers_are_at_least_three_f_and_two(f: int) -> None:
    least = 3 * f + 2
    assert Cluster(servers=least, workers=1, f_servers=f).servers == least
    with pytest.raises(ConfigError, match=re.escape("servers ≥ 3 f_servers + 2")):
        Cluster(servers=least - 1, workers=1, f_servers=f)


@pytest.mark.parametrize("f", [1, 2, 3, 10])
def test_workers_are_at_least_three_f_and_one(f: int) -> None:
    least = 3 * f + 1
    assert Cluster(servers=1, workers=least, f_workers=f).workers == least
    with pytest.raises(ConfigError, match=re.escape("workers ≥ 3 f_workers + 1")):
        Cluster(servers=1, workers=least - 1, f_workers=f)


@pytest.mark.parametrize("n", [1, 2, 3, 8])
def test_without_byzantine_nodes_any_number_is_enough(n: int) -> None:
    cluster = Cluster(servers=n, workers=n)
    assert (cluster.q_servers, cluster.q_workers) == (n, n), "and all of them are waited for"


@pytest.mark.parametrize(("n", "legal"), [(2, 0), (4, 0), (5, 1), (7, 1), (8, 2)])
def test_the_message_says_how_many_servers_or_how_many_liars_would_do(n: int, legal: int) -> None:
    with pytest.raises(ConfigError) as caught:
        Cluster(servers=n, workers=1, f_servers=4)
    assert f"servers = {n} with f_servers = 4" in str(caught.value)
    assert f"use at least 14 servers, or f_servers = {legal}" in str(caught.value)
    Cluster(servers=14, workers=1, f_servers=4)
    Cluster(servers=n, workers=1, f_servers=legal)


@pytest.mark.parametrize(("n", "legal"), [(1, 0), (3, 0), (4, 1), (6, 1), (7, 2)])
def test_the_message_says_how_many_workers_or_how_many_liars_would_do(n: int, legal: int) -> None:
    with pytest.raises(ConfigError) as caught:
        Cluster(servers=1, workers=n, f_workers=4)
    assert f"workers = {n} with f_workers = 4" in str(caught.value)
    assert f"use at least 13 workers, or f_workers = {legal}" in str(caught.value)
    Cluster(servers=1, workers=13, f_workers=4)
    Cluster(servers=1, workers=n, f_workers=legal)


# -- how many are waited for ---------------------------------------------------------------------


def test_quorums_are_all_but_the_declared_liars_when_left_out() -> None:
    assert (TOLERANT.q_servers, TOLERANT.q_workers) == (4, 5)
    assert Cluster(servers=9, workers=10, f_servers=2, f_workers=3).q_servers == 7


@pytest.mark.parametrize(
    ("n", "f", "low", "high"), [(5, 1, 4, 4), (8, 1, 4, 7), (8, 2, 6, 6), (3, 0, 2, 3)]
)
def test_a_quorum_of_servers_has_bounds(n: int, f: int, low: int, high: int) -> None:
    for q in range(low, high + 1):
        assert Cluster(servers=n, workers=1, f_servers=f, q_servers=q).q_servers == q
    for q in (-1, 1, low - 1, high + 1, 2 * n):
        with pytest.raises(ConfigError) as caught:
            Cluster(servers=n, workers=1, f_servers=f, q_servers=q)
        said = str(caught.value)
        assert "2 f_servers + 2 ≤ q_servers ≤ servers − f_servers" in said
        assert f"q_servers = {q} " in said
        assert f"servers = {n} and f_servers = {f} use {low} to {high}" in said


@pytest.mark.parametrize(
    ("n", "f", "low", "high"), [(4, 1, 3, 3), (7, 1, 3, 6), (7, 2, 5, 5), (3, 0, 1, 3)]
)
def test_a_quorum_of_workers_has_bounds(n: int, f: int, low: int, high: int) -> None:
    for q in range(low, high + 1):
        assert Cluster(servers=1, workers=n, f_workers=f, q_workers=q).q_workers == q
    for q in {-1, low - 1, high + 1, 2 * n} - {0}:  # 0 stands for "left out"
        with pytest.raises(ConfigError) as caught:
            Cluster(servers=1, workers=n, f_workers=f, q_workers=q)
        said = str(caught.value)
        assert "2 f_workers + 1 ≤ q_workers ≤ workers − f_workers" in said
        assert f"q_workers = {q} " in said
        assert f"workers = {n} and f_workers = {f} use {low} to {high}" in said


def test_a_single_server_is_its_own_quorum() -> None:
    assert Cluster(servers=1, workers=3, q_servers=1).q_servers == 1


@pytest.mark.parametrize("f", [0, 1, 2, 3])
def test_a_server_rejoins_by_two_f_and_one_models(f: int) -> None:
    cluster = Cluster(servers=3 * f + 2, workers=1, f_servers=f)
    assert cluster.rejoin_quorum == 2 * f + 1
    liars_silent = cluster.servers - 1 - f
    assert cluster.rejoin_quorum <= liars_silent, "it can be had while every liar is silent"


# -- types ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["servers", "workers", "f_servers", "f_workers"])
@pytest.mark.parametrize("value", [True, 3.0, "3", None, -1])
def test_counts_are_whole_numbers(name: str, value: object) -> None:
    numbers: dict[str, object] = {"servers": 11, "workers": 11, name: value}
    with pytest.raises(ConfigError) as caught:
        Cluster(**numbers)  # type: ignore[arg-type]
    assert str(caught.value).startswith(f"{name} = {value!r}: must be a whole number")


@pytest.mark.parametrize("name", ["q_servers", "q_workers"])
@pytest.mark.parametrize("value", [True, False, 4.0, 0.0, "4", None])
def test_quorums_are_whole_numbers(name: str, value: object) -> None:
    numbers: dict[str, object] = {"servers": 5, "workers": 4, "f_servers": 1, "f_workers": 1}
    with pytest.raises(ConfigError, match=name):
        Cluster(**numbers, **{name: value})  # type: ignore[arg-type]


def test_there_is_somebody_on_each_side() -> None:
    with pytest.raises(ConfigError, match="servers = 0: must be a whole number, at least 1"):
        Cluster(servers=0, workers=1)
    with pytest.raises(ConfigError, match="workers = 0: must be a whole number, at least 1"):
        Cluster(servers=1, workers=0)


def test_an_illegal_cluster_is_a_value_error() -> None:
    assert issubclass(ConfigError, ValueError)


# -- names ---------------------------------------------------------------------------------------


def test_a_cluster_names_its_nodes_servers_first() -> None:
    assert [str(node) for node in Cluster(2, 3).nodes] == [
        "server-0",
        "server-1",
        "worker-0",
        "worker-1",
        "worker-2",
    ]
    assert list(TOLERANT.nodes) == sorted(TOLERANT.nodes)
    assert TOLERANT.nodes == TOLERANT.server_ids + TOLERANT.worker_ids


def test_nodes_sort_by_number_not_by_spelling() -> None:
    assert NodeId("server", 2) < NodeId("server", 10) < NodeId("worker", 0)


@pytest.mark.parametrize("text", ["server-0", "server-12", "worker-3"])
def test_a_name_is_read_as_it_is_written(text: str) -> None:
    assert str(NodeId.parse(text)) == text


@pytest.mark.parametrize(
    "text",
    ["", "server", "server-", "worker-x", "worker--1", "client-0", "Server-0", " worker-1"],
)
def test_what_is_no_name(text: str) -> None:
    with pytest.raises(ConfigError) as caught:
        NodeId.parse(text)
    assert repr(text) in str(caught.value)
    assert "write server-0 or worker-3" in str(caught.value)


@pytest.mark.parametrize(
    "text", ["worker-1 ", "worker-1\n", "worker-1.5", "server-0-1", "worker-²"]
)
def test_what_is_no_number(text: str) -> None:
    with pytest.raises(ConfigError):
        NodeId.parse(text)


@pytest.mark.parametrize("text", ["worker-03", "worker-٣"])
def test_a_node_has_one_name_only(text: str) -> None:
    with pytest.raises(ConfigError):
        NodeId.parse(text)


# -- the plan ------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["steps", "gather_every", "gather_rounds", "window"])
@pytest.mark.parametrize("value", [0, -1, True, 1.0, "1", None])
def test_a_plan_counts_from_one(name: str, value: object) -> None:
    numbers: dict[str, object] = {"steps": 1, name: value}
    with pytest.raises(ConfigError) as caught:
        Plan(**numbers)  # type: ignore[arg-type]
    assert str(caught.value) == f"{name} = {value!r}: must be a whole number, at least 1"


@pytest.mark.parametrize("value", [-1, True, 1.0])
def test_saving_may_be_left_out_but_not_be_negative(value: object) -> None:
    assert Plan(steps=1, save_every=0).save_every == 0
    with pytest.raises(ConfigError, match=r"save_every = .*: must be a whole number, at least 0"):
        Plan(steps=1, save_every=value)  # type: ignore[arg-type]


@pytest.mark.parametrize("value", [0.0, -1.0, math.inf, math.nan])
@pytest.mark.parametrize("name", ["patience_s", "deadline_s"])
def test_patience_and_deadline_are_positive_finite_times(name: str, value: float) -> None:
    with pytest.raises(ConfigError, match=f"{name} = .*: must be a positive time in seconds"):
        Plan(steps=1, **{name: value})  # type: ignore[arg-type]


def test_two_modes_are_known() -> None:
    with pytest.raises(ConfigError, match='mode = \'fast\': must be "async" or "sync"'):
        Plan(steps=1, mode="fast")  # type: ignore[arg-type]


def test_in_rounds_all_gradients_are_awaited_and_servers_scatter_at_gathers_only() -> None:
    cluster, steps = Cluster(5, 7, f_servers=1, f_workers=2), range(10)
    assert (cluster.gradients_awaited("async"), cluster.gradients_awaited("sync")) == (5, 7)
    asynchronous, rounds = (Plan(9, gather_every=3, mode=mode) for mode in get_args(Mode))
    assert [step for step in steps if asynchronous.scatters_at(step)] == [*steps]
    assert [step for step in steps if rounds.scatters_at(step)] == [0, 3, 6, 9]


def test_in_rounds_a_worker_says_as_much_again_as_others_can_keep() -> None:
    assert [Plan(9, window=window).gradients_repeated for window in (1, 4, 9)] == [2, 2, 2]
    rounds = [Plan(9, mode="sync", window=window).gradients_repeated for window in (1, 4, 9)]
    assert rounds == [2, 3, 8]


def test_servers_gather_on_arriving_at_multiples_of_the_period_but_not_at_the_start() -> None:
    plan = Plan(steps=9, gather_every=3)
    assert [step for step in range(-3, 10) if plan.gathers_at(step)] == [3, 6, 9]
    assert all(Plan(steps=3, gather_every=1).gathers_at(step) for step in (1, 2, 3))


def test_models_are_saved_when_asked() -> None:
    assert [step for step in range(7) if Plan(steps=6, save_every=3).saves_at(step)] == [0, 3, 6]
    assert not any(Plan(steps=6).saves_at(step) for step in range(7))


@pytest.mark.parametrize(
    ("lipschitz", "rate", "period"), [(1.0, 0.1, 3), (1.0, 0.01, 33), (0.5, 0.1, 6), (10, 1, 1)]
)
def test_the_longest_gather_period(lipschitz: float, rate: float, period: int) -> None:
    assert gather_period(lipschitz, rate) == period


@pytest.mark.parametrize(("lipschitz", "rate"), [(0.0, 0.1), (1.0, 0.0), (-1, 1), (math.nan, 1)])
def test_a_gather_period_needs_positive_numbers(lipschitz: float, rate: float) -> None:
    with pytest.raises(ConfigError, match="must be > 0"):
        gather_period(lipschitz, rate)


@pytest.mark.parametrize(
    ("lipschitz", "rate"), [(5e-324, 5e-324), (5e-324, 1.0), (1.0, 1e-310), (1e-200, 1e-200)]
)
def test_a_gather_period_that_no_number_can_hold_is_refused(lipschitz: float, rate: float) -> None:
    with pytest.raises(ConfigError, match="too small for a period"):
        gather_period(lipschitz, rate)


def test_a_gather_period_depends_on_the_product_alone() -> None:
    assert gather_period(1e308, 1e-310) == gather_period(1e-310, 1e308) == 33
    assert gather_period(1.0, sys.float_info.min) > 10**300


def test_a_gather_period_is_never_less_than_one() -> None:
    assert gather_period(math.inf, 0.1) == 1
    assert gather_period(1e300, 1e300) == 1
