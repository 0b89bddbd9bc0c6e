"""A run once more: what each node heard in a world, told to other machines in the same order."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch

from byzsgd.cluster import NodeId
from byzsgd.errors import ConfigError
from byzsgd.experiment.config import Experiment
from byzsgd.experiment.deliveries import Deliveries, deliveries_path, delivery
from byzsgd.experiment.enact import Enactment
from byzsgd.experiment.files import write_json
from byzsgd.experiment.replay import replay
from byzsgd.experiment.simulate import simulate
from byzsgd.protocol import Effect, Event
from byzsgd.simulation.cost import UNIFORM
from byzsgd.simulation.follow import Follow, Told
from byzsgd.simulation.watch import Stage, Watcher

TABLES: dict[str, Any] = {
    "name": "followed",
    "seed": 3,
    "cluster": {"servers": 5, "workers": 7, "f_servers": 1, "f_workers": 2},
    "plan": {"steps": 10, "gather_every": 3, "patience_s": 0.02, "save_every": 1},
    "training": {"task": "byzsgd.experiment.swarm.task:three_groups", "batch": 8},
    "byzantine": {"server-0": {"attack": "equivocate"}, "worker-0..1": {"attack": "alie"}},
}
ROUNDS = {**TABLES["plan"], "steps": 24, "gather_every": 8, "mode": "sync", "deadline_s": 0.02}
LOSSY = {"loss": {"probability": 0.1, "until": 0.05}, "duplicate": 0.1, "reorder": 0.3}
CRASHING = {"reorder": 0.3, "crash": {"node": "server-2", "from": 0.01, "until": 0.03}}
STEADFAST = {"server-0": {"attack": "equivocate"}, "worker-0..1": {"attack": "sign_flip"}}
"""Liars that lie the same when they are asked again."""


class Scribe(Watcher):
    """Notes what each machine was told, as a node of a real run does."""

    def __init__(self) -> None:
        self.orders: dict[NodeId, list[Told]] = {}
        self._restarts: set[NodeId] = set()

    def began(self, stage: Stage) -> None:
        self._machines = stage.machines
        self.orders = {node: [] for node in stage.machines}

    def handled(self, now: float, node: NodeId, event: Event, effects: Sequence[Effect]) -> None:
        # of a machine that has been told already: to start does not change its step
        step = self._machines[node].step
        self.orders[node].append(delivery(event, step, node in self._restarts))

    def restarted(self, now: float, node: NodeId, step: int, params: object) -> None:
        self._restarts.add(node)


def enacted(**changed: Any) -> tuple[Enactment, Scribe]:
    tables = {**TABLES, "simulation": {"gradients": "loop"}, **changed}
    enactment, scribe = Enactment(Experiment(**tables), UNIFORM), Scribe()
    ending = enactment.run(scribe)
    assert ending.rest.why == "done"
    return enactment, scribe


def followed(enactment: Enactment, scribe: Scribe, *watchers: Watcher) -> Follow:
    other = Enactment(enactment.experiment, UNIFORM)
    honest = enactment.experiment.honest
    follow = Follow(scribe.orders, other.make, other.answers, honest, watchers, other.wire())
    follow.run()
    return follow


@pytest.mark.parametrize(
    ("faults", "lies"),
    [({}, TABLES["byzantine"]), (LOSSY, STEADFAST), (CRASHING, STEADFAST)],
    ids=["quiet", "lossy", "crashing"],
)
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("plan", [TABLES["plan"], ROUNDS], ids=["async", "sync"])
def test_in_the_same_order_the_same_comes_of_it(
    faults: dict[str, Any], lies: dict[str, Any], dtype: str, plan: dict[str, Any]
) -> None:
    """Bit by bit, lies, rejections and catching up included, though there is no time here."""
    network = {"dtype": dtype}
    enactment, scribe = enacted(faults=faults, byzantine=lies, network=network, plan=plan)
    again = Scribe()
    follow = followed(enactment, scribe, again)
    assert follow.stuck == {}
    assert again.orders == scribe.orders
    assert follow.events == sum(map(len, scribe.orders.values()))
    for node in enactment.experiment.honest_servers:
        assert torch.equal(follow.done[node], enactment.world.done[node])


def test_in_another_order_it_would_not() -> None:
    """Or the test above could not fail: the first of all gradients comes last."""
    enactment, scribe = enacted()
    order = scribe.orders[NodeId("server", 1)]
    heard = [at for at, told in enumerate(order) if told[0] == "received" and told[3] == 0]
    gradients = [at for at in heard if order[at][2] == "Gradient"]
    order.insert(gradients[-1] + 1, order.pop(gradients[0]))
    follow = followed(enactment, scribe)
    node = NodeId("server", 1)
    differs = node not in follow.done or not torch.equal(
        follow.done[node], enactment.world.done[node]
    )
    assert differs


def test_who_cannot_be_told_what_he_heard_is_stuck() -> None:
    enactment, scribe = enacted()
    impossible = ("received", "worker-3", "Gradient", 99, 0)
    scribe.orders[NodeId("server", 1)].append(impossible)
    scribe.orders[NodeId("worker", 3)].append(("computed", "Contracted", 77))
    assert followed(enactment, scribe).stuck == {
        NodeId("server", 1): impossible,
        NodeId("worker", 3): ("computed", "Contracted", 77),
    }


def test_who_came_back_without_its_last_save_comes_back_so_here() -> None:
    """A process may be killed before a model is on the disk: the line says what was found there."""
    enactment, scribe = enacted(faults=CRASHING, byzantine=STEADFAST)
    node = NodeId("server", 2)
    order = scribe.orders[node]
    at = next(index for index, told in enumerate(order) if told[0] == "restarted")
    found: list[int] = []

    class Restarts(Watcher):
        def restarted(self, now: float, node: NodeId, step: int, params: object) -> None:
            found.append(step)

    for step in (1, 0):
        order[at] = ("restarted", step)
        del order[at + 1 :]
        followed(enactment, scribe, Restarts())
    assert found == [1, 0]


# --- from a record --------------------------------------------------------------------------------


def recorded(tmp_path: Path) -> Path:
    """A record as a real run would have left it, of a simulated one."""
    tables = {**TABLES, "simulation": {"gradients": "loop"}}
    run = simulate(Experiment(**tables), runs=tmp_path)
    enactment, scribe = enacted()
    for node, order in scribe.orders.items():
        with Deliveries(deliveries_path(run.path, node)) as file:
            for told in order:
                file._file.write(f"{list(told)!r}\n".replace("'", '"'))
    assert enactment.history == run.digest
    return run.path


def test_a_recorded_run_is_replayed_bit_by_bit(tmp_path: Path) -> None:
    replayed = replay(recorded(tmp_path))
    assert replayed.shortfalls() == []
    assert replayed.equal
    assert set(replayed.differences) == {f"server-{index}" for index in range(1, 5)}
    assert "4 of 4 models equal the run's, bit by bit" in replayed.text()


def test_a_replay_that_ends_with_other_models_says_so(tmp_path: Path) -> None:
    path = recorded(tmp_path)
    tables = Experiment(**TABLES).to_dict()
    write_json(path / "experiment.json", {**tables, "seed": 4})
    replayed = replay(path)
    assert not replayed.equal
    assert any("model differs by up to" in text for text in replayed.shortfalls())


def test_a_run_that_recorded_nothing_cannot_be_replayed(tmp_path: Path) -> None:
    run = simulate(Experiment(**TABLES), runs=tmp_path)
    with pytest.raises(ConfigError, match=r"recorded no deliveries .* --deliveries"):
        replay(run.path)
