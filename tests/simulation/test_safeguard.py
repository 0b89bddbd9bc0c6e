"""SafeguardSGD and momentum on replicated servers: who is out, and what a crash must not change."""

from pathlib import Path
from typing import Any

import pytest
import torch

from byzsgd.experiment.build import Saved, machine_of
from byzsgd.experiment.config import Experiment
from byzsgd.experiment.enact import Enactment
from byzsgd.experiment.record import Run
from byzsgd.experiment.simulate import simulate
from byzsgd.protocol import Machine
from byzsgd.simulation.cost import UNIFORM
from byzsgd.simulation.parts import Checkpoint

DOUBLE = {"name": "safeguard", "window": 20, "long_window": 60}
SINGLE = {"name": "safeguard", "window": 40}


def experiment(**changed: Any) -> Experiment:
    tables: dict[str, Any] = {
        "name": "safeguard",
        "cluster": {"servers": 1, "workers": 10},
        "plan": {"steps": 120},
        "aggregation": {"gradients": DOUBLE},
        "training": {"task": "digits", "momentum": 0.0, "batch": 32},
        **changed,
    }
    return Experiment(**tables)


def excluded(run: Run) -> dict[str, list[str]]:
    """By honest server, after its last step."""
    servers = map(str, run.experiment.honest_servers)
    return {server: run.measures(server)[-1]["excluded"] for server in servers}


@pytest.mark.parametrize("rule", [DOUBLE, pytest.param(SINGLE, marks=pytest.mark.long)])
@pytest.mark.parametrize("attack", ["sign_flip", "label_flip"])
def test_four_of_ten_are_out_and_the_others_learn(
    attack: str, rule: dict[str, Any], tmp_path: Path
) -> None:
    liars = ["worker-1", "worker-4", "worker-5", "worker-9"]
    given = experiment(
        aggregation={"gradients": rule}, byzantine={liar: {"attack": attack} for liar in liars}
    )
    run = simulate(given, runs=tmp_path)
    assert run.shortfalls() == []
    assert excluded(run) == {"server-0": liars}
    assert run.accuracy > 0.9
    first = next(line for line in run.measures("server-0") if line["excluded"])
    assert first["step"] >= rule["window"], "nobody before the end of the warm-up"
    last = run.measures("server-0")[-1]
    assert last["chosen"] == [worker for worker in last["quorum"] if worker not in liars]


def test_where_nobody_lies_nobody_is_out_however_slow(tmp_path: Path) -> None:
    """Of asynchronous servers each aggregates the first seven: worker-9's hardly ever."""
    given = experiment(
        cluster={"servers": 5, "workers": 10, "f_servers": 1, "f_workers": 3},
        faults={"slow": {"nodes": "worker-9", "factor": 20}},
    )
    run = simulate(given, runs=tmp_path)
    assert run.shortfalls() == []
    assert excluded(run) == {f"server-{server}": [] for server in range(5)}
    heard = [line["quorum"].count("worker-9") for line in run.measures("server-0")]
    assert sum(heard) < 30
    assert run.accuracy > 0.9


def test_replicas_agree_on_liars_although_each_sees_other_gradients(tmp_path: Path) -> None:
    given = experiment(
        cluster={"servers": 5, "workers": 10, "f_servers": 1, "f_workers": 3},
        byzantine={"worker-0..2": {"attack": "sign_flip"}, "server-3": {"attack": "sign_flip"}},
    )
    run = simulate(given, runs=tmp_path)
    assert run.shortfalls() == []
    liars = ["worker-0", "worker-1", "worker-2"]
    assert excluded(run) == {f"server-{server}": liars for server in (0, 1, 2, 4)}


def test_with_all_that_sent_excluded_there_is_no_update(tmp_path: Path) -> None:
    """More lie than not: the run ends all the same, and says how often it refused."""
    given = experiment(
        plan={"steps": 12},
        aggregation={"gradients": {"name": "safeguard", "window": 4}},
        byzantine={f"worker-{liar}": {"attack": "nan"} for liar in range(10)},
    )
    run = simulate(given, runs=tmp_path)
    assert run.steps == 12
    assert sum(line.get("refused_updates", 0) for line in run.measures("server-0")) == 12
    assert all(line["excluded"] == [] for line in run.measures("server-0"))


# --- crashes --------------------------------------------------------------------------------------


class Forgetful(Enactment):
    """Whose server is given back its model only."""

    def make(self, node: Any, saved: Checkpoint | None) -> Machine:
        kept = Saved(saved.step, saved.params) if saved else Saved(0, self.flat.vector())
        return machine_of(self.experiment, node, kept)


MOMENTUM = {"momentum": 0.9, "nesterov": True, "momentum_at": "server"}


def crashing(crash: bool, **changed: Any) -> Experiment:
    """One server, which waits for all: what it aggregates does not depend on when."""
    faults = {"crash": [{"node": "server-0", "from": 0.0617, "until": 0.3}]} if crash else {}
    task = {"task": "byzsgd.experiment.swarm.task:three_groups", "batch": 4, "learning_rate": 0.05}
    return experiment(
        plan={"steps": 40, "save_every": 1, "patience_s": 0.05},
        training={**task, **changed.pop("training", {"momentum": 0.0})},
        faults={"delay": {"mean": 0.001}, **faults},
        simulation={"gradients": "loop"},
        byzantine={"worker-3": {"attack": "sign_flip"}},
        **changed,
    )


def test_a_velocity_at_servers_breaks_no_promise() -> None:
    """Checkers find what a server aggregated by the learning rate, which does not tell it here."""
    replicated = experiment(
        cluster={"servers": 5, "workers": 7, "f_servers": 1, "f_workers": 2},
        plan={"steps": 8},
        aggregation={"gradients": "mda"},
        training={"task": "byzsgd.experiment.swarm.task:three_groups", "batch": 4, **MOMENTUM},
    )
    assert Enactment(replicated, UNIFORM).run().violation is None


@pytest.mark.parametrize(
    "changed",
    [
        {"aggregation": {"gradients": {"name": "safeguard", "window": 7, "long_window": 30}}},
        {"aggregation": {"gradients": "average"}, "training": MOMENTUM},
        {"aggregation": {"gradients": {"name": "safeguard", "window": 9}}, "training": MOMENTUM},
    ],
)
def test_a_server_goes_on_from_its_checkpoint_as_though_nothing_had_been(
    changed: dict[str, Any],
) -> None:
    calm, broken = Enactment(crashing(False, **changed), UNIFORM), crashing(True, **changed)
    crashed, forgetful = Enactment(broken, UNIFORM), Forgetful(broken, UNIFORM)
    for enactment in (calm, crashed, forgetful):
        ending = enactment.run()
        assert (ending.rest.why, ending.violation) == ("done", None)
    (server,) = broken.cluster.server_ids
    ends = [enactment.world.saved[server] for enactment in (calm, crashed, forgetful)]
    assert [end.step for end in ends] == [40, 40, 40]
    assert torch.equal(ends[0].params, ends[1].params)
    assert ends[0].memory.keys() == ends[1].memory.keys()
    assert all(torch.equal(kept, ends[1].memory[name]) for name, kept in ends[0].memory.items())
    assert not all(torch.equal(kept, ends[2].memory[k]) for k, kept in ends[0].memory.items())
    assert calm.history != crashed.history
