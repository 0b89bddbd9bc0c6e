"""A local run as its launcher sees it, without a single process."""

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, cast

import pytest

from byzsgd.experiment import conductor as module
from byzsgd.experiment.conductor import Conductor
from byzsgd.experiment.config import Experiment
from byzsgd.experiment.files import log_path, model_path
from byzsgd.experiment.processes import EVALUATOR, Processes
from byzsgd.experiment.progress import Progress
from byzsgd.experiment.record import Record, Run

EXPERIMENT = Experiment(
    name="conducted",
    cluster={"servers": 5, "workers": 4, "f_servers": 1, "f_workers": 1},
    plan={"steps": 30, "save_every": 10},
    byzantine={"server-0": {"attack": "mute"}, "worker-0": {"attack": "nan"}},
)
NODES = [str(node) for node in EXPERIMENT.cluster.nodes]
HONEST = [str(node) for node in EXPERIMENT.honest]
SERVERS = [str(node) for node in EXPERIMENT.honest_servers]


class Silent:
    """Stands in for `Processes`: notes what it is to say."""

    def __init__(self) -> None:
        self.said: list[tuple[str, str, dict[str, Any]]] = []

    def say(self, name: str, kind: str, **details: Any) -> None:
        self.said.append((name, kind, details))

    def pss_bytes(self) -> dict[str, int]:
        return {"nodes_pss_bytes": 123}


class Rig:
    """A conductor, what it said, what it showed and what it wrote."""

    def __init__(self, runs: Path, experiment: Experiment = EXPERIMENT) -> None:
        self.processes = Silent()
        self.record = Record.begin(experiment, runs)
        self.shown = 0
        self.conductor = Conductor(
            experiment, self.record, cast(Processes, self.processes), self.show
        )

    def show(self, progress: Progress) -> None:
        assert progress is self.conductor.progress
        self.shown += 1

    def hear(self, name: str, kind: str, **details: Any) -> None:
        self.conductor.heard(name, {"kind": kind, **details})

    def all_listen(self) -> None:
        self.hear(EVALUATOR, "listening", endpoints={}, dimension=10)
        for node in NODES:
            self.hear(node, "listening", endpoints=endpoints(node))

    def step(self, step: int, *nodes: str) -> None:
        for node in nodes or HONEST:
            self.hear(node, "step", step=step, loss=0.5 if "worker" in node else None)

    def save(self, step: int, *servers: str) -> None:
        for server in servers or SERVERS:
            path = model_path(self.record.path, server, step)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()
            self.hear(server, "saved", step=step)

    def finish(self, *nodes: str) -> None:
        for node in nodes or HONEST:
            self.hear(node, "done")

    def evaluate(self, step: int, accuracy: float = 0.9) -> None:
        measured = {"accuracy": accuracy, "loss": 0.2, "diameter": 0.01, "models": 4}
        self.hear(EVALUATOR, "evaluated", step=step, **measured)

    def questions(self) -> list[int]:
        return [
            details["step"] for name, kind, details in self.processes.said if kind == "evaluate"
        ]

    def events(self, *kinds: str) -> list[dict[str, Any]]:
        return [event for event in Run.open(self.record.path).events if event["event"] in kinds]

    @property
    def message(self) -> str:
        return self.conductor.progress.message

    async def status(self) -> str:
        async with asyncio.timeout(10):
            return await self.conductor.over()

    @property
    def is_over(self) -> bool:
        return self.conductor._status.done()


def endpoints(node: str) -> dict[str, str]:
    """Workers listen for nobody."""
    return {} if "worker" in node else {"worker-1": f"tcp://127.0.0.1:{7000 + NODES.index(node)}"}


@pytest.fixture
async def rig(tmp_path: Path) -> AsyncIterator[Rig]:
    rig = Rig(tmp_path)
    yield rig
    rig.record.close()


@pytest.fixture(autouse=True)
def _no_alarm_but_where_a_test_asks_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "GRACE_S", 1000.0)
    monkeypatch.setattr(module, "STUCK_S", 1000.0)


# --- the way it should go -------------------------------------------------------------------------


async def test_a_whole_run(rig: Rig) -> None:
    rig.all_listen()
    rig.step(10)
    assert rig.conductor.progress.step == 10
    assert rig.conductor.progress.loss == 0.5
    rig.save(10)
    rig.evaluate(10, accuracy=0.4)
    assert rig.conductor.progress.accuracy == 0.4
    rig.step(30)
    rig.save(30)
    rig.finish()
    assert not rig.is_over, "the last models are not evaluated yet"
    assert rig.questions() == [10, 30]
    rig.evaluate(30)
    assert await rig.status() == "finished"
    run = rig.record.finish("finished", **rig.conductor.result())
    assert (run.accuracy, run.steps, run.diameter) == (0.9, 30, 0.01)
    assert run.result["nodes_pss_bytes"] == 123
    assert run.seconds > 0
    assert [evaluation["step"] for evaluation in run.evaluations] == [10, 30]
    assert rig.shown > 10


async def test_the_roster_is_told_to_all_once_the_last_one_listens(rig: Rig) -> None:
    for node in NODES[:-1]:
        rig.hear(node, "listening", endpoints=endpoints(node))
    assert rig.processes.said == []
    assert rig.conductor.progress.nodes["server-0"].state == "ready"
    rig.hear(NODES[-1], "listening", endpoints={})
    told = {node: endpoints(node) for node in NODES}
    assert rig.processes.said == [(node, "roster", {"endpoints": told}) for node in NODES]
    assert {node.state for node in rig.conductor.progress.nodes.values()} == {"running"}
    assert rig.events("ready")[0]["nodes"] == 9


async def test_liars_are_neither_waited_for_nor_believed(rig: Rig) -> None:
    rig.all_listen()
    rig.step(10, "server-0", "worker-0")
    assert (rig.conductor.progress.step, rig.conductor.progress.loss) == (0, None)
    rig.save(30)
    rig.save(30, "server-0")
    [asked] = [details for _, kind, details in rig.processes.said if kind == "evaluate"]
    assert not any("server-0" in file for file in asked["files"])
    rig.evaluate(30)
    rig.finish()
    assert await rig.status() == "finished"


async def test_words_it_does_not_know_go_to_the_record(rig: Rig) -> None:
    rig.hear("server-1", "refused", peer="server-0", reason="shape")
    [event] = rig.events("refused")
    assert (event["node"], event["peer"], event["reason"]) == ("server-1", "server-0", "shape")


# --- deaths ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("node", ["server-1", "worker-3", "worker-0"])
async def test_a_death_before_all_are_ready_fails_the_run(rig: Rig, node: str) -> None:
    rig.hear("server-2", "listening", endpoints=endpoints("server-2"))
    log = log_path(rig.record.path, node)
    log.write_text("".join(f"line {i}\n" for i in range(20)))
    rig.conductor.exited(node, 1)
    assert await rig.status() == "failed"
    assert f"{node} died (exit code 1) before it was ready" in rig.message
    assert "are needed" not in rig.message, "that is not why"
    assert rig.message.endswith("line 18\n  line 19")
    assert "line 13\n" not in rig.message
    run = rig.record.finish("failed", **rig.conductor.result())
    assert str(log_path(run.path, node)) in rig.message, "where it is from now on"
    assert run.steps == 0


@pytest.mark.parametrize("node", ["server-1", "server-0", "worker-3"])
async def test_a_death_within_the_bounds_goes_on(rig: Rig, node: str) -> None:
    rig.all_listen()
    rig.step(3)
    rig.conductor.exited(node, -9)
    assert not rig.is_over
    assert rig.message == f"{node} died (killed by signal 9)"
    assert rig.conductor.progress.nodes[node].state == "dead"
    [event] = rig.events("died")
    assert (event["node"], event["how"]) == (node, "killed by signal 9")
    living = [other for other in HONEST if other != node]
    rig.step(30, *living)
    rig.save(30, *(server for server in SERVERS if server != node))
    rig.evaluate(30)
    rig.finish(*living)
    assert await rig.status() == "finished"


@pytest.mark.parametrize(
    ("nodes", "why"),
    [
        (("server-1", "server-3"), "server-3 died (killed by signal 9), and 4 servers are needed: "
                                   "3 are left"),
        (("worker-2", "worker-1"), "worker-1 died (killed by signal 9), and 3 workers are needed: "
                                   "2 are left"),
    ],
)  # fmt: skip
async def test_below_a_quorum_the_run_fails(rig: Rig, nodes: tuple[str, str], why: str) -> None:
    rig.all_listen()
    rig.step(7)
    for node in nodes:
        assert not rig.is_over
        rig.conductor.exited(node, -9)
    assert await rig.status() == "failed"
    assert rig.message.startswith(f"{why}; its log ")
    assert rig.message.endswith(f"{nodes[1]}.log is empty")
    result = rig.conductor.result()
    assert (result["steps"], result["message"]) == (7, rig.message)


async def test_a_death_after_the_last_step_changes_nothing(rig: Rig) -> None:
    rig.all_listen()
    rig.save(30)
    rig.finish()
    rig.conductor.exited("server-1", -9)
    rig.evaluate(30)
    assert await rig.status() == "finished"
    rig.conductor.exited("server-2", 0)
    assert [event["node"] for event in rig.events("died")] == ["server-1"]


async def test_a_death_that_others_waited_for_ends_the_run(rig: Rig) -> None:
    """Its model of the last step was all that was missing."""
    rig.all_listen()
    rig.save(30, *SERVERS[1:])
    rig.finish(*(node for node in HONEST if node != SERVERS[0]))
    assert rig.questions() == []
    rig.conductor.exited(SERVERS[0], -9)
    assert rig.questions() == [30]
    rig.evaluate(30)
    assert await rig.status() == "finished"


async def test_without_its_evaluator_a_run_fails(rig: Rig) -> None:
    rig.all_listen()
    rig.conductor.exited(EVALUATOR, -9)
    assert await rig.status() == "failed"
    assert rig.message.startswith("the evaluator died (killed by signal 9); its log ")


# --- alarms ---------------------------------------------------------------------------------------


async def test_stragglers_are_left_behind(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    """2 f + 1 servers are done, so the result stands; the others have had their grace."""
    rig.all_listen()
    late = ("server-4", "worker-3")
    rig.step(20, *late)
    rig.save(30, *SERVERS[:3])
    monkeypatch.setattr(module, "GRACE_S", 0.0)
    rig.finish(*(node for node in HONEST if node not in late))
    left: list[dict[str, Any]] = []
    async with asyncio.timeout(10):
        while not (left := rig.events("left behind")):
            await asyncio.sleep(0)
    assert [(event["node"], event["step"]) for event in left] == [(node, 20) for node in late]
    assert rig.questions() == [30]
    rig.evaluate(30)
    assert await rig.status() == "finished"
    assert rig.conductor.result()["steps"] == 30


async def test_too_few_servers_that_are_done_leave_nobody_behind(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    rig.all_listen()
    monkeypatch.setattr(module, "GRACE_S", 0.0)
    rig.finish(*SERVERS[:2])
    for _ in range(5):
        await asyncio.sleep(0)
    assert rig.events("left behind") == []


async def test_while_the_result_does_not_stand_every_step_counts(rig: Rig) -> None:
    rig.all_listen()
    rig.finish(SERVERS[0])
    before = rig.conductor._alarm
    rig.step(20, SERVERS[1])
    assert rig.conductor._alarm is not before, "the run is not stuck"
    rig.finish(*SERVERS[1:3])
    before = rig.conductor._alarm
    rig.step(21, SERVERS[3])
    assert rig.conductor._alarm is before, "there is no more than the grace for stragglers"


async def test_a_run_without_a_step_is_given_up(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "STUCK_S", 0.0)
    rig.all_listen()
    assert await rig.status() == "failed"
    assert rig.message == "no node has made a step for 0 s"


# --- other ends -----------------------------------------------------------------------------------


async def test_an_interrupt_ends_it_once(rig: Rig) -> None:
    rig.all_listen()
    rig.step(4)
    rig.conductor.interrupt()
    rig.conductor.interrupt()
    rig.conductor.exited("server-1", 0)
    assert await rig.status() == "interrupted"
    run = rig.record.finish("interrupted", **rig.conductor.result())
    assert (run.status, run.steps, run.result["message"]) == ("interrupted", 4, "interrupted")
    assert run.events == [event for event in run.events if event["event"] != "died"]


async def test_a_second_interrupt_is_no_late_one(rig: Rig) -> None:
    rig.all_listen()
    rig.conductor.interrupt()
    rig.conductor.interrupt()
    assert not rig.conductor.interrupted_late, "it was heard the first time"


async def test_an_interrupt_of_a_run_that_has_ended_is_passed_on(rig: Rig) -> None:
    """Or, where several runs follow one another, the next one would begin."""
    rig.all_listen()
    rig.conductor.exited(EVALUATOR, 1)
    assert await rig.status() == "failed"
    rig.conductor.interrupt()
    assert rig.conductor.interrupted_late
    assert await rig.status() == "failed"


async def test_an_interrupt_before_anything_happened(rig: Rig) -> None:
    rig.conductor.interrupt()
    assert await rig.status() == "interrupted"
    run = rig.record.finish("interrupted", **rig.conductor.result())
    assert (run.steps, str(run.accuracy)) == (0, "nan")
    assert json.loads((run.path / "result.json").read_text())["accuracy"] is None


async def test_a_mistake_of_the_experimenter_is_told_as_such(rig: Rig) -> None:
    rig.hear("worker-2", "failed", error="there is no data in ./data", config=True)
    rig.conductor.exited("worker-2", 2)
    assert await rig.status() == "failed"
    assert rig.conductor.config_error == "there is no data in ./data"
    assert rig.events("died") == []


async def test_it_is_told_even_if_the_death_was_heard_of_first(rig: Rig) -> None:
    rig.conductor.exited("worker-2", 2)
    rig.hear("worker-2", "failed", error="there is no data in ./data", config=True)
    assert await rig.status() == "failed"
    assert rig.conductor.config_error == "there is no data in ./data"


async def test_a_bug_in_a_node_is_a_death_like_any_other(rig: Rig) -> None:
    rig.all_listen()
    rig.hear("worker-2", "failed", error="AssertionError: impossible", config=False)
    rig.conductor.exited("worker-2", 1)
    assert not rig.is_over
    assert rig.conductor.config_error is None
    assert rig.events("failed")[0]["error"] == "AssertionError: impossible"


async def test_a_fault_of_the_launcher_is_raised(rig: Rig) -> None:
    rig.conductor.broke(ZeroDivisionError())
    rig.conductor.broke(ValueError())
    with pytest.raises(ZeroDivisionError):
        await rig.status()


async def test_with_one_server_and_nobody_to_spare(tmp_path: Path) -> None:
    tables = {"cluster": {"servers": 1, "workers": 1}, "plan": {"steps": 5}, "byzantine": {}}
    rig = Rig(tmp_path, Experiment(name="plain", **tables))
    for node in ("server-0", "worker-0"):
        rig.hear(node, "listening", endpoints={})
    rig.save(5, "server-0")
    rig.evaluate(5)
    rig.finish("server-0")
    assert not rig.is_over, "the worker is still at it"
    rig.finish("worker-0")
    assert await rig.status() == "finished"
    rig.record.close()
