"""Processors that nodes share: never more at work than there are, and none idle without need."""

from collections import defaultdict

import pytest
from hypothesis import given
from hypothesis import strategies as st

from byzsgd.simulation.cores import Cores

JOBS = st.lists(
    st.tuples(st.integers(0, 4), st.integers(0, 3), st.integers(1, 5), st.integers(0, 4)),
    max_size=40,
)
"""Who asks, how long after the job before, for how long, and how long a rest after it."""


def test_a_strand_of_its_own_core_waits_for_itself_only() -> None:
    cores = Cores()
    assert [cores.work("a", 0, 2), cores.work("b", 0, 3), cores.work("a", 1, 2)] == [2, 3, 4]


def test_the_third_of_two_cores_waits_for_the_first_that_is_free() -> None:
    cores = Cores(2)
    assert [cores.work(name, 0, takes) for name, takes in (("a", 5), ("b", 2), ("c", 1))] == [
        5,
        2,
        3,
    ]


def test_a_chain_of_work_keeps_to_one_core() -> None:
    cores = Cores(2)
    assert [cores.work("a", 0, 1) for _ in range(4)] == [1, 2, 3, 4]
    assert cores.work("b", 0, 1) == 1


def test_a_rest_needs_no_core() -> None:
    cores = Cores(1)
    assert cores.work("slow", 0, 1, rests_s=9) == 10
    assert cores.work("other", 0, 1) == 2
    assert cores.work("slow", 2, 1) == 11


def test_what_is_forgotten_is_not_waited_for() -> None:
    cores = Cores()
    cores.work("a", 0, 100)
    cores.forget("a", 7)
    assert cores.work("a", 7, 1) == 8


@given(JOBS, st.integers(1, 3))
def test_never_more_work_at_a_time_than_cores_and_strands_in_order(
    jobs: list[tuple[int, int, int, int]], count: int
) -> None:
    cores, now = Cores(count), 0
    spans: list[tuple[float, float]] = []
    free: defaultdict[int, float] = defaultdict(float)
    for strand, later, takes, rests in jobs:
        now += later
        until = cores.work(strand, now, takes, rests)
        began = until - rests - takes
        assert began >= max(now, free[strand])
        free[strand] = until
        spans.append((began, began + takes))
    for at, _ in spans:
        assert sum(begin <= at < end for begin, end in spans) <= count


@pytest.mark.parametrize("count", [1, 2, 5])
def test_work_that_all_comes_at_once_keeps_every_core_busy(count: int) -> None:
    cores = Cores(count)
    ends = [cores.work(strand, 0, 1) for strand in range(3 * count)]
    assert sorted(ends) == sorted([1, 2, 3] * count)
