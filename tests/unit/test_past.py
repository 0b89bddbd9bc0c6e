"""Old truths told as new, each against a plain list of all that was ever said."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from byzsgd.attacks import ATTACKS, Byzantine
from byzsgd.attacks.memory import WORDS_MAX, Memory, stride_of
from byzsgd.attacks.past import LAG_MAX, delayed, rollback, stale
from byzsgd.attacks.plot import Plot
from byzsgd.attacks.window import Window
from byzsgd.cluster import Cluster, Plan
from byzsgd.errors import ConfigError
from byzsgd.experiment.config import Experiment
from byzsgd.protocol import (
    Contracted,
    Effect,
    Gradient,
    GradientComputed,
    Model,
    Pull,
    Received,
    Send,
    Started,
    Worker,
)
from tests.world import servers, workers

S, W = servers(5), workers(7)


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


def spoken(step: int) -> Send:
    return Send(S, Gradient(step, step))


@given(st.integers(1, 3000), st.lists(st.integers(1, 3), min_size=1, max_size=400))
def test_a_delayed_word_is_about_as_old_as_it_should_be(lag: int, strides: list[int]) -> None:
    """As old as it should be, or the oldest; it is older by what is not remembered, or unsaid."""
    memory, steps = Memory(), [sum(strides[:k]) for k in range(len(strides))]
    for step in steps:
        [send] = delayed(spoken(step), memory, lag=lag)
        assert isinstance(send.message, Gradient)
        assert send.message.step == step, "as though it were new"
        old = send.message.vector
        assert old in steps
        if lag > step - steps[0]:
            assert old == steps[0]
        else:
            assert lag <= step - old < lag + stride_of(lag) + max(strides)
        assert len(memory._words[Gradient]) <= WORDS_MAX


@given(st.integers(1, 60), st.lists(st.integers(1, 5), min_size=1, max_size=200))
def test_with_a_short_lag_it_is_what_a_list_of_all_words_has(lag: int, strides: list[int]) -> None:
    memory, said = Memory(), list[int]()
    for step in (sum(strides[:k]) for k in range(len(strides))):
        said.append(step)
        expected = max((old for old in said if old <= step - lag), default=said[0])
        assert delayed(spoken(step), memory, lag=lag) == [Send(S, Gradient(step, expected))]


@pytest.mark.parametrize("lag", [60, 61, 64, 1000, 1024])
def test_a_thousand_steps_ago_takes_no_thousand_vectors(lag: int) -> None:
    memory = Memory()
    for step in range(3000):
        [send] = delayed(spoken(step), memory, lag=lag)
        assert len(memory._words[Gradient]) <= WORDS_MAX
    assert isinstance(send.message, Gradient)
    assert lag <= 2999 - send.message.vector < lag + stride_of(lag)


# -- an old backup ---------------------------------------------------------------------------------


@given(st.integers(0, 40), st.lists(st.integers(1, 5), min_size=1, max_size=60))
def test_a_server_from_an_old_backup_stays_there(step: int, strides: list[int]) -> None:
    memory, said = Memory(), list[int]()
    for now in (3 + sum(strides[:k]) for k in range(len(strides))):
        said.append(now)
        backup = max((old for old in said if old <= step), default=said[0])
        expected = now if now <= step else backup
        [send] = rollback(Send(W, Model(now, now, 1)), memory, step=step)
        assert send == Send(W, Model(now, expected, 1))
        assert len(memory._words[Model]) == 1


def test_what_is_said_again_after_a_gather_is_the_backup_too() -> None:
    memory = Memory()
    words = [Model(4, "before", 0), Model(4, "after", 1), Model(3, "θ3", 0), Model(5, "θ5", 0)]
    said = [rollback(Send(W, word), memory, step=4)[0].message for word in words]
    assert said == [*words[:3], Model(5, "after", 0)]
    assert rollback(Send(S, Pull(9)), memory, step=4) == [Send(S, Pull(9))]


@pytest.mark.parametrize(
    ("attack", "options", "expected"),
    [
        ("rollback", {"step": 2}, [0, 1, 2, 3, 4, 2, 2, 2, 8]),
        ("rollback", {}, [0, 1, 2, 3, 4, 0, 0, 0, 8]),
        ("stale", {"lag": 3}, [0, 1, 2, 3, 4, 2, 3, 4, 8]),
    ],
)
def test_what_was_said_before_the_lies_began_is_remembered(
    attack: str, options: dict[str, Any], expected: list[int]
) -> None:
    """Also where the liar is honest, it remembers no more than it needs."""
    honest = Worker(W[0], Cluster(5, 7, 1, 2), Plan(20), 1)
    plot = Plot(Window(5, 8))
    liar = Byzantine(honest, ATTACKS[attack], options, plot)
    told: list[Effect] = liar.handle(Started(), 0.0)
    for step in range(9):
        for event in (
            Received(S[0], Model(step, "θ")),
            Contracted(step, "x"),
            GradientComputed(step, step),
        ):
            told += liar.handle(event, 0.0)
    words = [effect.message for effect in told if isinstance(effect, Send)]
    assert words == [Gradient(step, vector) for step, vector in enumerate(expected)]
    assert len(liar._memory._words[Gradient]) <= 6


@pytest.mark.parametrize(
    ("attack", "option", "value"),
    [
        *(
            (attack, "lag", lag)
            for attack in ("stale", "delayed")
            for lag in (0, -1, LAG_MAX + 1, 2.0, True)
        ),
        *(("rollback", "step", step) for step in (-1, 1.5, "first", True)),
    ],
)
def test_how_far_back_it_goes_is_bounded(attack: str, option: str, value: Any) -> None:
    with pytest.raises(ConfigError, match=f"{attack}: {option} = .*give"):
        Experiment(
            name="old",
            cluster={"servers": 5, "workers": 4, "f_servers": 1},
            plan={"steps": 1},
            byzantine={"server-0": {"attack": attack, option: value}},
        )
