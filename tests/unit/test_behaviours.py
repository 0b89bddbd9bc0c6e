"""Lies that are no vectors: who is told what, and when."""

from typing import Any

import pytest

from byzsgd.attacks import ATTACKS, Byzantine
from byzsgd.attacks.behaviours import COPIES_MAX, DELAY_S_MAX, FLOODED, crash, desert, flood
from byzsgd.attacks.late import HELD, LATE_MAX, Late
from byzsgd.cluster import Cluster, Plan
from byzsgd.errors import ConfigError
from byzsgd.experiment.config import Experiment
from byzsgd.protocol import (
    Contracted,
    Effect,
    Forge,
    Gradient,
    GradientComputed,
    Model,
    Pull,
    Received,
    Send,
    Server,
    SetTimer,
    Started,
    TimerFired,
    Worker,
)
from tests.world import servers, workers

S, W = servers(5), workers(7)


def model(step: int) -> Send:
    return Send(W, Model(step, "θ", 1))


def test_who_crashes_tells_the_truth_until_then() -> None:
    assert [crash(model(step), step=3) for step in range(5)] == [
        *([model(step)] for step in range(3)),
        [],
        [],
    ]


def test_who_deserts_leaves_each_receiver_at_another_step() -> None:
    told = {
        step: [w.index for send in desert(model(step), step=2, stagger=3) for w in send.to]
        for step in (0, 2, 4, 5, 19, 20)
    }
    assert told == {
        0: [0, 1, 2, 3, 4, 5, 6],
        2: [1, 2, 3, 4, 5, 6],
        4: [1, 2, 3, 4, 5, 6],
        5: [2, 3, 4, 5, 6],
        19: [6],
        20: [],
    }


@pytest.mark.parametrize("send", [model(4), Send(S, Gradient(4, "g"))])
@pytest.mark.parametrize("copies", [1, 3])
def test_a_flood_is_the_truth_and_noise_about_other_steps(send: Send, copies: int) -> None:
    truth, *noise = flood(send, copies=copies)
    assert truth == send
    assert len(noise) == 2 * copies * len(FLOODED)
    assert {other.to for other in noise} == {send.to}
    kind = type(send.message)
    steps = [o.message.step for o in noise if type(o.message) is kind and o.message.step != 4]
    assert sorted(set(steps)) == sorted(4 + ahead for ahead in FLOODED)
    assert any(type(other.message) is Gradient and other.message.step == 4 for other in noise)


def test_a_flood_of_wishes_is_of_wishes() -> None:
    truth, *noise = flood(Send(S[1:2], Pull(4)), copies=2)
    assert truth == Send(S[1:2], Pull(4))
    assert {type(other.message) for other in noise} == {Pull}
    assert {other.message.step for other in noise} == {4, *(4 + ahead for ahead in FLOODED)}


# -- what becomes of them --------------------------------------------------------------------------


@pytest.mark.parametrize(
    "attack", ["mute", "nan", "equivocate", "crash", "stale", "flood", "rollback", "malformed"]
)
def test_a_lying_worker_asks_for_models_as_long_as_it_needs_them(attack: str) -> None:
    """What it would honestly ask for, and at a step where it has crashed nothing."""
    plan = Plan(9, gather_every=5, mode="sync")
    options = {"step": 1} if attack == "crash" else {}
    liar = Byzantine(Worker(W[0], Cluster(5, 7, 1, 2), plan, 1), ATTACKS[attack], options)
    told: list[Effect] = []
    for event in (
        Started(),
        Received(S[0], Model(0, "θ")),
        Contracted(0, "x"),
        GradientComputed(0, "g"),
    ):
        told += liar.handle(event, 0.0)
    assert (Send(S, Pull(1)) in told) == (attack != "crash")


@pytest.mark.parametrize("copies", [0, -1, COPIES_MAX + 1, 2.0, True])
def test_how_often_it_says_so_is_bounded(copies: Any) -> None:
    with pytest.raises(ConfigError, match=r"copies = .* from 1 to 1000"):
        flood(model(0), copies=copies)
    with pytest.raises(ConfigError, match="server-0: copies = "):
        Experiment(
            name="flooded",
            cluster={"servers": 5, "workers": 4, "f_servers": 1},
            plan={"steps": 1},
            byzantine={"server-0": {"attack": "flood", "copies": copies}},
        )


def test_who_is_slow_says_everything_and_everything_late() -> None:
    """Words and wishes alike, in order; what comes of a word meanwhile is not waited for."""
    plan = Plan(9, gather_every=5, mode="sync")
    liar = Byzantine(Worker(W[0], Cluster(5, 7, 1, 2), plan, 1), ATTACKS["slow"], {"delay_s": 2.0})
    told: list[Effect] = []
    for event, now in (
        (Started(), 0.0),
        (Received(S[0], Model(0, "θ")), 1.0),
        (Contracted(0, "x"), 1.5),
        (GradientComputed(0, "g"), 3.0),
    ):
        told += liar.handle(event, now)
    assert not any(isinstance(effect, Send) for effect in told)
    [held] = [effect for effect in told if isinstance(effect, SetTimer) and effect.name == HELD]
    assert held.at == 5.0
    said = liar.handle(TimerFired(HELD, held.step), held.at)
    assert said == [Send(S, Gradient(0, "g")), Send(S, Pull(1))]


def test_no_more_is_held_back_than_there_is_room_for() -> None:
    """Of a slow liar's words of 200 steps those that there is room for are said, and in order."""
    late, sends = Late(), [model(step) for step in range(200)]
    timers = [effect for send in sends for effect in late.hold(send, due=1.0)]
    assert timers == [SetTimer(HELD, 0, 1.0)]
    assert late.release(now=1.0) == sends[:LATE_MAX]


@pytest.mark.parametrize("delay_s", [-1, DELAY_S_MAX + 1, "soon", True])
def test_how_late_it_is_has_bounds(delay_s: Any) -> None:
    with pytest.raises(ConfigError, match=r"slow: delay_s = .*give"):
        Experiment(
            name="late",
            cluster={"servers": 5, "workers": 4, "f_servers": 1},
            plan={"steps": 1},
            byzantine={"server-0": {"attack": "slow", "delay_s": delay_s}},
        )


@pytest.mark.parametrize(("attack", "said"), [("crash", 0), ("flood", 29)])
def test_a_liar_that_behaves_so_has_nothing_forged(attack: str, said: int) -> None:
    options = {"step": 0} if attack == "crash" else {}
    honest = Server(S[0], Cluster(5, 7, 1, 2), Plan(3), "θ")
    effects = Byzantine(honest, ATTACKS[attack], options).handle(Started(), 0.0)
    assert not any(isinstance(effect, Forge) for effect in effects)
    assert sum(isinstance(effect, Send) for effect in effects) == said
