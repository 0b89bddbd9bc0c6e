"""Lies that are no vectors: who is told what, and when."""

from typing import Any

import pytest

from byzsgd.attacks import ATTACKS, Byzantine
from byzsgd.attacks.behaviours import COPIES_MAX, FLOODED, crash, desert, flood
from byzsgd.cluster import Cluster, Plan
from byzsgd.errors import ConfigError
from byzsgd.experiment.config import Experiment
from byzsgd.protocol import Forge, Gradient, Model, Send, Server, Started
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
