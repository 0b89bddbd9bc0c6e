"""What a liar puts on its link instead of words, and what is left of the link."""

from collections import Counter

import pytest

from byzsgd.attacks import ATTACKS
from byzsgd.attacks.malformed import KINDS as FLAWED
from byzsgd.attacks.memory import Memory
from byzsgd.cluster import Cluster, NodeId, Plan
from byzsgd.errors import ConfigError
from byzsgd.experiment.config import Experiment
from byzsgd.protocol import (
    FLAWS,
    Effect,
    Gradient,
    Machine,
    Malformed,
    Model,
    Pull,
    Received,
    Send,
    Server,
    Started,
    Worker,
)
from byzsgd.runtime.flawed import flawed
from tests.unit.test_flow import GRADIENT, LAYOUT, MODEL, End, greeted, parcel
from tests.world import servers, workers

S, W = servers(5), workers(7)
REASONS = {
    "short": "length",
    "long": "length",
    "empty": "frames",
    "order": "order",
    "kind": "header",
    "step": "header",
    "header": "header",
}
"""Why a link over a network refuses each."""


def said(send: Send, kind: str = "all") -> list[Send]:
    return ATTACKS["malformed"].words(send, Memory(), {"kind": kind})


def put(server: End, flaw: str, step: int) -> None:
    server.flow.put(flawed(Malformed(step, flaw), MODEL, LAYOUT))


def exchange(one: End, other: End) -> None:
    """Let both say all that they can, whatever it is."""
    while said := [(other, one.say()), (one, other.say())]:
        if not any(words for _, words in said):
            return
        for listener, words in said:
            for frames in words:
                listener.hear(frames)


def test_every_flaw_has_a_reason() -> None:
    assert set(REASONS) == set(FLAWS) == set(FLAWED) - {"all"}


@pytest.mark.parametrize("flaw", FLAWS)
@pytest.mark.parametrize("step", [0, 1, 7])
def test_each_is_refused_once_and_later_words_arrive(flaw: str, step: int) -> None:
    server, worker = greeted()
    put(server, flaw, step)
    exchange(server, worker)
    assert worker.refused == Counter({REASONS[flaw]: 1})
    for later in range(step, step + 4):
        server.flow.put(parcel(later))
    for later in range(step, step + 20):
        exchange(server, worker)
        worker.flow.grant(later + 1, 0)
        server.flow.put(parcel(later + 4))
    assert worker.steps[:19] == list(range(step, step + 19))
    assert worker.refused.total() == 1
    assert not server.refused


@pytest.mark.parametrize("flaw", FLAWS)
def test_between_the_chunks_of_a_vector_is_no_room_for_it(flaw: str) -> None:
    server, worker = greeted()
    server.flow.put(parcel(3))
    first = server.flow.next()
    assert first
    put(server, flaw, 3)
    worker.hear(first)
    exchange(server, worker)
    assert (worker.steps, worker.refused) == ([3], {REASONS[flaw]: 1})


@pytest.mark.parametrize("flaw", FLAWS)
def test_who_goes_on_so_is_refused_for_ever_and_the_other_direction_works(flaw: str) -> None:
    server, worker = greeted()
    for step in range(50):
        put(server, flaw, step)
        worker.flow.put(parcel(step, GRADIENT))
        exchange(server, worker)
        server.flow.grant(step + 1, 0)
        exchange(server, worker)
    spent = {"length": 4, "credit": 46} if flaw in ("short", "long") else {REASONS[flaw]: 50}
    assert (worker.refused, worker.steps) == (spent, [])
    assert server.steps == list(range(50))


def test_nothing_is_said_to_who_has_not_greeted_and_no_more_is_kept_than_a_window() -> None:
    server = End(GRADIENT, 4)
    for step in range(100):
        put(server, "short", step)
    assert server.say() == []
    assert len(server.flow._flawed) == 4


# -- the attack ------------------------------------------------------------------------------------


def test_every_vector_is_replaced_and_wishes_pass() -> None:
    for step in range(20):
        for send in (Send(W, Model(step, "θ", 2)), Send(S, Gradient(step, "g"))):
            flaw = FLAWS[step % len(FLAWS)]
            assert said(send) == [Send(send.to, Malformed(step, flaw))]
            assert said(send, "order") == [Send(send.to, Malformed(step, "order"))]
    assert said(Send(S, Pull(3))) == [Send(S, Pull(3))]


def test_another_flaw_is_none() -> None:
    with pytest.raises(ConfigError, match=r'malformed: kind = .*"short"'):
        Experiment(
            name="broken",
            cluster={"servers": 5, "workers": 4, "f_servers": 1},
            plan={"steps": 1},
            byzantine={"server-0": {"attack": "malformed", "kind": "rude"}},
        )


@pytest.mark.parametrize(
    ("machine", "sender"),
    [
        (Server(S[0], Cluster(5, 7, 1, 2), Plan(3, mode="sync"), "θ"), W[1]),
        (Server(S[0], Cluster(5, 7, 1, 2), Plan(3), "θ"), S[1]),
        (Worker(W[0], Cluster(5, 7, 1, 2), Plan(3)), S[1]),
    ],
)
def test_where_there_is_no_link_the_machine_counts_it(machine: Machine, sender: NodeId) -> None:
    machine.handle(Started(), 0.0)
    told: list[Effect] = []
    for flaw in FLAWS:
        told += machine.handle(Received(sender, Malformed(0, flaw)), 0.0)
    assert told == []
    assert machine.refused == {(sender, "malformed"): len(FLAWS)}
