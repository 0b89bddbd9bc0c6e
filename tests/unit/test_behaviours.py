"""Lies that are no vectors: who is told what, and when."""

from typing import Any

import pytest

from byzsgd.attacks import ATTACKS, Byzantine
from byzsgd.attacks.behaviours import COPIES_MAX, FLOODED, LAG_MAX, crash, desert, flood, stale
from byzsgd.attacks.memory import Memory
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
    Started,
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


# -- old truths ------------------------------------------------------------------------------------


def said(memory: Memory, steps: Any, lag: int) -> list[Any]:
    """What becomes of the words "θ0", "θ1" …"""
    sends = [stale(Send(W, Model(t, f"θ{t}")), memory, lag=lag) for t in steps]
    messages = [send.message for [send] in sends]
    assert [message.step for message in messages] == list(steps), "as though it were new"
    return [message.params for message in messages if isinstance(message, Model)]


@pytest.mark.parametrize("lag", [1, 3, 10])
def test_who_is_stale_says_what_it_said_before_or_its_first_word(lag: int) -> None:
    assert said(Memory(), range(30), lag) == [f"θ{max(0, t - lag)}" for t in range(30)]


def test_of_a_step_without_a_word_it_is_the_newest_before_it() -> None:
    assert said(Memory(), [0, 2, 7, 8, 9, 12], lag=3) == ["θ0", "θ0", "θ2", "θ2", "θ2", "θ9"]


def test_of_several_words_of_one_step_it_is_the_last() -> None:
    memory = Memory()
    for message in (Model(4, "before the gather", 0), Model(4, "after it", 1), Model(5, "θ5", 0)):
        [send] = stale(Send(W, message), memory, lag=1)
    assert send == Send(W, Model(5, "after it", 0))


def test_models_gradients_and_wishes_are_kept_apart() -> None:
    memory = Memory()
    said(memory, range(3), lag=1)
    first = Send(S, Gradient(3, "g3"))
    assert stale(first, memory, lag=1) == [first]
    assert stale(Send(S, Gradient(4, "g4")), memory, lag=1) == [Send(S, Gradient(4, "g3"))]
    assert stale(Send(S, Pull(5)), memory, lag=1) == [Send(S, Pull(5))]


def test_what_is_said_again_is_the_same_and_no_more_is_remembered_than_needed() -> None:
    memory = Memory()
    said(memory, range(100), lag=5)
    assert said(memory, [98, 99], lag=5) == ["θ93", "θ94"]
    assert len(memory._words[Model]) <= 5 + 4


@pytest.mark.parametrize("lag", [0, -1, LAG_MAX + 1, 2.0, True])
def test_how_far_back_it_goes_is_bounded(lag: Any) -> None:
    with pytest.raises(ConfigError, match="attack stale cannot work with lag"):
        Experiment(
            name="stale",
            cluster={"servers": 5, "workers": 4, "f_servers": 1},
            plan={"steps": 1},
            byzantine={"server-0": {"attack": "stale", "lag": lag}},
        )


def test_a_stale_worker_says_its_old_gradients() -> None:
    liar = Byzantine(Worker(W[0], Cluster(5, 7, 1, 2), Plan(9), 1), ATTACKS["stale"], {"lag": 2})
    told: list[Effect] = liar.handle(Started(), 0.0)
    for step in range(5):
        for event in (
            Received(S[0], Model(step, "θ")),
            Contracted(step, "x"),
            GradientComputed(step, f"g{step}"),
        ):
            told += liar.handle(event, 0.0)
    assert [effect for effect in told if isinstance(effect, Send)] == [
        Send(S, Gradient(step, f"g{max(0, step - 2)}")) for step in range(5)
    ]


# -- what becomes of them --------------------------------------------------------------------------


@pytest.mark.parametrize("attack", ["mute", "nan", "equivocate", "crash", "stale", "flood"])
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
    with pytest.raises(ConfigError, match="attack flood cannot work with copies"):
        Experiment(
            name="flooded",
            cluster={"servers": 5, "workers": 4, "f_servers": 1},
            plan={"steps": 1},
            byzantine={"server-0": {"attack": "flood", "copies": copies}},
        )


@pytest.mark.parametrize(("attack", "said"), [("crash", 0), ("flood", 29)])
def test_a_liar_that_behaves_so_has_nothing_forged(attack: str, said: int) -> None:
    options = {"step": 0} if attack == "crash" else {}
    honest = Server(S[0], Cluster(5, 7, 1, 2), Plan(3), "θ")
    effects = Byzantine(honest, ATTACKS[attack], options).handle(Started(), 0.0)
    assert not any(isinstance(effect, Forge) for effect in effects)
    assert sum(isinstance(effect, Send) for effect in effects) == said
