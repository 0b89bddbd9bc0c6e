"""One link without sockets: two ends wired to each other, by hand and by a network that breaks."""

from collections import Counter, deque
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
)

from byzsgd.errors import WireError
from byzsgd.protocol import Gradient, Message, Model, Pull, Whisper
from byzsgd.runtime.flow import Flow
from byzsgd.runtime.parcel import Parcel
from byzsgd.wire import KINDS, Credit, Hello, Layout, Part, decode, encode

RUN = bytes(range(16))
LAYOUT = Layout(6, chunk_bytes=8)
"""Three chunks."""
MODEL, GRADIENT, PULL, WHISPER = (KINDS[kind] for kind in (Model, Gradient, Pull, Whisper))
Frames = tuple[bytes, bytes | None]


def parcel(step: int, kind: int = MODEL, round_: int = 0) -> Parcel:
    return Parcel(kind, step, round_, [bytes([step % 256] * 8)] * LAYOUT.chunks)


class End:
    """One end: a flow, and what it was told and has refused."""

    def __init__(self, hears: int, window: int, run: bytes = RUN, relays: int = 0) -> None:
        kinds = {hears, WHISPER} if relays else {hears}
        self.flow = Flow(run, LAYOUT, frozenset(kinds), window, relays)
        self.heard: list[Message] = []
        self.refused: Counter[str] = Counter()

    @property
    def steps(self) -> list[int]:
        return [message.step for message in self.heard]

    @property
    def words(self) -> list[int]:
        return [message.step for message in self.heard if not isinstance(message, Whisper)]

    @property
    def relayed(self) -> list[tuple[int, int | None]]:
        return [(one.step, one.about) for one in self.heard if isinstance(one, Whisper)]

    def say(self) -> list[Frames]:
        return list(iter(self.flow.next, None))

    def hear(self, frames: Frames) -> None:
        head, body = frames
        try:
            message = self.flow.hear(head, None if body is None else memoryview(body))
        except WireError as error:
            self.refused[error.reason] += 1
        else:
            self.heard += [message] if message else []


def ends(window: int = 4, relays: int = 0) -> tuple[End, End]:
    """A server's end and a worker's, with a connection between them."""
    server, worker = (End(kind, window, relays=relays) for kind in (GRADIENT, MODEL))
    for end in (server, worker):
        end.flow.opened()
    return server, worker


def exchange(one: End, other: End) -> list[Any]:
    """Let both say all that they can; the headers that passed."""
    heads = []
    passed = True
    while passed:
        passed = False
        for speaker, listener in ((one, other), (other, one)):
            for frames in speaker.say():
                listener.hear(frames)
                heads.append(decode(frames[0]))
                passed = True
    return heads


def greeted(window: int = 4) -> tuple[End, End]:
    server, worker = ends(window)
    exchange(server, worker)
    return server, worker


def refusal(end: End, head: Hello | Credit | Part | bytes, body: bytes | None = None) -> str:
    data = head if isinstance(head, bytes) else encode(head)
    with pytest.raises(WireError) as caught:
        end.flow.hear(data, None if body is None else memoryview(body))
    return caught.value.reason


# -- pulls ---------------------------------------------------------------------------------------


def pulls(window: int = 4) -> tuple[End, End]:
    """A server that hears gradients and pulls, and a worker that has greeted it."""
    server, worker = ends(window)
    server.flow.hears = frozenset({GRADIENT, PULL})
    exchange(server, worker)
    return server, worker


def wish(step: int) -> Parcel:
    return Parcel(PULL, step, 0, [])


def test_a_pull_is_a_header_and_goes_between_vectors() -> None:
    server, worker = pulls()
    worker.flow.put(parcel(3, GRADIENT))
    first = worker.flow.next()
    worker.flow.put(wish(4))
    said = [first, *worker.say()] if first else []
    assert [body is None for _, body in said] == [False, False, False, True]
    for frames in said:
        server.hear(frames)
    assert server.heard[1:] == [Pull(4)]
    assert server.steps == [3, 4]


def test_only_the_newest_wish_is_sent_and_it_displaces_no_vector() -> None:
    server, worker = pulls(window=2)
    for step in range(2):
        worker.flow.put(parcel(step, GRADIENT))
    for step in range(5):
        worker.flow.put(wish(step))
    exchange(server, worker)
    assert [type(message) for message in server.heard] == [Pull, Gradient]
    assert server.steps == [4, 0], "credit is for two"
    server.flow.grant(0, 1)
    exchange(server, worker)
    assert server.steps == [4, 0, 1]
    assert not worker.flow.dropped


def test_a_pull_is_never_stale() -> None:
    """Whoever is far ahead answers with what it has."""
    server, worker = pulls()
    server.flow.grant(50, 0)
    server.flow.put(parcel(50))  # which tells where the server is
    exchange(server, worker)
    worker.flow.put(parcel(1, GRADIENT))
    worker.flow.put(wish(2))
    exchange(server, worker)
    assert server.heard == [Pull(2)]
    assert worker.flow.dropped == {"stale": 1}


def test_pulls_take_credit_or_a_liar_would_pull_without_end() -> None:
    server, worker = pulls(window=2)
    epoch = server.flow._receive.tell().epoch
    head = Part(PULL, epoch, 1, 0, 0, Credit(1, 4, 0))
    for _ in range(2):
        assert server.flow.hear(encode(head), None) == Pull(1)
    assert refusal(server, head) == "credit"
    assert refusal(server, replace(head, index=1)) == "frames"
    assert refusal(server, head, b"12345678") == "frames"
    assert refusal(worker, head) == "kind"


# -- greeting ------------------------------------------------------------------------------------


def test_the_first_word_is_a_greeting_and_nothing_follows_until_the_peer_has_greeted() -> None:
    server, _ = ends()
    server.flow.put(parcel(0))
    [(head, body)] = server.say()
    hello = decode(head)
    assert isinstance(hello, Hello)
    assert (hello.run, hello.credit.count, hello.credit.floor, body) == (RUN, 4, 0, None)
    assert not server.say()


def test_nothing_is_said_before_a_connection_stands() -> None:
    flow = Flow(RUN, LAYOUT, frozenset({MODEL}), 4)
    flow.put(parcel(0, GRADIENT))
    flow.grant(9, 0)
    assert flow.next() is None


def test_nothing_is_said_when_the_connection_has_ended() -> None:
    """What ZeroMQ takes now, on a connection that it has not told of, would be of an old epoch."""
    server, worker = greeted()
    server.flow.closed()
    server.flow.put(parcel(0))
    server.flow.grant(1, 0)
    assert not server.say()
    for end in (server, worker):
        end.flow.opened()
    exchange(server, worker)
    assert worker.steps == [0]
    assert not worker.refused


def test_who_is_asked_starts_anew_as_well() -> None:
    """Both lost something without noticing that a connection ended; one of them hears of it."""
    server, worker = greeted(window=2)
    for end, kind in ((server, MODEL), (worker, GRADIENT)):
        for step in range(2):
            end.flow.put(parcel(step, kind))
        end.say()  # to nobody
    server.flow.opened(asks=True)
    heads = exchange(server, worker)
    assert [(type(head), head.asks) for head in heads] == [(Hello, True), (Hello, False)]
    for end, kind in ((server, MODEL), (worker, GRADIENT)):
        for step in range(2):
            end.flow.put(parcel(step, kind))
    exchange(server, worker)
    assert server.steps == worker.steps == [0, 1]
    assert not server.refused
    assert not worker.refused


def test_two_who_ask_each_other_at_once_come_to_an_end() -> None:
    server, worker = greeted()
    for end in (server, worker):
        end.flow.opened(asks=True)
    assert len(exchange(server, worker)) <= 4
    for end, kind in ((server, MODEL), (worker, GRADIENT)):
        end.flow.put(parcel(3, kind))
    exchange(server, worker)
    assert server.steps == worker.steps == [3]


@pytest.mark.parametrize("how", ["asks", "connects"])
def test_starting_anew_is_no_way_to_more_credit(how: str) -> None:
    _, worker = greeted(window=3)
    for attempt in range(10):
        if how == "asks":
            worker.hear((encode(Hello(RUN, Credit(0, 9, 0), asks=True)), None))
        else:
            worker.flow.opened()
        for step in range(3):
            for index in range(3):
                worker.hear((encode(a_part(worker, step=3 * attempt + step, index=index)), BODY))
    assert worker.steps == [0, 1, 2]
    worker.flow.grant(1, kept=1)
    worker.flow.opened()
    assert worker.flow._receive.tell().count == 2


def test_a_vector_arrives_chunk_by_chunk() -> None:
    server, worker = greeted()
    server.flow.put(parcel(7, round_=3))
    heads = exchange(server, worker)
    assert [(head.step, head.round, head.index) for head in heads] == [
        (7, 3, index) for index in range(3)
    ]
    [message] = worker.heard
    assert isinstance(message, Model)
    assert (message.step, message.round) == (7, 3)


def test_a_greeting_counts_for_the_connection_that_was_opened_last() -> None:
    """One that was on its way when its connection broke is no harm: the next one replaces it."""
    server, worker = ends()
    late = worker.say()
    for end in (server, worker):
        end.flow.opened()
    for frames in late:
        server.hear(frames)
    exchange(server, worker)
    server.flow.put(parcel(1))
    exchange(server, worker)
    assert worker.steps == [1]
    assert not worker.refused


def test_another_run_is_refused_and_gets_nothing() -> None:
    server, stranger = End(GRADIENT, 4), End(MODEL, 4, run=bytes(16))
    for end in (server, stranger):
        end.flow.opened()
    server.flow.put(parcel(0))
    heads = exchange(server, stranger)
    assert all(isinstance(head, Hello) for head in heads)
    assert server.refused == stranger.refused == {"run": 1}


def test_epochs_of_two_flows_differ() -> None:
    """A restarted node must not take for its own what was meant for the one before."""
    epochs = set()
    for _ in range(50):
        server, _ = ends()
        hello = decode(server.say()[0][0])
        assert isinstance(hello, Hello)
        epochs.add(hello.credit.epoch)
    assert len(epochs) == 50


def test_a_connection_more_is_an_epoch_more() -> None:
    server, _ = ends()
    epochs = []
    for _ in range(3):
        server.flow.opened()
        hello = decode(server.say()[0][0])
        assert isinstance(hello, Hello)
        epochs.append(hello.credit.epoch)
    assert all(later == earlier + 1 for earlier, later in pairwise(epochs))


# -- what is refused -----------------------------------------------------------------------------


def a_part(end: End, **fields: Any) -> Part:
    """What `end` would accept, with other `fields`."""
    epoch = end.flow._receive.tell().epoch
    return replace(Part(MODEL, epoch, 0, 0, 0, Credit(0, 0, 0)), **fields)


BODY = bytes(8)


def test_what_is_refused() -> None:
    _, worker = greeted()
    epoch = a_part(worker).epoch
    assert refusal(worker, a_part(worker, kind=GRADIENT), BODY) == "kind"
    assert refusal(worker, a_part(worker, kind=3), BODY) == "kind"
    assert refusal(worker, a_part(worker)) == "frames"
    assert refusal(worker, a_part(worker, epoch=epoch - 1), BODY) == "epoch"
    assert refusal(worker, a_part(worker, epoch=epoch + 1), BODY) == "epoch"
    assert refusal(worker, a_part(worker, index=1), BODY) == "order"
    assert refusal(worker, a_part(worker), bytes(9)) == "length"
    assert refusal(worker, b"\xc1") == "header"
    assert refusal(worker, Hello(bytes(16), Credit(0, 0, 0))) == "run"
    assert not worker.heard


def test_what_was_refused_keeps_no_honest_vector_out() -> None:
    server, worker = greeted()
    test = a_part(worker, kind=GRADIENT)
    for _ in range(10):
        refusal(worker, test, BODY)
        refusal(worker, b"")
    server.flow.put(parcel(0))
    exchange(server, worker)
    assert worker.steps == [0]


def test_a_flooder_is_refused_after_its_window() -> None:
    _, worker = greeted(window=3)
    for step in range(3):
        for index in range(3):
            worker.hear((encode(a_part(worker, step=step, index=index)), BODY))
    assert worker.steps == [0, 1, 2]
    for step in range(3, 20):
        assert refusal(worker, a_part(worker, step=step), BODY) == "credit"
    assert worker.steps == [0, 1, 2]


def test_vectors_that_are_begun_and_not_ended_cost_credit_too() -> None:
    _, worker = greeted(window=2)
    for _ in range(2):
        worker.hear((encode(a_part(worker)), BODY))
    assert refusal(worker, a_part(worker), BODY) == "credit"


def test_credit_for_another_epoch_is_no_credit() -> None:
    server, worker = greeted(window=1)
    for step in range(2):
        server.flow.put(parcel(step))
        exchange(server, worker)
    assert worker.steps == [0]
    true = worker.flow._receive.tell()
    server.hear((encode(replace(true, epoch=true.epoch - 1, count=9)), None))
    assert not server.say()


def test_credit_and_floor_never_go_back() -> None:
    server, worker = greeted(window=2)
    true = worker.flow._receive.tell()
    server.hear((encode(replace(true, count=3, floor=5)), None))
    server.hear((encode(true), None))
    assert server.flow._allowed == replace(true, count=3, floor=5)


# -- credit --------------------------------------------------------------------------------------


@pytest.mark.parametrize("window", [1, 2, 4])
def test_no_more_than_a_window_is_under_way(window: int) -> None:
    server, worker = greeted(window)
    for step in range(window):
        server.flow.put(parcel(step))
    exchange(server, worker)
    server.flow.put(parcel(window))
    exchange(server, worker)
    assert worker.steps == list(range(window))
    worker.flow.grant(1, window - 1)
    exchange(server, worker)
    assert worker.steps == list(range(window + 1))


def test_what_the_node_still_holds_is_not_granted_again() -> None:
    server, worker = greeted(window=4)
    for step in range(4):
        server.flow.put(parcel(step))
    exchange(server, worker)
    for step in range(4, 8):
        server.flow.put(parcel(step))
    worker.flow.grant(2, kept=3)
    exchange(server, worker)
    assert worker.steps == [0, 1, 2, 3, 4]


def test_what_the_node_still_holds_is_not_granted_after_a_reconnect_either() -> None:
    server, worker = greeted(window=4)
    worker.flow.grant(0, kept=3)
    for end in (server, worker):
        end.flow.opened()
    for step in range(4):
        server.flow.put(parcel(step))
    exchange(server, worker)
    assert worker.steps == [0]


def test_a_steady_exchange_needs_no_frame_for_credit() -> None:
    server, worker = greeted()
    heads = []
    for step in range(50):
        server.flow.put(parcel(step))
        heads += exchange(server, worker)
        worker.flow.grant(step + 1, 0)
        worker.flow.put(parcel(step, GRADIENT))
        heads += exchange(worker, server)
        server.flow.grant(step + 1, 0)
    assert worker.steps == server.steps == list(range(50))
    assert Counter(map(type, heads)) == {Part: 2 * 50 * LAYOUT.chunks}


def test_credit_travels_alone_when_there_is_nothing_to_say() -> None:
    """The worker never answers, and the server may go on all the same."""
    server, worker = greeted()
    heads = []
    for step in range(50):
        server.flow.put(parcel(step))
        heads += exchange(server, worker)
        worker.flow.grant(step + 1, 0)
        heads += exchange(server, worker)
    assert worker.steps == list(range(50))
    assert 50 // 4 <= Counter(map(type, heads))[Credit] <= 50


def test_a_vector_below_the_receivers_floor_is_not_sent() -> None:
    server, worker = greeted(window=4)
    worker.flow.grant(9, 0)
    worker.flow.put(parcel(9, GRADIENT))
    exchange(server, worker)
    for step in (3, 8, 9, 10):
        server.flow.put(parcel(step))
    exchange(server, worker)
    assert worker.steps == [9, 10]
    assert server.flow.dropped == {"stale": 2}


def test_a_vector_that_has_begun_is_finished_even_below_the_floor() -> None:
    server, worker = greeted()
    server.flow.put(parcel(3))
    first = server.flow.next()
    assert first
    worker.hear(first)
    server.hear((encode(replace(worker.flow._receive.tell(), floor=9)), None))
    exchange(server, worker)
    assert worker.steps == [3]
    assert not worker.refused


# -- the outbox ----------------------------------------------------------------------------------


@pytest.mark.parametrize("window", [1, 2, 4])
def test_a_full_outbox_keeps_the_newest(window: int) -> None:
    server, worker = ends(window)
    for step in range(10):
        server.flow.put(parcel(step))
    assert server.flow.dropped == {"overflow": 10 - window}
    exchange(server, worker)
    assert worker.steps == list(range(10 - window, 10))


@pytest.mark.parametrize("window", [1, 2, 4])
def test_a_full_outbox_keeps_the_newest_beside_the_vector_that_has_begun(window: int) -> None:
    server, worker = greeted(window)
    server.flow.put(parcel(0))
    first = server.flow.next()
    assert first
    for step in range(1, 10):
        server.flow.put(parcel(step))
    worker.hear(first)
    exchange(server, worker)
    worker.flow.grant(1, 0)
    exchange(server, worker)
    assert worker.steps[0] == 0
    assert worker.steps[-1] == 9
    assert worker.steps == [0, *range(10 - (len(worker.steps) - 1), 10)]
    assert not worker.refused


def test_what_waits_already_is_not_queued_twice() -> None:
    server, worker = ends()
    for step in (0, 1, 0, 1, 1):
        server.flow.put(parcel(step))
    exchange(server, worker)
    assert worker.steps == [0, 1]
    server.flow.put(parcel(1))
    exchange(server, worker)
    assert worker.steps == [0, 1, 1], "said again after it went out, it goes out again"


def test_a_vector_under_way_starts_anew_on_a_new_connection() -> None:
    server, worker = greeted()
    server.flow.put(parcel(5))
    for _ in range(2):
        chunk = server.flow.next()
        assert chunk
        worker.hear(chunk)
    for end in (server, worker):
        end.flow.opened()
    exchange(server, worker)
    assert worker.steps == [5]
    assert not worker.refused


# -- a network that breaks -----------------------------------------------------------------------


@dataclass
class Wire:
    """One direction: connections one after the other, each with what is still on it."""

    speaker: End
    listener: End
    under_way: deque[tuple[int, Frames]] = field(default_factory=deque)
    told: int = 0
    """The connection that the listener has last been told of."""
    arrived: int = 0
    """How many vectors the listener's node has not used yet."""


# -- relays --------------------------------------------------------------------------------------

WORKERS = 7
HONEST = range(1, WORKERS)


def whisper(step: int, about: int) -> Parcel:
    return parcel(step, WHISPER, about + 1)


def test_all_that_workers_say_in_a_window_of_steps_is_relayed_beside_the_models() -> None:
    """Though the receiver is ahead of the workers: a word of the step before is good for a lie."""
    server, worker = ends(window=4, relays=4 * WORKERS)
    worker.flow.grant(9, 0)
    exchange(server, worker)
    for step in range(5, 9):
        server.flow.put(parcel(step + 4))
        for about in HONEST:
            server.flow.put(whisper(step, about))
    exchange(server, worker)
    assert worker.words == list(range(9, 13))
    assert worker.relayed == [(step, about) for step in range(5, 9) for about in HONEST]
    assert not worker.refused
    assert not server.flow.dropped


def test_who_holds_a_window_of_models_is_still_told_what_all_workers_say_at_a_step() -> None:
    server, worker = ends(window=4, relays=4 * WORKERS)
    exchange(server, worker)
    for step in range(20):
        worker.flow.grant(step, 4)
        for about in HONEST:
            server.flow.put(whisper(step, about))
        exchange(server, worker)
    assert len(worker.relayed) == 20 * len(HONEST)
    assert not worker.refused


def test_relays_displace_no_model_and_take_no_credit_that_models_need() -> None:
    server, worker = ends(window=2, relays=3)
    exchange(server, worker)
    for about in range(9):
        server.flow.put(whisper(0, about))
    exchange(server, worker)
    assert worker.relayed == [(0, 6), (0, 7), (0, 8)], "the newest there is room for"
    for step in range(2):
        server.flow.put(parcel(step))
        server.flow.put(whisper(1, step))
    exchange(server, worker)
    assert worker.words == [0, 1]
    assert server.flow.dropped == {"overflow": 6}
    worker.flow.grant(2, 0)
    exchange(server, worker)
    assert worker.relayed[3:] == [(1, 0), (1, 1)]


def test_who_waits_has_models_before_relays_but_none_breaks_into_another() -> None:
    server, worker = ends(relays=8)
    exchange(server, worker)
    server.flow.put(whisper(3, 0))
    first = server.flow.next()
    assert first
    server.flow.put(whisper(3, 1))
    server.flow.put(parcel(4))
    worker.hear(first)
    exchange(server, worker)
    assert [(type(one), one.step) for one in worker.heard] == [
        (Whisper, 3),
        (Model, 4),
        (Whisper, 3),
    ]


def test_without_room_for_relays_a_whisper_is_a_word_like_others() -> None:
    """On links between honest nodes nothing has more room than the window."""
    server, worker = ends(window=4)
    worker.flow.hears = frozenset({MODEL, WHISPER})
    exchange(server, worker)
    for about in range(9):
        server.flow.put(whisper(0, about))
    assert server.flow.dropped == {"overflow": 5}
    exchange(server, worker)
    assert len(worker.relayed) == worker.flow._receive.tell().count == 4


class BrokenNetwork(RuleBasedStateMachine):
    """Two honest ends, a connection that breaks anywhere, and news of it that come late.

    As ZeroMQ does it, the news of a connection comes before what is heard over it, and what had
    arrived of the one before may still be heard after.
    """

    window = 2
    relays = 0

    @initialize(window=st.integers(1, 4), relays=st.sampled_from([0, 0, 5]))
    def connect(self, window: int, relays: int) -> None:
        self.window = window
        self.relays = relays
        server, worker = (End(kind, window, relays=relays) for kind in (GRADIENT, MODEL))
        self.kinds = {id(server): MODEL, id(worker): GRADIENT}
        self.wires = [Wire(server, worker), Wire(worker, server)]
        self.connection = 1
        self.step = 0
        self.breaks = 0

    @rule(direction=st.integers(0, 1), steps=st.integers(0, 2))
    def put(self, direction: int, steps: int) -> None:
        self.step += steps
        speaker = self.wires[direction].speaker
        speaker.flow.put(parcel(self.step, self.kinds[id(speaker)]))

    @precondition(lambda self: self.relays)
    @rule(about=st.integers(0, 6))
    def relay(self, about: int) -> None:
        self.wires[0].speaker.flow.put(whisper(self.step, about))

    @rule(direction=st.integers(0, 1), count=st.integers(1, 8))
    def speak(self, direction: int, count: int) -> None:
        wire = self.wires[direction]
        for _ in range(count):
            if frames := wire.speaker.flow.next():
                wire.under_way.append((self.connection, frames))

    @rule(direction=st.integers(0, 1), count=st.integers(1, 8))
    def listen(self, direction: int, count: int) -> None:
        wire = self.wires[direction]
        for _ in range(min(count, len(wire.under_way))):
            connection, frames = wire.under_way.popleft()
            self.tell(direction, connection)
            before = len(wire.listener.words)
            wire.listener.hear(frames)
            wire.arrived += len(wire.listener.words) - before

    @rule(direction=st.integers(0, 1))
    def news(self, direction: int) -> None:
        self.tell(direction, self.connection)

    def tell(self, direction: int, connection: int) -> None:
        wire = self.wires[direction]
        while wire.told < connection:
            wire.told += 1
            wire.listener.flow.opened()

    @rule(direction=st.integers(0, 1), used=st.integers(0, 4))
    def move_on(self, direction: int, used: int) -> None:
        wire = self.wires[direction]
        wire.arrived -= min(used, wire.arrived)
        wire.listener.flow.grant(0, wire.arrived)

    @rule(survive=st.tuples(st.integers(0, 6), st.integers(0, 6)))
    def cut(self, survive: tuple[int, int]) -> None:
        """Of what was under way only the first few have arrived."""
        for wire, count in zip(self.wires, survive, strict=True):
            while len(wire.under_way) > count:
                wire.under_way.pop()
        self.connection += 1
        self.breaks += 1

    @invariant()
    def an_honest_end_is_refused_for_nothing_but_a_connection_that_broke(self) -> None:
        for wire in self.wires:
            assert wire.listener.refused.keys() <= {"epoch"}, wire.listener.refused
            assert self.breaks or not wire.listener.refused

    @invariant()
    def what_is_delivered_was_allowed(self) -> None:
        for wire in self.wires:
            receive = wire.listener.flow._receive
            assert receive._delivered <= receive._begun <= receive._granted
            assert receive._granted - receive._delivered <= self.window + self.relays

    @invariant()
    def vectors_come_whole_and_in_order(self) -> None:
        for wire in self.wires:
            steps, relayed = wire.listener.words, wire.listener.relayed
            assert steps == sorted(steps)
            assert [step for step, _ in relayed] == sorted(step for step, _ in relayed)

    def teardown(self) -> None:
        """In the end the network holds, both nodes go on, and what is said then is heard."""
        if not hasattr(self, "wires"):
            return
        for _ in range(3):
            self.step += 1
            for direction in (0, 1):
                self.put(direction, 0)
            for _ in range(12):
                for direction, wire in enumerate(self.wires):
                    self.news(direction)
                    self.speak(direction, 8)
                    self.listen(direction, len(wire.under_way))
                    self.move_on(direction, 4)
        for wire in self.wires:
            assert wire.listener.words[-2:] == [self.step - 1, self.step]


TestBrokenNetwork = BrokenNetwork.TestCase
TestBrokenNetwork.settings = settings(deadline=None, max_examples=150, stateful_step_count=40)
