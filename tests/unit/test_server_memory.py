"""What a server keeps between updates: carried unseen, saved with the model, given back."""

from pathlib import Path
from typing import Any

import pytest
import torch

from byzsgd.cluster import Cluster, NodeId, Plan
from byzsgd.errors import ConfigError
from byzsgd.experiment.aggregation import Aggregation
from byzsgd.experiment.config import Experiment
from byzsgd.experiment.files import (
    drop_old_memory,
    load_memory,
    load_model,
    model_path,
    save_checkpoint,
    save_model,
    saved_steps,
)
from byzsgd.experiment.plan import describe
from byzsgd.protocol import (
    Contracted,
    Effect,
    Event,
    Gradient,
    Model,
    Received,
    Save,
    Server,
    Started,
    TimerFired,
    Update,
    Updated,
)
from tests.world import servers, workers

CLUSTER = Cluster(servers=5, workers=7, f_servers=1, f_workers=2)
S, W = servers(5), workers(7)


def server(plan: Plan, **begin: Any) -> Server:
    machine = Server(S[0], CLUSTER, plan, "θ", **begin)
    machine.handle(Started(), now=0.0)
    return machine


def hear(machine: Server, *events: Event) -> list[Effect]:
    return [effect for event in events for effect in machine.handle(event, now=0.0)]


def gradients(step: int) -> list[Event]:
    return [Received(worker, Gradient(step, "g")) for worker in W[:5]]


def models(step: int, *whose: NodeId, round_: int = 0) -> list[Event]:
    return [Received(node, Model(step, "other", round_)) for node in whose]


def memories(effects: list[Effect], kind: type[Update] | type[Save]) -> list[object]:
    return [effect.memory for effect in effects if isinstance(effect, kind)]


def test_what_an_update_leaves_goes_into_the_next_and_into_the_checkpoint() -> None:
    machine = server(Plan(9, gather_every=9, save_every=1))
    assert memories(hear(machine, *gradients(0)), Update) == [None]
    assert memories(hear(machine, Updated(0, "θ1", memory="m1")), Save) == ["m1"]
    assert memories(hear(machine, *gradients(1)), Update) == ["m1"]
    assert memories(hear(machine, Updated(1, "θ2")), Save) == [None]
    assert memories(hear(machine, *gradients(2)), Update) == [None]


def test_nobody_else_is_told_and_a_gather_leaves_it_as_it_is() -> None:
    machine = server(Plan(9, gather_every=1, save_every=1))
    effects = hear(machine, *gradients(0), Updated(0, "θ1", memory="mine"))
    effects += hear(machine, *models(1, *S[1:4]), Contracted(1, "median"))
    assert memories(effects, Save) == ["mine"]
    assert all("mine" not in str(e) for e in effects if not isinstance(e, Update | Save))
    assert memories(hear(machine, *gradients(1)), Update) == ["mine"]


def test_who_catches_up_keeps_its_own() -> None:
    machine = server(Plan(20, gather_every=4, window=6), memory="old")
    hear(machine, *models(4, *S[1:4], round_=1), TimerFired("patience", 0))
    hear(machine, Contracted(4, "median"))
    assert machine.step == 4
    assert memories(hear(machine, *gradients(4)), Update) == ["old"]


def test_a_restarted_server_goes_on_with_what_it_saved() -> None:
    machine = server(Plan(9, gather_every=9), step=3, memory="saved")
    (update,) = [e for e in hear(machine, *gradients(3)) if isinstance(e, Update)]
    assert (update.step, update.params, update.memory) == (3, "θ", "saved")


# --- on disk -------------------------------------------------------------------------------------

MEMORY = {
    "velocity": torch.randn(50),
    "safeguard.good": torch.tensor([True, False, True]),
    "safeguard.step": torch.tensor(2**40),
    "safeguard.scales": torch.tensor([0.1, 1e-300], dtype=torch.float64),
}


def test_memory_is_in_the_file_of_the_model(tmp_path: Path) -> None:
    path, params = model_path(tmp_path, "server-1", 7), torch.randn(50)
    save_model(path, 7, params, MEMORY)
    assert torch.equal(load_model(path), params)
    again = load_memory(path)
    assert again is not None
    assert {name: (t.dtype, t.tolist()) for name, t in again.items()} == {
        name: (t.dtype, t.tolist()) for name, t in MEMORY.items()
    }
    assert [file.name for file in path.parent.iterdir()] == [path.name]


def test_a_model_without_memory_has_none(tmp_path: Path) -> None:
    path = model_path(tmp_path, "server-1", 7)
    save_model(path, 7, torch.randn(50))
    assert load_memory(path) is None
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(ConfigError, match="no sound model"):
        load_memory(path)


def test_only_the_last_checkpoint_keeps_its_memory(tmp_path: Path) -> None:
    params = [torch.randn(50) for _ in range(3)]
    for step, vector in enumerate(params):
        save_checkpoint(tmp_path, S[1], Save(step, vector, MEMORY))
        drop_old_memory(tmp_path, S[1])
    assert saved_steps(tmp_path, S[1]) == [0, 1, 2]
    paths = [model_path(tmp_path, S[1], step) for step in range(3)]
    assert [load_memory(path) is None for path in paths] == [True, True, False]
    assert all(map(torch.equal, map(load_model, paths), params))


# --- in an experiment's file ---------------------------------------------------------------------


def experiment(**aggregation: Any) -> Experiment:
    cluster = {"servers": 5, "workers": 10, "f_servers": 1, "f_workers": 3}
    return Experiment(name="m", cluster=cluster, plan={"steps": 90}, aggregation=aggregation)


DOUBLE = {"name": "safeguard", "window": 10, "long_window": 60, "readmit": True}


def test_with_options_the_safeguard_remembers_and_without_it_does_not() -> None:
    assert Aggregation(gradients="safeguard").safeguard() is None
    given = experiment(gradients=DOUBLE)
    again = Experiment(**given.to_dict())
    for one in (given, again):
        safeguard = one.aggregation.safeguard(5)
        assert safeguard is not None
        assert (safeguard.windows, safeguard.warm_up, safeguard.seed) == ((60, 10), 10, 5)
        assert safeguard.readmit
        assert one.aggregation.gradient_rule.name == "safeguard"
    assert given.digest == again.digest


def test_its_sums_take_memory_at_servers() -> None:
    plain = describe(experiment(gradients="safeguard"), dimension=1000).memory
    more = describe(experiment(gradients=DOUBLE), dimension=1000).memory
    assert more[0].workspace - plain[0].workspace == 2 * 2 * 10 * 4 * 1000
    assert more[1] == plain[1]


def test_a_warm_up_without_an_end_is_a_warning() -> None:
    (warning,) = experiment(gradients=DOUBLE | {"warm_up": 90}).warnings
    assert "warm_up of 90 steps is no shorter than the run of 90" in warning
    assert experiment(gradients=DOUBLE).warnings == ()


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"gradients": DOUBLE, "pre": ["nnm"]}, "aggregation.pre: safeguard adds up what each"),
        ({"models": DOUBLE}, "safeguard has a memory for gradients only"),
        ({"gradients": {**DOUBLE, "long_window": 5}}, "long_window = 5: must be above window = 10"),
        ({"gradients": {**DOUBLE, "windw": 5}}, "safeguard has no option windw: its options are"),
        ({"gradients": {"name": "safeguard", "warm_up": 5}}, "safeguard with options needs window"),
        ({"gradients": {"name": "krum", "m": True}}, "m = true: must be text or a number"),
    ],
)
def test_refused(given: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError) as caught:
        experiment(**given)
    assert words in str(caught.value)
