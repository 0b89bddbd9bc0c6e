"""Which server a worker asks, and what a server makes of being asked."""

from collections import Counter

import pytest

from byzsgd.cluster import Cluster, NodeId, Plan
from byzsgd.protocol import Quorum
from byzsgd.protocol.filters import pull_share
from byzsgd.protocol.pulls import Pulls
from byzsgd.protocol.search import Search
from tests.world import servers, workers

CLUSTER = Cluster(servers=8, workers=7, f_servers=2, f_workers=2)
PLAN = Plan(steps=2000, mode="sync", deadline_s=5.0)
SHARE_S = pull_share(CLUSTER) * 5.0
S, W = servers(8), workers(10)


def begun(step: int, me: NodeId = W[0], cluster: Cluster = CLUSTER) -> Search:
    search = Search(me, cluster, PLAN)
    search.begin(step)
    return search


def asks(search: Search) -> list[NodeId]:
    asked = []
    while found := search.next(0.0):
        asked.append(found[0])
    return asked


# -- which server ----------------------------------------------------------------------------------


@pytest.mark.parametrize("step", [0, 1, 6, 7, 8, 1001])
@pytest.mark.parametrize("me", [W[0], W[6]])
def test_it_begins_one_further_each_step_and_asks_one_more_than_may_lie(
    me: NodeId, step: int
) -> None:
    assert asks(begun(step, me)) == [S[(me.index + step + i) % 8] for i in range(3)]


def test_a_lone_server_is_asked_once() -> None:
    assert asks(begun(5, W[3], Cluster(1, 7))) == [S[0]]


def test_servers_are_asked_equally_often() -> None:
    first = Counter(asks(begun(step, me))[0] for me in W[:8] for step in range(8))
    assert first == dict.fromkeys(S, 8)


def test_a_new_step_begins_anew() -> None:
    search = begun(3)
    asks(search)
    search.dismiss(S[4])
    search.begin(4)
    assert search.asked == []
    assert search.next(0.0) == (S[4], SHARE_S)
    models = quorum((S[4], 4))
    assert search.found(models) == (S[4], "server-4 at 4")


# -- for how long ----------------------------------------------------------------------------------


def first_again(search: Search, now: float) -> float:
    """For how long server 3 is waited for when it is the first once more."""
    search.begin(search._step + 8)
    found = search.next(now)
    assert found
    assert found[0] == S[3]
    return found[1] - now


def test_the_first_is_waited_for_as_long_as_it_took_the_last_time() -> None:
    search = begun(3)
    assert search.next(10.0) == (S[3], 10.0 + SHARE_S)
    search.heard(S[3], 3, 12.5)
    assert first_again(search, 20.0) == 2.5 + SHARE_S
    search.heard(S[3], 11, 20.25)
    assert first_again(search, 30.0) == 0.25 + SHARE_S


def test_who_is_asked_later_has_the_model_by_then() -> None:
    search = begun(3)
    search.next(0.0)
    assert search.next(5.0) == (S[4], 5.0 + SHARE_S)
    search.heard(S[4], 3, 8.0)
    search.begin(4)
    assert search.next(9.0) == (S[4], 9.0 + SHARE_S)


def test_a_late_answer_tells_how_long_it_takes_and_silence_tells_nothing() -> None:
    """All rounds last long where a worker is silent; where a server is, nobody waits for it."""
    search = begun(3)
    search.next(0.0)
    assert first_again(search, 10.0) == SHARE_S
    search.heard(S[3], 11, 13.0)
    assert first_again(search, 20.0) == 3.0 + SHARE_S


def test_who_falls_silent_is_waited_for_no_longer_than_others() -> None:
    """One late answer must not buy a liar a whole round's time for ever."""
    search = begun(3)
    search.next(0.0)
    search.heard(S[3], 3, 3.0)
    assert first_again(search, 10.0) == 3.0 + SHARE_S
    search.gave_up(S[3])
    assert first_again(search, 20.0) == SHARE_S
    search.heard(S[3], 19, 21.0)
    assert first_again(search, 30.0) == 1.0 + SHARE_S


@pytest.mark.parametrize("f", [0, 1, 3, 10])
def test_all_who_may_be_silent_can_be_asked_within_a_round(f: int) -> None:
    cluster = Cluster(servers=3 * f + 2, workers=4, f_servers=f)
    assert (f + 1) * pull_share(cluster) < 1


def test_nobody_is_waited_for_longer_than_a_round_may_last() -> None:
    search = begun(3)
    search.next(0.0)
    search.heard(S[3], 5, 100.0)
    assert first_again(search, 200.0) == 5.0 + SHARE_S


def test_what_was_said_before_it_was_asked_for_is_no_answer() -> None:
    search = begun(3)
    search.heard(S[3], 3, 1.0)
    search.next(2.0)
    search.heard(S[3], 2, 4.0)
    search.heard(S[5], 3, 4.0)
    assert first_again(search, 9.0) == SHARE_S


# -- what it has found -----------------------------------------------------------------------------


def quorum(*held: tuple[NodeId, int]) -> Quorum[int]:
    models: Quorum[int] = Quorum(6, 4, closed=-1)
    for server, step in held:
        models.add(server, step, f"{server} at {step}")
    return models


def test_only_who_was_asked_is_found() -> None:
    search = begun(3)
    models = quorum((S[3], 3), (S[5], 3))
    assert search.found(models) is None
    search.next(0.0)
    assert search.found(models) == (S[3], "server-3 at 3")


def test_only_a_model_of_just_this_step_is_found() -> None:
    search = begun(3)
    search.next(0.0)
    assert search.found(quorum((S[3], 2), (S[3], 4))) is None


def test_of_several_the_first_that_was_asked_and_not_dismissed() -> None:
    search = begun(3)
    asks(search)
    models = quorum((S[5], 3), (S[4], 3))
    assert search.found(models) == (S[4], "server-4 at 3")
    models.add(S[3], 3, "late")
    assert search.found(models) == (S[3], "late")
    search.dismiss(S[3])
    assert search.found(models) == (S[4], "server-4 at 3")
    search.dismiss(S[4])
    search.dismiss(S[5])
    assert search.found(models) is None


# -- what a server was asked for -------------------------------------------------------------------


def test_a_wish_waits_for_its_step_and_is_met_once() -> None:
    pulls = Pulls()
    pulls.ask(W[1], 3)
    assert pulls.due(2) == ()
    assert pulls.due(3) == (W[1],)
    assert pulls.due(3) == pulls.due(9) == ()


def test_a_late_wish_is_met_with_what_there_is() -> None:
    pulls = Pulls()
    pulls.ask(W[2], 1)
    pulls.ask(W[0], 3)
    pulls.ask(W[1], 9)
    assert pulls.due(5) == (W[0], W[2])


def test_of_each_worker_one_wish_is_kept_the_newest() -> None:
    pulls = Pulls()
    for step in (3, 10**9, 5, -1):
        pulls.ask(W[0], step)
        pulls.ask(W[1], 3)
    assert len(pulls._wanted) == 2
    assert pulls.due(10**9 - 1) == (W[1],)
    assert pulls.due(10**9) == (W[0],)
