"""What computing costs in virtual time: uniform, from a file, or measured."""

import itertools
import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from byzsgd.cluster import NodeId, Plan
from byzsgd.errors import ConfigError
from byzsgd.experiment import measured
from byzsgd.experiment.config import Experiment
from byzsgd.experiment.costs import costs
from byzsgd.faults import Constant, Delay, FaultPlan
from byzsgd.protocol import ComputeGradient, Contract, Forge, Received, Update
from byzsgd.simulation.cost import FREE, UNIFORM, Cost
from byzsgd.simulation.parts import Conditions
from tests.simulation.worlds import SMALL, Diary, world

TABLES: dict[str, Any] = {
    "name": "costly",
    "cluster": {"servers": 5, "workers": 7, "f_servers": 1, "f_workers": 2},
    "plan": {"steps": 3},
    "training": {"task": "digits", "batch": 8},
}
W = SMALL.worker_ids


def experiment(**changed: Any) -> Experiment:
    return Experiment(**{**TABLES, **changed})


def from_file(path: Path, text: str) -> Cost:
    path.write_text(text)
    return costs(experiment(), path)


# --- costs ----------------------------------------------------------------------------------------


def test_every_kind_of_computation_has_its_own_cost() -> None:
    cost = Cost(gradient_s=1, update_s=2, contract_s=3, forge_s=4)
    effects = (ComputeGradient(0, 0), Update(0, 0, ()), Contract(0, ()), Forge((), "alie"))
    assert [cost.of(effect) for effect in effects] == [1, 2, 3, 4]
    assert [FREE.of(effect) for effect in effects] == [0, 0, 0, 0]


@pytest.mark.parametrize("value", [-1.0, float("nan"), float("inf"), True, "1", None])
def test_a_time_that_cannot_be_is_refused(value: Any) -> None:
    with pytest.raises(ConfigError, match=r"update_s = .*: must be a number of seconds, 0 or more"):
        Cost(update_s=value)


def test_uniform_counts_in_computations() -> None:
    """A step is the worker's median, its gradient and the server's update; a gather is one more."""
    for gather_every, computations in ((100, 3 * 6), (2, 3 * 6 + 3)):
        conditions = Conditions(FaultPlan(), cost=costs(experiment(), "uniform"))
        rest = world(Plan(6, gather_every, patience_s=100), conditions).run()
        assert rest.at_s == pytest.approx(0.001 * computations)
    assert costs(experiment(), "uniform") == UNIFORM


def test_nodes_with_a_cost_of_their_own_take_their_time() -> None:
    diary = Diary()
    cost = Cost(gradient_s=1.0, nodes={W[0]: Cost(gradient_s=5.0), W[1]: Cost(send_s=2.0)})
    conditions = Conditions(FaultPlan(delays=(Delay(Constant(0.5)),)), cost=cost)
    world(Plan(1, 100, patience_s=100), conditions, diary).run()
    heard = [
        (at, event.sender)
        for at, event in diary.events_of(SMALL.server_ids[1])
        if isinstance(event, Received)
    ]
    # W[1] computes in no time, and it is the second of five servers that it sends to
    assert heard == [(2.0, W[2]), (2.0, W[3]), (0.5 + 2 * 2.0 + 0.5, W[1]), (6.0, W[0])]


# --- files ----------------------------------------------------------------------------------------


def test_a_file_says_what_it_costs_and_who_differs(tmp_path: Path) -> None:
    text = """
        gradient_s = 0.012
        update_s = 1
        [nodes]
        workers = { gradient_s = 0.02 }
        "worker-0..1" = { send_s = 0.5 }
        server-2 = { contract_s = 3.0 }
    """
    cost = from_file(tmp_path / "cost.toml", text)
    worker, server = NodeId("worker", 1), NodeId("server", 2)
    assert cost.at(NodeId("server", 0)) is cost
    assert (cost.gradient_s, cost.update_s, cost.contract_s) == (0.012, 1, 0)
    assert cost.at(worker) == Cost(gradient_s=0.02, update_s=1, send_s=0.5)
    assert cost.at(NodeId("worker", 6)) == Cost(gradient_s=0.02, update_s=1)
    assert cost.at(server) == Cost(gradient_s=0.012, update_s=1, contract_s=3.0)
    assert len(cost.nodes) == 8


def test_what_a_record_keeps_is_a_file_of_costs(tmp_path: Path) -> None:
    cost = Cost(0.1 + 0.2, 1 / 3, nodes={W[2]: Cost(0.1 + 0.2, 1 / 3, forge_s=1e-7), W[3]: FREE})
    for kept in (cost.to_dict(), {"accuracy": 0.9, "cost": cost.to_dict(), "status": "finished"}):
        assert from_file(tmp_path / "result.json", json.dumps(kept)) == cost
    assert UNIFORM.to_dict().keys() == {
        "gradient_s",
        "update_s",
        "contract_s",
        "forge_s",
        "send_s",
        "receive_s",
        "cores",
    }


def test_a_file_may_change_what_was_measured(tmp_path: Path) -> None:
    text = 'base = "uniform"\nupdate_s = 0.5\ncores = 2'
    changed = replace(UNIFORM, update_s=0.5, cores=2)
    assert from_file(tmp_path / "cost.toml", text) == changed


def test_what_is_received_is_taken_in_one_after_the_other() -> None:
    """Five gradients come to a server at once; each takes it a second before it hears of it."""
    diary = Diary()
    cost = Cost(nodes={SMALL.server_ids[0]: Cost(receive_s=1.0)})
    world(Plan(1, 100, patience_s=100), Conditions(cost=cost), diary).run()
    times = [
        at
        for at, event in diary.events_of(SMALL.server_ids[0])
        if isinstance(event, Received) and event.sender.role == "worker"
    ]
    assert times == [1.0 + n for n in range(len(times))]
    assert len(times) >= SMALL.q_workers


def test_nodes_that_share_a_core_work_in_turns() -> None:
    """Four gradients of a second each on two cores take two, and five updates after them three."""
    cost = Cost(gradient_s=1.0, update_s=1.0, cores=2)
    rest = world(Plan(1, 100, patience_s=100), Conditions(cost=cost)).run()
    alone = world(Plan(1, 100, patience_s=100), Conditions(cost=replace(cost, cores=0))).run()
    assert (rest.at_s, alone.at_s) == (2.0 + 3.0, 2.0)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("gradients_s = 1", "unknown key 'gradients_s'; did you mean 'gradient_s'"),
        ("update_s = -1", "update_s = -1: must be a number of seconds"),
        ("update_s = inf", "update_s = inf: must be a number of seconds"),
        ("update_s = nan", "update_s = nan: must be a number of seconds"),
        ("update_s = '1'", "update_s = '1': must be a number of seconds"),
        ("update_s = true", "update_s = True: must be a number of seconds"),
        ("", "has no costs: write some of gradient_s"),
        ("cost = 3", "has no costs"),
        ("cores = -1", "cores = -1: must be a whole number"),
        ("cores = 1.5", "cores = 1.5: must be a whole number"),
        ("base = 'mesured'", "unknown base 'mesured'; did you mean 'measured'"),
        ("[nodes.worker-1]\ncores = 2", "nodes.\"worker-1\": unknown key 'cores'"),
        ("nodes = 3", "nodes = 3: must be a table"),
        ("[nodes]\nworker-1 = 3", 'nodes."worker-1": must be a table'),
        ("[nodes.worker-9]\nsend_s = 1", 'nodes."worker-9": is not in the cluster'),
        ("[nodes.wroker]\nsend_s = 1", 'nodes."wroker": is no node'),
        ("[nodes.worker-1]\nsend = 1", "nodes.\"worker-1\": unknown key 'send'"),
        ("[nodes.worker-1]\nsend_s = -1", 'nodes."worker-1": send_s = -1'),
        ("[nodes.worker-1.nodes]", "nodes.\"worker-1\": unknown key 'nodes'"),
    ],
)
def test_a_file_that_cannot_be_is_refused_with_its_name(
    tmp_path: Path, text: str, message: str
) -> None:
    path = tmp_path / "cost.toml"
    with pytest.raises(ConfigError) as error:
        from_file(path, text)
    assert message in str(error.value)
    assert str(error.value).startswith(f"{path}: ")


def test_a_name_that_nobody_knows_and_a_file_that_is_not_there_are_told_apart() -> None:
    with pytest.raises(ConfigError, match="unknown cost 'measurd'; did you mean 'measured'"):
        costs(experiment(), "measurd")
    with pytest.raises(ConfigError, match=r"nowhere.toml: there is no such file"):
        costs(experiment(), "nowhere.toml")


# --- measured -------------------------------------------------------------------------------------


def test_what_is_measured_is_of_this_experiment(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a clock that ticks whenever it is read, everything takes one second."""
    clock = itertools.count(0.0, 1.0).__next__
    monkeypatch.setattr(measured, "time", SimpleNamespace(perf_counter=clock))
    liars = {
        "server-0": {"attack": "equivocate"},
        "server-1": {"attack": "mute"},
        "worker-1..2": {"attack": "alie"},
    }
    cost = costs(experiment(byzantine=liars), "measured")
    forging = [NodeId("server", 0), NodeId("worker", 1), NodeId("worker", 2)]
    lying = Cost(1, 1, 1, forge_s=1, send_s=1 / 7)
    assert cost == Cost(1, 1, 1, forge_s=0, send_s=1 / 7, nodes=dict.fromkeys(forging, lying))


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("sizes", [(1, 1, 0, 0), (5, 4, 1, 1)])
def test_measured_costs_can_be_used_again(
    tmp_path: Path, dtype: str, sizes: tuple[int, ...]
) -> None:
    cluster = dict(zip(("servers", "workers", "f_servers", "f_workers"), sizes, strict=True))
    cost = costs(experiment(cluster=cluster, network={"dtype": dtype}), "measured")
    times = (cost.gradient_s, cost.update_s, cost.contract_s, cost.send_s)
    assert all(0 < seconds < 1 for seconds in times)
    path = tmp_path / "cost.json"
    path.write_text(json.dumps(cost.to_dict()))
    assert costs(experiment(), path) == cost
