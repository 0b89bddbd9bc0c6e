"""`byzsgd.simulate`: the record of a run in virtual time, and the same again from one seed."""

from pathlib import Path
from typing import Any

import pytest
import torch

import byzsgd
from byzsgd.cluster import NodeId
from byzsgd.errors import ConfigError
from byzsgd.experiment import enact
from byzsgd.experiment.build import Saved, machine_of
from byzsgd.experiment.config import Experiment
from byzsgd.experiment.load import EXAMPLES
from byzsgd.experiment.progress import Progress
from byzsgd.experiment.simulate import simulate_recorded, violation_of
from byzsgd.experiment.swarm.task import three_groups
from byzsgd.protocol import Effect, Event, Machine, Server, Update
from tests.elsewhere import elsewhere

TABLES: dict[str, Any] = {
    "name": "virtual",
    "seed": 3,
    "cluster": {"servers": 5, "workers": 7, "f_servers": 1, "f_workers": 2},
    "plan": {"steps": 12, "gather_every": 3, "patience_s": 0.1},
    "training": {"task": "byzsgd.experiment.swarm.task:three_groups", "batch": 8},
    "byzantine": {"server-0": {"attack": "equivocate"}, "worker-0..1": {"attack": "alie"}},
}


def tables(**changed: Any) -> dict[str, Any]:
    return {**TABLES, **changed}


def simulated(runs: Path, **changed: Any) -> byzsgd.Run:
    return byzsgd.simulate(Experiment(**tables(**changed)), runs=runs)


# --- the record -----------------------------------------------------------------------------------


def test_a_simulated_run_leaves_the_record_of_any_run(tmp_path: Path) -> None:
    run = simulated(tmp_path)
    assert (run.status, run.steps, run.shortfalls()) == ("finished", 12, [])
    assert run.path.parent == tmp_path / "virtual"
    assert run.accuracy > 0.6
    assert 0 <= run.diameter < 1
    assert run.simulated
    assert run.experiment.to_dict() == Experiment(**TABLES).to_dict()
    assert [evaluation["step"] for evaluation in run.evaluations] == list(range(1, 13))
    assert {evaluation["models"] for evaluation in run.evaluations} <= {3, 4}
    assert run.evaluations[-1]["seconds"] <= run.seconds
    for node in run.experiment.honest:
        steps = [line["step"] for line in run.measures(node)]
        assert steps == sorted(steps)
        assert steps[-1] == 12
    assert run.result["events"] > 12 * 2 * 35
    assert run.result["cost"]["gradient_s"] > 0


def test_its_model_is_the_median_of_what_honest_servers_ended_with(tmp_path: Path) -> None:
    run = simulated(tmp_path)
    module = run.model()
    task = three_groups()
    inputs, targets = task.test.batch(torch.arange(len(task.test)))
    assert task.metric(module(inputs), targets) == pytest.approx(run.accuracy)


def test_measures_are_of_virtual_time_and_so_the_same_each_time(tmp_path: Path) -> None:
    first, second = simulated(tmp_path / "a"), simulated(tmp_path / "b")
    for node in first.experiment.cluster.nodes:
        assert first.measures(node) == second.measures(node) != []
    assert first.evaluations == second.evaluations


def test_torch_is_left_as_it_was(tmp_path: Path) -> None:
    state = torch.random.get_rng_state()
    threads = torch.get_num_threads()
    simulated(tmp_path)
    assert torch.equal(torch.random.get_rng_state(), state)
    assert torch.get_num_threads() == threads
    assert float(torch.tensor(1e-40) * 1) > 0, "denormals are flushed in the world only"


def test_crashes_and_restarts_are_events_of_the_record(tmp_path: Path) -> None:
    crash = [
        {"node": "server-2", "from": 0.01, "until": 0.05},
        {"node": "worker-6", "from": 0.02, "until": 0.03},
    ]
    lies = {"worker-0": {"attack": "sign_flip"}}
    run = simulated(tmp_path, faults={"crash": crash}, byzantine=lies)
    assert run.status == "finished"
    events = [(e["event"], e["node"], e["seconds"]) for e in run.events if e["event"] != "totals"]
    assert events == [
        ("crashed", "server-2", 0.01),
        ("crashed", "worker-6", 0.02),
        ("restarted", "worker-6", 0.03),
        ("restarted", "server-2", 0.05),
    ]
    assert run.measures("server-2")[-1]["step"] == 12


def test_the_example_with_all_faults_is_survived(tmp_path: Path) -> None:
    """Nothing in it is beyond what is declared, and some of it really happens."""
    run = byzsgd.simulate(byzsgd.load(EXAMPLES / "faults.toml"), runs=tmp_path)
    assert run.shortfalls() == []
    assert run.warnings == ()
    assert {event["event"] for event in run.events} == {"crashed", "restarted", "totals"}


def test_more_liars_than_declared_are_a_warning_in_the_record(tmp_path: Path) -> None:
    lies = {"worker-0..2": {"attack": "sign_flip", "factor": 100.0}}
    run = simulated(tmp_path, byzantine=lies)
    assert any("no guarantee holds" in warning for warning in run.warnings)


def test_a_stall_is_a_failed_run_that_says_who_waits(tmp_path: Path) -> None:
    """One mute server more than declared: nobody gets anywhere."""
    run = simulated(tmp_path, byzantine={"server-0..1": {"attack": "mute"}})
    assert run.status == "failed"
    assert run.steps == 0
    assert "stalled" in run.result["message"]


def test_a_node_that_is_cut_off_for_ever_is_left_behind(tmp_path: Path) -> None:
    """As in a real run: one of five servers is one of the f, and the result stands without it."""
    cut = {"partition": {"nodes": ["server-2", "worker-6"], "kind": "lose"}}
    run = simulated(tmp_path, byzantine={}, faults=cut)
    assert (run.status, run.steps) == ("finished", 12)
    assert [(e["event"], e["node"]) for e in run.events if e["event"] != "totals"] == [
        ("left behind", "server-2"),
        ("left behind", "worker-6"),
    ]
    assert run.evaluations[-1]["models"] == 4
    assert run.model() is not None


def test_while_one_is_cut_off_the_others_are_evaluated(tmp_path: Path) -> None:
    cut = {"partition": {"nodes": "server-2", "kind": "lose"}}
    plan = {**TABLES["plan"], "steps": 30}
    run = simulated(tmp_path, byzantine={}, faults=cut, plan=plan)
    steps = [evaluation["step"] for evaluation in run.evaluations]
    assert steps == [*range(1, 27), 30], (
        "those of the last four steps are waited with until the end"
    )


SLOW = [{"slow": {"nodes": "worker-6", "factor": 1e4}}, {"delay": 5.0}]


@pytest.mark.parametrize("faults", SLOW, ids=["computing", "messages"])
def test_a_world_that_is_only_slow_does_not_stall(tmp_path: Path, faults: dict[str, Any]) -> None:
    plan = {"steps": 2, "gather_every": 2, "patience_s": 0.1}
    run = simulated(tmp_path, byzantine={}, faults=faults, plan=plan)
    assert (run.status, run.steps, run.result["message"]) == ("finished", 2, "")


@pytest.mark.parametrize("attack", ["sign_flip", "mute"])
def test_where_no_server_is_honest_there_is_no_result(tmp_path: Path, attack: str) -> None:
    run = simulated(tmp_path, byzantine={"server-0..4": {"attack": attack}})
    assert run.status == ("finished" if attack == "sign_flip" else "failed")
    assert run.steps == 0
    assert run.shortfalls() != []
    assert run.accuracy != run.accuracy


def test_where_everybody_is_down_nothing_is_finished(tmp_path: Path) -> None:
    crash = [{"node": f"server-{index}", "from": 0.0} for index in range(5)]
    crash += [{"node": f"worker-{index}", "from": 0.0} for index in range(7)]
    run = simulated(tmp_path, byzantine={}, faults={"crash": crash})
    assert (run.status, run.steps) == ("failed", 0)


# --- the same again -------------------------------------------------------------------------------


def digest_of(seed: int, runs: str) -> str:
    faults = {"loss": 0.05, "duplicate": 0.05, "reorder": 0.1, "delay": {"mean": 0.003}}
    return simulated(Path(runs), seed=seed, faults=faults).digest


def test_the_same_experiment_has_the_same_digest_in_every_process(tmp_path: Path) -> None:
    code = (
        "from tests.simulation.test_simulate import digest_of;"
        f"print(*(digest_of(seed, {str(tmp_path)!r}) for seed in (1, 2)))"
    )
    one, other = elsewhere(code, 1).split(), elsewhere(code, 2, threads=2).split()
    assert one == other
    assert one[0] == digest_of(1, str(tmp_path)) != one[1]


def test_through_the_wire_everything_happens_as_without(tmp_path: Path) -> None:
    plain = simulated(tmp_path)
    wired = simulated(tmp_path, simulation={"wire": True})
    assert wired.digest == plain.digest
    coarse = simulated(tmp_path, network={"dtype": "bfloat16"})
    assert coarse.digest != plain.digest
    assert coarse.status == "finished"


@pytest.mark.parametrize("how", ["loop", "threads", "stacked"])
def test_gradients_may_be_computed_together_in_any_way(tmp_path: Path, how: str) -> None:
    run = simulated(tmp_path, simulation={"gradients": how})
    reference = simulated(tmp_path, simulation={"gradients": "loop"})
    assert run.status == "finished"
    for ours, theirs in zip(run.model().parameters(), reference.model().parameters(), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-5)


# --- what goes wrong ------------------------------------------------------------------------------


class Greedy(Server):
    """Begins with one gradient fewer than it has to wait for."""

    def handle(self, event: Event, now: float) -> list[Effect]:
        effects = super().handle(event, now)
        return [
            Update(e.step, e.params, e.gradients[:-1]) if isinstance(e, Update) else e
            for e in effects
        ]


def broken(experiment: Experiment, me: NodeId, saved: Saved) -> Machine:
    if me == NodeId("server", 3):
        return Greedy(me, experiment.cluster, experiment.plan, saved.params, step=saved.step)
    return machine_of(experiment, me, saved)


def test_a_violation_ends_the_run_and_tells_how_to_see_it_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(enact.Enactment.__init__, "__defaults__", _with_machine(broken))
    run = simulated(tmp_path)
    assert run.status == "failed"
    assert "server-3" in run.result["message"]
    [shortfall] = run.shortfalls()
    assert "server-3" in shortfall
    told = violation_of(run)
    assert told is not None
    assert "seed 3" in told
    assert f"byzsgd simulate {run.path / 'experiment.json'}" in told
    assert "update 0 [w" in told, "the trace"
    assert violation_of(simulated(tmp_path, name="other", simulation={"checks": "none"})) is None


def test_a_bug_tells_what_went_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Buggy(Server):
        def handle(self, event: Event, now: float) -> list[Effect]:
            assert self.step < 3, "a bug"
            return super().handle(event, now)

    def buggy(experiment: Experiment, me: NodeId, saved: Saved) -> Machine:
        if me == NodeId("server", 3):
            return Buggy(me, experiment.cluster, experiment.plan, saved.params)
        return machine_of(experiment, me, saved)

    monkeypatch.setattr(enact.Enactment.__init__, "__defaults__", _with_machine(buggy))
    with pytest.raises(AssertionError, match="a bug") as caught:
        simulated(tmp_path)
    (note,) = caught.value.__notes__
    assert "again: byzsgd simulate" in note
    (pending,) = (tmp_path / "virtual").iterdir()
    text = (pending / "violation.txt").read_text()
    assert "AssertionError: a bug" in text
    assert "server-3" in text


def _with_machine(machine: object) -> tuple[object, ...]:
    defaults = enact.Enactment.__init__.__defaults__
    assert defaults
    return (machine, *defaults[1:])


class Interrupting:
    """Somebody presses Ctrl-C at step 5."""

    def show(self, progress: Progress) -> None:
        if progress.step == 5:
            raise KeyboardInterrupt


def test_ctrl_c_ends_the_run_with_what_there_is(tmp_path: Path) -> None:
    run = simulate_recorded(Experiment(**TABLES), tmp_path, Interrupting())
    assert run.status == "interrupted"
    assert 4 <= run.steps <= 6
    assert run.accuracy > 0
    assert run.model() is not None


class Seen:
    def __init__(self) -> None:
        self.steps: list[int] = []

    def show(self, progress: Progress) -> None:
        self.steps.append(progress.step)


def test_a_view_sees_every_step(tmp_path: Path) -> None:
    seen = Seen()
    simulate_recorded(Experiment(**TABLES), tmp_path, seen)
    assert sorted(set(seen.steps)) == list(range(13))
    assert seen.steps == sorted(seen.steps)


@pytest.mark.parametrize(
    ("table", "words"),
    [
        ({"scheduler": "nobody"}, ["simulation.scheduler", "nobody", "greedy"]),
        ({"scheduler": {"name": "starve", "nodes": "x"}}, ["simulation.scheduler", "nodes"]),
        ({"checks": "some"}, ["simulation.checks", "messages"]),
        ({"gradients": "fast"}, ["simulation.gradients", "stacked"]),
        ({"peace_s": -1}, ["simulation.peace_s", "0 or more"]),
        ({"wire": 1}, ["simulation.wire", "true or false"]),
        ({"speed": 1}, ["simulation.speed"]),
    ],
)
def test_mistakes_in_the_table_are_told(table: dict[str, Any], words: list[str]) -> None:
    with pytest.raises(ConfigError) as caught:
        Experiment(**tables(simulation=table))
    for word in words:
        assert word in str(caught.value)
