"""What becomes of messages: against a twin that looks at everything anew for every message."""

import math
import os
import subprocess
import sys
from collections.abc import Sequence
from itertools import accumulate
from random import Random
from statistics import NormalDist, fmean, stdev
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from byzsgd.cluster import NodeId
from byzsgd.faults import (
    Chance,
    Constant,
    Crash,
    Delay,
    Distribution,
    Exponential,
    Fates,
    FaultPlan,
    Lognormal,
    Partition,
    Slow,
    Uniform,
)
from byzsgd.faults.link import Coin, in_line
from byzsgd.faults.rules import Rules

S0, S1, W0, W1 = NodeId("server", 0), NodeId("server", 1), NodeId("worker", 0), NodeId("worker", 1)
NODES = (S0, S1, W0, W1)
FOREVER = math.inf

Sent = tuple[float, NodeId, NodeId]


def fates(plan: FaultPlan, sent: Sequence[Sent], seed: int = 1) -> list[tuple[float, ...]]:
    fate = Fates(plan, seed).fate
    return [fate(*message) for message in sent]


def stream(count: int, gap_s: float = 0.001, link: tuple[NodeId, NodeId] = (S0, W0)) -> list[Sent]:
    return [(number * gap_s, *link) for number in range(count)]


def arrivals(sent: Sequence[Sent], found: Sequence[tuple[float, ...]]) -> list[float]:
    return [now + delay for (now, *_), fate in zip(sent, found, strict=True) for delay in fate]


# --- the twin -------------------------------------------------------------------------------------


class Twin:
    """Keeps nothing but what was sent and when it arrives; draws every stream from its start."""

    def __init__(self, plan: FaultPlan, seed: int) -> None:
        self.plan, self.seed = plan, seed
        self.sent: list[tuple[NodeId, NodeId]] = []
        self.in_line: list[tuple[NodeId, NodeId, float]] = []

    def fate(self, now: float, sender: NodeId, receiver: NodeId) -> list[float]:
        """The times of arrival, in absolute seconds."""
        link = (sender, receiver)
        number = self.sent.count(link)
        self.sent.append(link)
        out = self.let_through(now, link)
        copies = [""]
        if self.number("duplicate", link, number) < self.chance(self.plan.duplicates, out, link):
            copies.append("copy-")
        return [at for copy in copies for at in self.copy(copy, out, link, number)]

    def copy(self, copy: str, out: float, link: tuple[NodeId, NodeId], number: int) -> list[float]:
        if self.number(f"{copy}loss", link, number) < self.chance(self.plan.losses, out, link):
            return []
        if out == math.inf:
            return []
        delay = self.last(self.plan.delays, out, link)
        at = out
        if delay is not None:
            at += delay.distribution.at(self.number(f"{copy}delay", link, number))
        share = self.number(f"{copy}reorder", link, number)
        if share >= self.chance(self.plan.reorders, out, link):
            at = max([at, *(before for s, r, before in self.in_line if (s, r) == link)])
            self.in_line.append((*link, at))
        return [at]

    def let_through(self, now: float, link: tuple[NodeId, NodeId]) -> float:
        cuts = [cut for cut in self.plan.partitions if self.cut(cut, link)]
        now_in = [cut for cut in cuts if cut.from_s <= now < cut.until_s]
        if not now_in:
            return now
        if any(cut.kind == "lose" for cut in now_in):
            return math.inf
        return self.let_through(max(cut.until_s for cut in now_in), link)

    def cut(self, cut: Partition, link: tuple[NodeId, NodeId]) -> bool:
        sender, receiver = (node in cut.nodes for node in link)
        comes_in, goes_out = receiver and not sender, sender and not receiver
        return {"in": comes_in, "out": goes_out, "both": comes_in or goes_out}[cut.direction]

    def chance(self, rules: Sequence[Chance], now: float, link: tuple[NodeId, NodeId]) -> float:
        rule = self.last(rules, now, link)
        return 0.0 if rule is None else rule.probability

    def last(self, rules: Sequence[Any], now: float, link: tuple[NodeId, NodeId]) -> Any:
        found = None
        for rule in rules:
            links = rule.senders is None or link[0] in rule.senders
            links &= rule.receivers is None or link[1] in rule.receivers
            for_ever = rule.until_s == math.inf and now == math.inf
            if links and (rule.from_s <= now < rule.until_s or for_ever):
                found = rule
        return found

    def number(self, purpose: str, link: tuple[NodeId, NodeId], number: int) -> float:
        random = Random(f"{self.seed}/faults/{purpose}/{link[0]}/{link[1]}")
        return [random.random() for _ in range(number + 1)][-1]


@st.composite
def windows(draw: st.DrawFn) -> dict[str, float]:
    start = draw(st.sampled_from([0.0, 0.0, 1.0, 2.0]))
    return {"from_s": start, "until_s": start + draw(st.sampled_from([0.5, 1.5, FOREVER]))}


some = st.lists(st.sampled_from(NODES), min_size=1, max_size=3, unique=True).map(tuple)
scopes = st.builds(
    lambda window, senders, receivers: {**window, "senders": senders, "receivers": receivers},
    windows(),
    st.none() | some,
    st.none() | some,
)
seconds = st.floats(0, 2)
distributions = st.one_of(
    st.builds(Constant, seconds),
    st.builds(Exponential, seconds),
    st.builds(Lognormal, seconds, st.floats(0, 2)),
    st.builds(lambda low, more: Uniform(low, low + more), seconds, seconds),
)
delays = st.builds(lambda what, scope: Delay(what, **scope), distributions, scopes)
chances = st.builds(
    lambda share, scope: Chance(share, **scope), st.sampled_from([0.0, 0.3, 0.7, 1.0]), scopes
)
partitions = st.builds(
    lambda nodes, direction, kind, window: Partition(nodes, direction, kind, **window),
    some,
    st.sampled_from(["both", "in", "out"]),
    st.sampled_from(["hold", "hold", "lose"]),
    windows(),
)


def few(what: st.SearchStrategy[Any]) -> st.SearchStrategy[tuple[Any, ...]]:
    return st.lists(what, max_size=3).map(tuple)


plans = st.builds(
    FaultPlan,
    delays=few(delays),
    losses=few(chances),
    duplicates=few(chances),
    reorders=few(chances),
    partitions=few(partitions),
)
links = st.tuples(st.sampled_from(NODES), st.sampled_from(NODES)).filter(lambda x: x[0] != x[1])
messages = st.lists(st.tuples(st.floats(0, 4), links), max_size=25).map(
    lambda sent: [(now, *link) for now, link in sorted(sent)]
)


@given(plans, messages, st.integers(0, 3))
def test_fates_are_those_of_the_twin(plan: FaultPlan, sent: list[Sent], seed: int) -> None:
    twin = Twin(plan, seed)
    for message, fate in zip(sent, fates(plan, sent, seed), strict=True):
        assert [message[0] + delay for delay in fate] == pytest.approx(twin.fate(*message))


@given(plans, messages)
def test_a_message_meets_its_fate_whoever_else_sends(plan: FaultPlan, sent: list[Sent]) -> None:
    together = fates(plan, sent)
    for link in {message[1:]: None for message in sent}:
        alone = fates(plan, [message for message in sent if message[1:] == link])
        assert alone == [f for m, f in zip(sent, together, strict=True) if m[1:] == link]


@given(plans, messages)
def test_without_reordering_a_link_is_first_in_first_out(plan: FaultPlan, sent: list[Sent]) -> None:
    calm = FaultPlan(plan.delays, plan.losses, plan.duplicates, (), plan.partitions)
    for link in {message[1:]: None for message in sent}:
        one = [message for message in sent if message[1:] == link]
        times = arrivals(one, fates(calm, one))
        assert times == sorted(times), "not even by an error of rounding"
        assert all(at >= 0 for at in times)


@given(st.floats(0, 1e6), st.floats(0, 1e6), st.floats(0, 1e6))
@example(0.0097, 0.0, 0.223)
def test_waiting_in_line_is_exact(now_s: float, delay_s: float, latest_s: float) -> None:
    longer_s = in_line(now_s, delay_s, latest_s)
    assert longer_s >= delay_s
    assert now_s + longer_s >= latest_s
    assert now_s + longer_s == pytest.approx(max(now_s + delay_s, latest_s), rel=1e-15)


@given(plans, messages)
def test_one_link_asked_for_is_the_same(plan: FaultPlan, sent: list[Sent]) -> None:
    by_link = Fates(plan, 1)
    assert [by_link.link(*m[1:])(m[0]) for m in sent] == fates(plan, sent)


# --- one fault does not change another ------------------------------------------------------------

TIMED = FaultPlan(delays=(Delay(Exponential(0.01)),), reorders=(Chance(1.0),))
"""Everything strays, so that what is seen is the drawn delay itself."""


def test_losses_leave_the_other_messages_as_they_were() -> None:
    sent = stream(500)
    lossless = fates(TIMED, sent)
    lossy = fates(FaultPlan(TIMED.delays, (Chance(0.3),), (), TIMED.reorders), sent)
    kept = [(before, after) for before, after in zip(lossless, lossy, strict=True) if after]
    assert 300 < len(kept) < 400
    assert all(before == after for before, after in kept)


def test_more_loss_loses_the_same_messages_and_more() -> None:
    sent = stream(500)
    few_lost, many_lost = (fates(FaultPlan(losses=(Chance(p),)), sent) for p in (0.1, 0.3))
    assert all(few or not many for few, many in zip(few_lost, many_lost, strict=True))


def test_duplicates_leave_the_first_copies_as_they_were() -> None:
    sent = stream(500)
    once = fates(TIMED, sent)
    twice = fates(FaultPlan(TIMED.delays, (), (Chance(0.3),), TIMED.reorders), sent)
    assert [fate[:1] for fate in twice] == once
    assert 100 < sum(len(fate) == 2 for fate in twice) < 200
    assert all(fate[0] != fate[1] for fate in twice if len(fate) == 2)


def test_the_second_copy_does_not_depend_on_how_many_there_are() -> None:
    sent = stream(300)
    rare, often = (
        fates(FaultPlan(TIMED.delays, (), (Chance(p),), TIMED.reorders), sent) for p in (0.2, 0.9)
    )
    both = [(few, many) for few, many in zip(rare, often, strict=True) if len(few) == 2]
    assert both
    assert all(few == many for few, many in both)


def test_a_time_without_loss_does_not_shift_what_comes_after() -> None:
    sent = stream(400, gap_s=0.01)
    always = fates(FaultPlan(losses=(Chance(0.5),)), sent)
    late = fates(FaultPlan(losses=(Chance(0.5, from_s=2.0),)), sent)
    assert late[:200] == [(0.0,)] * 200
    assert late[200:] == always[200:]


def test_a_partition_does_not_shift_what_comes_after() -> None:
    sent = stream(400, gap_s=0.01)
    cut = Partition((W0,), kind="lose", from_s=1.0, until_s=2.0)
    plan = FaultPlan(TIMED.delays, (), (), TIMED.reorders, (cut,))
    whole, cut_off = fates(TIMED, sent), fates(plan, sent)
    assert cut_off[:100] + cut_off[200:] == whole[:100] + whole[200:]
    assert cut_off[100:200] == [()] * 100


def test_links_and_seeds_differ() -> None:
    sent = stream(20)
    there, back = fates(TIMED, sent), fates(TIMED, stream(20, link=(W0, S0)))
    assert there != back
    assert there != fates(TIMED, sent, seed=2)
    assert there == fates(TIMED, sent)


PROGRAM = """
from byzsgd.cluster import NodeId
from byzsgd.faults import *
nodes = [NodeId(role, index) for role in ("server", "worker") for index in range(3)]
plan = FaultPlan(
    (Delay(Lognormal(0.01, 1.0)), Delay(Exponential(0.1), senders=(nodes[0],), until_s=0.5)),
    (Chance(0.1),), (Chance(0.2),), (Chance(0.3),),
    (Partition((nodes[1], nodes[4]), from_s=0.2, until_s=0.4),),
)
fate = Fates(plan, 7).fate
for number in range(600):
    print(repr(fate(number / 600, nodes[number % 6], nodes[number * 7 % 5])))
"""


def test_fates_are_the_same_in_another_process() -> None:
    def said(hash_seed: str) -> str:
        environment = {**os.environ, "PYTHONHASHSEED": hash_seed}
        done = subprocess.run(
            [sys.executable, "-c", PROGRAM], capture_output=True, text=True, env=environment
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    first = said("1")
    assert len(set(first.splitlines())) > 300
    assert said("2") == first


# --- delays ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("what", "mean", "deviation"),
    [
        (Constant(0.2), 0.2, 0.0),
        (Exponential(0.2), 0.2, 0.2),
        (Lognormal(0.2, 0.5), 0.2, 0.2 * math.sqrt(math.exp(0.25) - 1)),
        (Lognormal(0.2, 0.0), 0.2, 0.0),
        (Uniform(0.1, 0.3), 0.2, 0.2 / math.sqrt(12)),
    ],
    ids=repr,
)
def test_delays_have_their_mean_and_deviation(
    what: Distribution, mean: float, deviation: float
) -> None:
    plan = FaultPlan((Delay(what),), reorders=(Chance(1.0),))
    drawn = [delay for [delay] in fates(plan, stream(20_000))]
    assert what.mean_s == pytest.approx(mean)
    assert fmean(drawn) == pytest.approx(mean, rel=0.02)
    assert stdev(drawn) == pytest.approx(deviation, rel=0.06, abs=1e-12)
    assert min(drawn) >= 0


@given(st.floats(0, 1, exclude_max=True))
def test_exponential_delays_are_those_of_the_standard_library(share: float) -> None:
    class Given(Random):
        def random(self) -> float:
            return share

    expected = Given().expovariate(1 / 0.3)
    assert Exponential(0.3).at(share) == pytest.approx(expected, abs=1e-15)


@given(st.floats(0.001, 0.999), st.floats(0.1, 3))
def test_the_logarithm_of_a_lognormal_delay_is_normal(share: float, sigma: float) -> None:
    logarithm = math.log(Lognormal(2.0, sigma).at(share))
    normal = NormalDist(math.log(2.0) - sigma**2 / 2, sigma)
    assert normal.cdf(logarithm) == pytest.approx(share)


@given(distributions, st.floats(0, 1, exclude_max=True), st.floats(0, 1, exclude_max=True))
def test_delays_are_finite_and_rise_with_their_share(
    what: Distribution, low: float, high: float
) -> None:
    one, other = what.at(min(low, high)), what.at(max(low, high))
    assert 0 <= one <= other * (1 + 1e-12) < math.inf


def test_the_extremes_of_what_a_file_may_ask_for_are_finite() -> None:
    for share in (0.0, 2.0**-53, 1 - 2.0**-53):
        for what in (Exponential(1e9), Lognormal(1e9, 10.0), Uniform(0.0, 1e9)):
            assert 0 <= what.at(share) < math.inf


def test_the_last_delay_for_a_link_and_a_time_holds() -> None:
    plan = FaultPlan(
        (
            Delay(Constant(5.0), from_s=0.5, until_s=9.0),
            Delay(Constant(0.1)),
            Delay(Constant(0.2), receivers=(W0, W1)),
            Delay(Constant(0.3), senders=(S0,), receivers=(W0,), from_s=1.0, until_s=2.0),
        )
    )
    fate = Fates(plan, 1).fate
    assert fate(0.6, W0, S0) == (0.1,), "one that is always there hides those before it"
    assert fate(0.6, S1, W1) == (0.2,)
    delays_s = [fate(now, S0, W0)[0] for now in (0.9, 1.0, 1.9, 2.0)]
    assert delays_s == pytest.approx([0.2, 0.3, 0.3, 0.2])


def test_chances_of_none_and_all() -> None:
    sent = stream(100)
    assert fates(FaultPlan(losses=(Chance(1.0),)), sent) == [()] * 100
    assert fates(FaultPlan(losses=(Chance(0.0),)), sent) == [(0.0,)] * 100
    assert fates(FaultPlan(duplicates=(Chance(1.0),)), sent) == [(0.0, 0.0)] * 100
    assert fates(FaultPlan(), sent) == [(0.0,)] * 100
    spared = FaultPlan(losses=(Chance(1.0), Chance(0.0, receivers=(W0,))))
    assert fates(spared, sent) == [(0.0,)] * 100
    assert fates(spared, stream(3, link=(S0, W1))) == [()] * 3


def test_a_chance_of_none_is_none_whatever_is_drawn() -> None:
    coins = [Coin(Rules([Chance(p)], S0, W0), lambda: 0.0) for p in (0.0, 0.1)]
    assert [coin.falls(0.0) for coin in coins] == [False, True]


def test_each_copy_is_lost_on_its_own() -> None:
    plan = FaultPlan(losses=(Chance(0.5),), duplicates=(Chance(1.0),))
    counts = [len(fate) for fate in fates(plan, stream(1000))]
    shares = [counts.count(copies) / 1000 for copies in (0, 1, 2)]
    assert shares == pytest.approx([0.25, 0.5, 0.25], abs=0.06)


# --- order ----------------------------------------------------------------------------------------


def test_what_strays_neither_waits_nor_holds_up() -> None:
    slow_then_fast = (Delay(Constant(1.0), until_s=0.5), Delay(Constant(0.1), from_s=0.5))
    sent = [(0.4, S0, W0), (0.6, S0, W0), (1.5, S0, W0)]
    in_order = arrivals(sent, fates(FaultPlan(slow_then_fast), sent))
    assert in_order == pytest.approx([1.4, 1.4, 1.6])
    overtaking = FaultPlan(slow_then_fast, reorders=(Chance(1.0, from_s=0.5),))
    assert arrivals(sent, fates(overtaking, sent)) == pytest.approx([1.4, 0.7, 1.6])
    straggling = FaultPlan(slow_then_fast, reorders=(Chance(1.0, until_s=0.5),))
    assert arrivals(sent, fates(straggling, sent)) == pytest.approx([1.4, 0.7, 1.6])


@pytest.mark.parametrize("what", [Exponential(0.01), Lognormal(0.01, 1.0), Uniform(0.0, 0.1)])
def test_a_link_with_one_delay_waits_for_the_latest_so_far(what: Distribution) -> None:
    sent = stream(1000)
    straying = fates(FaultPlan((Delay(what),), reorders=(Chance(1.0),)), sent)
    alone = arrivals(sent, straying)
    in_order = arrivals(sent, fates(FaultPlan((Delay(what),)), sent))
    assert in_order == pytest.approx(list(accumulate(alone, max)))
    assert in_order == sorted(in_order) != alone


def test_as_many_overtake_as_the_probability_says() -> None:
    blocked = (Delay(Constant(9.0)), Delay(Constant(0.0), from_s=1.0))
    sent = [(0.0, S0, W0), *((1.0, S0, W0) for _ in range(2000))]
    found = fates(FaultPlan(blocked, reorders=(Chance(0.1),)), sent)
    assert found.count((0.0,)) / 2000 == pytest.approx(0.1, abs=0.02)
    assert found.count((0.0,)) + found.count((8.0,)) == 2000


def test_links_do_not_wait_for_each_other() -> None:
    plan = FaultPlan((Delay(Constant(0.1)), Delay(Constant(9.0), receivers=(W1,))))
    sent = [(0.0, S0, W1), (0.0, S0, W0), (0.0, W1, S0)]
    assert fates(plan, sent) == [(9.0,), (0.1,), (0.1,)]


# --- partitions -----------------------------------------------------------------------------------

ACROSS = {(S0, W0): "out", (W0, S0): "in", (S0, S1): "out", (W1, S0): "in"}
WITHIN = [(W0, W1), (W1, S1), (S1, W0)]


@pytest.mark.parametrize("direction", ["both", "in", "out"])
@pytest.mark.parametrize("kind", ["hold", "lose"])
def test_a_partition_cuts_in_its_direction_while_it_lasts(direction: Any, kind: Any) -> None:
    cut = Partition((S0,), direction, kind, from_s=1.0, until_s=3.0)
    plan = FaultPlan((Delay(Constant(0.25)),), partitions=(cut,))
    for link, way in ACROSS.items():
        found = fates(plan, [(now, *link) for now in (0.9, 1.0, 2.5, 3.0)])
        late: list[tuple[float, ...]] = [(0.25,), (2.25,), (0.75,), (0.25,)]
        if direction not in ("both", way):
            late = [(0.25,)] * 4
        elif kind == "lose":
            late[1:3] = [(), ()]
        assert found == late, link
    for link in WITHIN:
        assert fates(plan, [(2.0, *link)]) == [(0.25,)]


def test_those_cut_off_together_talk_to_each_other() -> None:
    plan = FaultPlan(partitions=(Partition((S0, W0), kind="lose"),))
    fate = Fates(plan, 1).fate
    assert fate(0.0, S0, W0) == fate(0.0, W0, S0) == fate(0.0, S1, W1) == (0.0,)
    assert not fate(0.0, S0, W1)
    assert not fate(0.0, S1, W0)


def test_held_for_ever_is_lost() -> None:
    plan = FaultPlan(partitions=(Partition((S0,), from_s=1.0),))
    assert fates(plan, [(0.5, S0, W0), (1.0, S0, W0), (1e9, S0, W0)]) == [(0.0,), (), ()]


def test_what_a_partition_lets_go_may_meet_another() -> None:
    first = Partition((S0,), from_s=1.0, until_s=2.0)
    second = Partition((W0,), from_s=1.5, until_s=4.0)
    lost = Partition((W0,), kind="lose", from_s=3.5, until_s=5.0)
    sent: list[Sent] = [(1.2, S0, W0)]
    assert arrivals(sent, fates(FaultPlan(partitions=(second, first)), sent)) == [4.0]
    assert fates(FaultPlan(partitions=(second, first, lost)), sent) == [()]


def test_the_partition_that_holds_longest_decides() -> None:
    short, long = Partition((S0,), until_s=2.0), Partition((W0,), until_s=4.0)
    lose = Partition((W0,), kind="lose", from_s=2.0, until_s=3.0)
    for both in ((short, long), (long, short)):
        assert fates(FaultPlan(partitions=(*both, lose)), [(1.0, S0, W0)]) == [(3.0,)]


def test_where_one_partition_holds_and_another_loses_it_is_lost() -> None:
    hold, lose = Partition((S0,), until_s=2.0), Partition((W0,), kind="lose", until_s=1.0)
    for both in ((hold, lose), (lose, hold)):
        found = fates(FaultPlan(partitions=both), [(0.5, S0, W0), (1.0, S0, W0), (0.5, W1, S0)])
        assert found == [(), (1.0,), (1.5,)]


def test_what_is_held_sets_out_when_the_partition_ends() -> None:
    cut = Partition((S0,), until_s=2.0)
    slower = (Delay(Constant(0.1)), Delay(Constant(0.5), from_s=2.0))
    assert fates(FaultPlan(slower, partitions=(cut,)), [(1.0, S0, W0)]) == [(1.5,)]
    lossy = FaultPlan(losses=(Chance(1.0, from_s=2.0),), partitions=(cut,))
    assert fates(lossy, [(1.0, S0, W0)]) == [()]
    doubling = FaultPlan(duplicates=(Chance(1.0, from_s=2.0),), partitions=(cut,))
    assert fates(doubling, [(1.0, S0, W0)]) == [(1.0, 1.0)]


# --- nodes, and the plan as a whole ---------------------------------------------------------------


def test_slow_nodes_are_slow_while_they_are() -> None:
    plan = FaultPlan(
        slow=(Slow((W0, W1), 10.0, from_s=1.0, until_s=2.0), Slow((W1,), 3.0, from_s=2.0))
    )
    assert [plan.stretch(now, W0) for now in (0.0, 1.0, 1.9, 2.0)] == [1.0, 10.0, 10.0, 1.0]
    assert [plan.stretch(now, W1) for now in (0.0, 1.0, 2.0, 9.0)] == [1.0, 10.0, 3.0, 3.0]
    assert plan.stretch(1.5, S0) == FaultPlan().stretch(1.5, W0) == 1.0


@pytest.mark.parametrize(
    ("plan", "ends"),
    [
        (FaultPlan(), 0.0),
        (FaultPlan((Delay(Constant(1.0)),), (Chance(0.5, from_s=3.0),)), 0.0),
        (FaultPlan((Delay(Constant(1.0), until_s=2.5),)), 2.5),
        (FaultPlan(losses=(Chance(0.5, until_s=1.0),), crashes=(Crash(S0, 0.0, 7.0),)), 7.0),
        (FaultPlan(crashes=(Crash(S0, 9.0), Crash(S1, 1.0, 2.0))), 2.0),
        (FaultPlan(duplicates=(Chance(1.0, until_s=4.0),)), 4.0),
        (FaultPlan(reorders=(Chance(1.0, until_s=4.0),)), 4.0),
        (FaultPlan(partitions=(Partition((S0,), until_s=4.0),)), 4.0),
        (FaultPlan(slow=(Slow((S0,), 2.0, until_s=4.0),)), 4.0),
    ],
)
def test_when_the_last_fault_is_over(plan: FaultPlan, ends: float) -> None:
    assert plan.ends_s == ends


def test_a_typical_delay_is_the_one_for_everybody() -> None:
    assert FaultPlan().delay_unit_s == FaultPlan((Delay(Constant(0.0)),)).delay_unit_s == 0.001
    assert (
        FaultPlan((Delay(Uniform(1.0, 2.0)), Delay(Constant(9.0), senders=(S0,)))).delay_unit_s
        == 1.5
    )
    assert FaultPlan((Delay(Constant(9.0)), Delay(Exponential(0.1)))).delay_unit_s == 0.1
    assert FaultPlan((Delay(Constant(9.0), until_s=3.0),)).delay_unit_s == 0.001


def test_only_what_concerns_messages_costs_messages_anything() -> None:
    assert not FaultPlan(slow=(Slow((S0,), 2.0),), crashes=(Crash(S0, 1.0),)).on_messages
    assert FaultPlan(reorders=(Chance(0.1),)).on_messages


@pytest.mark.parametrize(
    "make",
    [
        lambda: Chance(1.5),
        lambda: Chance(0.5, from_s=2.0, until_s=2.0),
        lambda: Delay(Constant(1.0), from_s=-1.0),
        lambda: Slow((S0,), 0.5),
        lambda: Crash(S0, 2.0, 1.0),
    ],
)
def test_a_plan_that_cannot_be_is_a_bug(make: Any) -> None:
    with pytest.raises(AssertionError):
        make()
