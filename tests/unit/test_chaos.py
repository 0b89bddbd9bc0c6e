"""What stands in front of the links, and a slow lane: with a clock that only the tests move."""

import asyncio
from collections.abc import Callable, Iterable, Mapping
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from byzsgd.cluster import NodeId
from byzsgd.faults import Chance, Constant, Delay, Fates, FaultPlan, Partition
from byzsgd.faults.fates import Fate
from byzsgd.protocol import Model
from byzsgd.runtime.chaos import Chaos
from byzsgd.runtime.flow import Flow
from byzsgd.runtime.parcel import Parcel
from byzsgd.runtime.slow import SlowLane
from byzsgd.wire import KINDS, Credit, Hello, Layout, Part, decode, encode
from tests.unit.loop import Loop

ME = NodeId("server", 0)
NEAR, FAR = NodeId("worker", 0), NodeId("worker", 1)
WINDOW = 4


class Wires:
    """A transport that notes what is put on each link, and when."""

    def __init__(self, loop: Loop) -> None:
        self.loop = loop
        self.put: dict[NodeId, list[Parcel]] = {}
        self.at: list[tuple[float, NodeId, int]] = []
        self.sends = 0
        self.granted: list[int] = []
        self.closed = False

    def send(self, to: Iterable[NodeId], parcel: Parcel) -> None:
        assert not self.closed
        self.sends += 1
        for peer in to:
            self.put.setdefault(peer, []).append(parcel)
            self.at.append((self.loop.now, peer, parcel.step))

    def busy_s(self) -> float:
        return 0.0

    def grant(self, floor: int, kept: Callable[[NodeId], int]) -> None:
        self.granted.append(floor + kept(NEAR))

    def close(self) -> None:
        self.closed = True

    def steps(self, peer: NodeId = NEAR) -> list[int]:
        return [parcel.step for parcel in self.put.get(peer, [])]


class Net:
    """A shim whose fates are given."""

    def __init__(
        self, fate: Fate, window: int = WINDOW, relays: Mapping[NodeId, int] | None = None
    ) -> None:
        self.loop = Loop()
        self.wires = Wires(self.loop)
        loop = cast(asyncio.AbstractEventLoop, self.loop)
        self.chaos = Chaos(ME, self.wires, fate, self.loop.time, window, loop, relays)

    def send(self, step: int, *to: NodeId) -> Parcel:
        sent = parcel(step)
        self.chaos.send(to or (NEAR,), sent)
        return sent


def parcel(step: int) -> Parcel:
    return Parcel(KINDS[Model], step, 0, [memoryview(b"vector")])


def fated(*delays: tuple[float, ...]) -> Fate:
    """Each message has the next fate."""
    fates = iter(delays)
    return lambda now_s, sender, receiver: next(fates)


def planned(plan: FaultPlan) -> Fate:
    return Fates(plan, 7).fate


# --- the shim -------------------------------------------------------------------------------------


def test_what_is_lost_is_never_put_and_is_counted() -> None:
    net = Net(fated((), (0.0,), ()))
    for step in range(3):
        net.send(step)
    net.loop.until(1000)
    assert net.wires.steps() == [1]
    assert net.chaos.counts["lost"] == 2


def test_what_is_late_is_put_when_it_is_due_and_not_before() -> None:
    net = Net(fated((2.0,), (0.0,)))
    net.send(0)
    net.send(1)
    net.loop.until(1.999)
    assert net.wires.steps() == [1], "the fate let it overtake"
    net.loop.until(2.0)
    assert net.wires.steps() == [1, 0]
    assert net.chaos.held(NEAR) == 0


def test_it_asks_for_every_receiver_with_the_time_of_the_plan() -> None:
    asked = []

    def fate(now_s: float, sender: NodeId, receiver: NodeId) -> tuple[float, ...]:
        asked.append((now_s, sender, receiver))
        return (0.0,)

    net = Net(fate)
    net.loop.until(1.5)
    net.send(0, NEAR, FAR)
    assert asked == [(1.5, ME, NEAR), (1.5, ME, FAR)]
    assert net.wires.sends == 1, "encoded and framed once, for those whom nothing happens to"


def test_what_is_held_is_the_vector_itself() -> None:
    net = Net(fated((1.0,), (1.0, 2.0)))
    sent = net.send(0, NEAR, FAR)
    net.loop.until(3.0)
    put = net.wires.put[NEAR] + net.wires.put[FAR]
    assert len(put) == 3
    assert all(one.bodies is sent.bodies for one in put)
    assert net.wires.put[NEAR] == [sent]


def test_those_due_at_one_time_go_in_the_order_in_which_they_were_sent() -> None:
    """As all do that a partition held, though the loop's timers may have no order then."""
    net = Net(lambda now_s, _, __: (10.0 - now_s,))
    for step in range(WINDOW):
        net.loop.until(0.1 * step)
        net.send(step)
    net.loop.until(10.1)
    assert net.wires.steps() == list(range(WINDOW))


def test_a_prompt_one_does_not_overtake_what_is_due_but_was_not_put_yet() -> None:
    """The loop may have been away when its time came."""
    net = Net(fated((1.0,), (0.0,)))
    net.send(0)
    net.loop.now = 5.0
    net.send(1)
    assert net.wires.steps() == [0, 1]
    net.loop.until(6.0)
    assert net.wires.steps() == [0, 1], "once"


EIGHTHS = st.integers(0, 24).map(lambda eighths: eighths / 8)


@given(st.lists(st.tuples(EIGHTHS, EIGHTHS), max_size=40), st.integers(1, 50))
def test_each_link_delivers_in_order_of_what_is_due(
    sends: list[tuple[float, float]], window: int
) -> None:
    """Against a twin that sorts all at the end, of which an overflow takes something away."""
    net = Net(fated(*((delay_s,) for _, delay_s in sends)), window)
    due = []
    for step, (pause_s, delay_s) in enumerate(sends):
        net.loop.until(net.loop.now + pause_s)
        due.append((net.loop.now + delay_s, step))
        net.send(step)
        assert net.chaos.held(NEAR) == net.loop.pending() <= window
    net.loop.until(net.loop.now + 10)
    put = net.wires.steps()
    assert put == [step for _, step in sorted(due) if step in put]
    assert len(put) == len(sends) - net.chaos.counts["overflow"]
    assert net.chaos.counts["overflow"] == 0 or len(sends) > window
    assert net.loop.pending() == 0


def test_only_on_a_link_with_relays_more_than_the_window_are_held() -> None:
    net = Net(lambda now_s, sender, receiver: (1.0,), window=2, relays={NEAR: 3})
    for step in range(9):
        net.send(step, NEAR, FAR)
    assert (net.chaos.held(NEAR), net.chaos.held(FAR)) == (5, 2)


def test_a_duplicate_is_put_twice_though_the_first_still_waits_to_be_sent() -> None:
    layout = Layout(4)
    flow = Flow(b"r" * 16, layout, frozenset({KINDS[Model]}), WINDOW)
    flow.opened()
    net = Net(fated((0.0, 0.0), (0.0,)))
    first = net.send(3)
    net.send(3)  # said again: that is the machine's word, and one outbox needs it once
    for one in net.wires.put[NEAR]:
        flow.put(one)
    flow.hear(encode(Hello(b"r" * 16, Credit(1, 10, 0), asks=False)), None)
    heads = [decode(following[0]) for following in iter(flow.next, None)]
    parts = [head for head in heads if isinstance(head, Part)]
    assert [(part.kind, part.step, part.round) for part in parts] == [first.key] * 2
    assert net.chaos.counts["twice"] == 1


def test_copies_arrive_each_at_its_time() -> None:
    net = Net(fated((0.5, 2.0), (1.0,)))
    net.send(0)
    net.send(1)
    net.loop.until(1.5)
    assert net.wires.steps() == [0, 1]
    net.loop.until(2.0)
    assert net.wires.steps() == [0, 1, 0]


def test_of_each_link_only_the_newest_are_held_and_the_one_that_is_next() -> None:
    net = Net(lambda now_s, _, receiver: (100.0 - now_s,) if receiver == NEAR else (0.0,))
    for step in range(20):
        net.loop.until(float(step))
        net.send(step, NEAR, FAR)
        assert net.chaos.held(NEAR) <= WINDOW
        assert net.loop.pending() <= WINDOW
    assert net.chaos.counts["overflow"] == 20 - WINDOW
    net.loop.until(100.0)
    assert net.wires.steps(NEAR) == [0, 17, 18, 19]
    assert net.wires.steps(FAR) == list(range(20)), "one link's queue is no matter to another"


def test_a_delay_of_many_steps_does_not_hold_everything_back_for_ever() -> None:
    net = Net(lambda *_: (50.0,))
    for step in range(500):
        net.loop.until(float(step))
        net.send(step)
    arrived = [(at_s, step) for at_s, _, step in net.wires.at]
    assert len(arrived) >= 500 / 50 - 1
    assert all(at_s == step + 50 for at_s, step in arrived)


def test_with_close_all_that_is_held_is_lost_and_no_timer_is_left() -> None:
    net = Net(lambda *_: (1.0, 2.0))
    net.send(0, NEAR, FAR)
    assert net.loop.pending() == 4
    net.chaos.close()
    assert net.wires.closed
    assert net.loop.pending() == 0
    net.loop.until(10.0)
    assert net.wires.put == {}


def test_credit_goes_through() -> None:
    net = Net(fated())
    net.chaos.grant(5, lambda peer: 2)
    assert net.wires.granted == [7]


# --- the shim with a plan -------------------------------------------------------------------------


def test_a_partition_that_holds_heals_with_the_newest_vectors() -> None:
    cut = Partition((NEAR,), from_s=1.0, until_s=9.0)
    net = Net(planned(FaultPlan(partitions=(cut,))))
    for step in range(12):
        net.loop.until(float(step))
        net.send(step, NEAR, FAR)
    assert net.wires.steps(FAR) == list(range(12))
    assert net.wires.steps(NEAR) == [0, 1, 6, 7, 8, 9, 10, 11]
    assert all(at_s >= 9 for at_s, peer, step in net.wires.at if peer == NEAR and step > 0)


def test_a_plan_keeps_the_order_of_a_link_and_loses_its_share() -> None:
    plan = FaultPlan(delays=(Delay(Constant(0.5)),), losses=(Chance(0.3),))
    net = Net(planned(plan), window=1000)
    for step in range(1000):
        net.loop.until(0.01 * step)
        net.send(step)
    net.loop.until(100.0)
    steps = net.wires.steps()
    assert steps == sorted(steps)
    assert 600 < len(steps) < 800
    assert net.chaos.counts["lost"] == 1000 - len(steps)


# --- slow nodes -----------------------------------------------------------------------------------


class Bench:
    """A slow lane on which work takes as long as is said, and answers are noted with their time."""

    def __init__(self, stretch: Callable[[], float]) -> None:
        self.loop = Loop()
        self.answers: list[tuple[float, Any]] = []
        self.failed: list[BaseException] = []
        loop = cast(asyncio.AbstractEventLoop, self.loop)
        self.lane = SlowLane(loop, self.failed.append, stretch, lambda: self.loop.now)

    def work(self, took_s: float, result: object) -> None:
        """Submit it, and have it done: the clock moves on by what it took."""

        def work() -> object:
            self.loop.now += took_s
            return result

        self.lane.submit(work, lambda answer: self.answers.append((self.loop.now, answer)))
        self.loop.land()


@pytest.fixture
def bench() -> Iterable[Bench]:
    bench = Bench(lambda: 3.0)
    yield bench
    bench.lane.close()


def test_an_answer_comes_as_late_as_the_node_is_slow(bench: Bench) -> None:
    bench.work(2.0, "gradient")
    assert bench.loop.now == 2.0
    assert bench.answers == []
    bench.loop.until(5.9)
    assert bench.answers == []
    bench.loop.until(7.0)
    assert bench.answers == [(6.0, "gradient")]


def test_work_waits_for_the_work_before_it_and_answers_keep_their_order(bench: Bench) -> None:
    for result, took_s in (("a", 2.0), ("b", 1.0), ("c", 0.0)):
        bench.work(took_s, result)
    bench.loop.until(20.0)
    assert bench.answers == [(6.0, "a"), (9.0, "b"), (9.0, "c")]
    bench.work(1.0, "later")
    bench.loop.until(30.0)
    assert bench.answers[-1] == (23.0, "later"), "an idle machine owes nothing"


def test_while_it_is_not_slow_an_answer_comes_at_once() -> None:
    stretch = 1.0
    bench = Bench(lambda: stretch)
    bench.work(2.0, "a")
    assert bench.answers == [(2.0, "a")]
    assert bench.loop.pending() == 0
    stretch = 2.0
    bench.work(2.0, "b")
    stretch = 1.0
    bench.work(1.0, "c")  # done at 5, but the machine was busy until 6
    bench.loop.until(6.5)
    assert bench.answers[1:] == [(6.0, "b")]
    bench.loop.until(7.0)
    assert bench.answers[2:] == [(7.0, "c")]
    bench.lane.close()


def test_an_answer_does_not_overtake_one_that_is_due_but_was_not_given_yet(bench: Bench) -> None:
    """The loop may have been away when its time came."""
    bench.work(2.0, "a")
    bench.loop.now = 10.0
    bench.work(0.0, "b")
    bench.loop.until(11.0)
    assert [answer for _, answer in bench.answers] == ["a", "b"]


def test_a_failure_is_told_at_once(bench: Bench) -> None:
    def fail() -> None:
        raise ZeroDivisionError

    bench.lane.submit(fail, lambda _: None)
    bench.loop.land()
    assert [type(error) for error in bench.failed] == [ZeroDivisionError]


def test_a_lane_that_is_closed_owes_no_answer(bench: Bench) -> None:
    bench.work(2.0, "gradient")
    bench.lane.close()
    assert bench.loop.pending() == 0
    bench.loop.until(100.0)
    assert bench.answers == []
