"""Liars who know what the honest say: overheard in a simulation, recomputed in a real run."""

from collections.abc import Sequence
from typing import Any

import pytest
import torch

from byzsgd.cluster import NodeId
from byzsgd.errors import ConfigError
from byzsgd.experiment.build import build
from byzsgd.experiment.config import Experiment
from byzsgd.experiment.enact import Enactment
from byzsgd.experiment.plots import check_real, plot_of
from byzsgd.protocol import (
    ComputeGradient,
    Effect,
    Event,
    Forge,
    Gradient,
    GradientComputed,
    Model,
    Recompute,
    Recomputed,
    Send,
    Vector,
)
from byzsgd.simulation.cost import UNIFORM
from byzsgd.simulation.watch import Watcher

LIAR = NodeId("worker", 0)


def an_experiment(knowledge: str, rushing: bool, **more: Any) -> Experiment:
    lie = {"attack": "alie", "knowledge": knowledge, "rushing": rushing}
    return Experiment(
        name="omniscience",
        seed=3,
        cluster={"servers": 5, "workers": 7, "f_servers": 1, "f_workers": 2},
        plan={"steps": 12, "gather_every": 3},
        training={"task": "digits", "batch": 4},
        byzantine={"worker-0..1": lie, **more},
    )


class Notes(Watcher):
    """What honest workers said at each step, and of which vectors each lie was made."""

    def __init__(self) -> None:
        self.said: dict[int, list[Vector]] = {}
        self.lies: list[tuple[NodeId, Forge]] = []

    def handled(self, now: float, node: NodeId, event: Event, effects: Sequence[Effect]) -> None:
        for effect in effects:
            match effect:
                case Forge():
                    self.lies.append((node, effect))
                case Send(_, Gradient(step, vector)) if node.index > 1:
                    self.said.setdefault(step, []).append(vector)


def noted(experiment: Experiment) -> Notes:
    notes = Notes()
    ending = Enactment(experiment, UNIFORM).run(notes)
    assert ending.violation is None
    assert ending.rest.why == "done"
    return notes


def among(vector: Vector, vectors: Sequence[Vector]) -> bool:
    return any(vector is other for other in vectors)


@pytest.mark.parametrize("rushing", [True, False])
def test_in_a_simulation_the_omniscient_lie_with_what_was_said(rushing: bool) -> None:
    notes = noted(an_experiment("omniscient", rushing))
    fresh = 0
    for _, lie in notes.lies:
        step = lie.sends[0].message.step
        now = sum(among(vector, notes.said.get(step, ())) for vector in lie.known)
        if rushing:
            fresh += now >= 3
        else:
            assert now == 0, "nobody knows what is not said yet"
            fresh += sum(among(v, notes.said.get(step - 1, ())) for v in lie.known) >= 3
    assert fresh > 0.6 * len(notes.lies)


def test_colluders_hear_of_honest_gradients_through_a_lying_server() -> None:
    notes = noted(an_experiment("colluders", False, **{"server-0": {"attack": "mute"}}))
    everything = [vector for vectors in notes.said.values() for vector in vectors]
    relayed = [all(among(vector, everything) for vector in lie.known) for _, lie in notes.lies]
    assert sum(relayed) > 0.6 * len(relayed)


def test_an_omniscient_server_hears_the_models_of_the_honest() -> None:
    lie = {"attack": "alie", "z": 1.5, "knowledge": "omniscient", "rushing": True}
    notes = noted(an_experiment("own", False, **{"server-0": lie}))
    forged = [lie for node, lie in notes.lies if node.role == "server"]
    assert all(isinstance(lie.sends[0].message, Model) for lie in forged)
    assert sum(len(lie.known) >= 3 for lie in forged) > 0.6 * len(forged)


def test_recomputed_is_to_the_bit_what_the_honest_compute_at_that_model() -> None:
    experiment = an_experiment("omniscient", True)
    liar = build(experiment, LIAR).compute
    others = plot_of(experiment, LIAR, real=True).recomputed
    assert others == tuple(NodeId("worker", index) for index in range(2, 7))
    params = torch.full((liar.flat.dimension,), 0.01)
    first = recomputed(liar, Recompute(0, params, others))
    second = recomputed(liar, Recompute(1, params + 0.01, others, first.gradients))
    for worker, vector in second.gradients:
        honest = build(experiment, worker).compute
        before = submitted(honest, ComputeGradient(0, params))
        after = submitted(honest, ComputeGradient(1, params + 0.01, before))
        assert torch.equal(vector, after), "momentum and all"


def recomputed(compute: Any, effect: Recompute) -> Recomputed:
    event = compute.run(effect).event
    assert isinstance(event, Recomputed)
    return event


def submitted(compute: Any, effect: ComputeGradient) -> torch.Tensor:
    event = compute.run(effect).event
    assert isinstance(event, GradientComputed)
    return event.vector  # type: ignore[no-any-return]


def test_a_real_run_refuses_an_omniscient_server() -> None:
    lie = {"attack": "alie", "knowledge": "omniscient"}
    with pytest.raises(ConfigError, match=r"byzantine\.server-0: .* is for `byzsgd simulate`"):
        check_real(an_experiment("own", False, **{"server-0": lie}))


@pytest.mark.parametrize(
    ("lie", "complaint"),
    [
        ({"attack": "nan", "knowledge": "omniscient"}, "looks at no vectors of others"),
        ({"attack": "alie", "rushing": True}, "rushing = true: needs knowledge"),
        ({"attack": "alie", "knowledge": "colluders"}, "no server lies that could tell"),
        ({"attack": "alie", "knowledge": "omnicient"}, "did you mean .omniscient."),
        ({"attack": "alie", "knowledge": ["own"]}, "knowledge"),
        ({"attack": "alie", "rushing": "yes"}, "must be true or false"),
        ({"attack": "alie", "from": -1}, "must be a step, a whole number from 0 on"),
        ({"attack": "alie", "from": 1.5}, "must be a step, a whole number from 0 on"),
        ({"attack": "alie", "from": 5, "until": 5}, "must be a step after from = 5"),
        ({"attack": "alie", "until": True}, "must be a step after from = 0"),
    ],
)
def test_what_makes_no_sense_is_refused(lie: dict[str, Any], complaint: str) -> None:
    with pytest.raises(ConfigError, match=complaint):
        Experiment(
            name="no",
            cluster={"servers": 5, "workers": 7, "f_servers": 1, "f_workers": 2},
            plan={"steps": 5},
            byzantine={"worker-0": lie},
        )


def test_circumstances_survive_the_record() -> None:
    lie = {"attack": "alie", "from": 2, "until": 9, "knowledge": "omniscient", "rushing": True}
    tables = {
        "name": "again",
        "cluster": {"servers": 5, "workers": 7, "f_servers": 1, "f_workers": 2},
        "plan": {"steps": 5},
        "byzantine": {"worker-0": lie},
    }
    experiment = Experiment(**tables)
    assert Experiment.from_dict(experiment.to_dict()).liars == experiment.liars
    assert experiment.to_dict()["byzantine"]["worker-0"] == lie


@pytest.mark.parametrize(
    ("liars", "warned"),
    [
        ({"worker-0": {"attack": "alie"}}, True),
        ({"worker-0": {"attack": "alie", "knowledge": "omniscient"}}, False),
        ({"worker-0..1": {"attack": "alie"}}, False),
        ({"worker-0": {"attack": "alie"}, "worker-1": {"attack": "mute"}}, False),
        ({"worker-0": {"attack": "scale", "factor": 1.0}}, True),
        ({"worker-0": {"attack": "scale", "factor": 2.0}}, False),
        ({"server-0": {"attack": "alie"}}, False),
        ({"server-0": {"attack": "drift"}}, False),
        ({"server-0": {"attack": "drift", "speed": 0}}, True),
        ({"server-0": {"attack": "equivocate", "kind": "victim", "victim": 6}}, False),
        ({"server-0": {"attack": "equivocate", "kind": "victim", "victim": 7}}, True),
        ({"worker-0": {"attack": "equivocate", "kind": "victim", "victim": 4}}, False),
        ({"worker-0": {"attack": "equivocate", "kind": "victim", "victim": 5}}, True),
        ({"worker-0": {"attack": "mute", "from": 4}}, False),
        ({"worker-0": {"attack": "mute", "from": 5}}, True),
    ],
)
def test_who_can_say_nothing_but_the_truth_is_warned_of_before_the_run(
    liars: dict[str, Any], warned: bool
) -> None:
    experiment = Experiment(
        name="true",
        cluster={"servers": 5, "workers": 7, "f_servers": 1, "f_workers": 2},
        plan={"steps": 5},
        byzantine=liars,
    )
    said = [text for text in experiment.warnings if "says nothing but the truth" in text]
    assert bool(said) == warned


def test_a_server_is_told_of_nothing_by_colluders() -> None:
    with pytest.raises(ConfigError, match="a server is sent all gradients anyway"):
        an_experiment("own", False, **{"server-0": {"attack": "alie", "knowledge": "colluders"}})
