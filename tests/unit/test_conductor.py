"""A local run as its launcher sees it, without a single process."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any, cast

import pytest

from byzsgd.experiment import conductor as module
from byzsgd.experiment.children import EVALUATOR
from byzsgd.experiment.conductor import Conductor
from byzsgd.experiment.config import Experiment
from byzsgd.experiment.files import log_path, model_path
from byzsgd.experiment.processes import Processes
from byzsgd.experiment.progress import Progress
from byzsgd.experiment.record import Record, Run
from tests.unit.loop import Loop

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
    """Stands in for `Processes`: notes what it is to say, whom to kill and whom to bring back."""

    def __init__(self) -> None:
        self.said: list[tuple[str, str, dict[str, Any]]] = []
        self.killed: list[str] = []
        self.back: list[tuple[str, dict[str, Any]]] = []
        self.spares = 100

    def say(self, name: str, kind: str, **details: Any) -> None:
        self.said.append((name, kind, details))

    def kill(self, name: str) -> None:
        self.killed.append(name)

    def restart(self, name: str, kind: str, **details: Any) -> bool:
        assert kind == "roster"
        self.back.append((name, details))
        self.spares -= 1
        return self.spares >= 0

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
    began_s = rig.processes.said[0][2]["began_s"]
    assert 0 <= asyncio.get_running_loop().time() - began_s < 10, "by the clock of all processes"
    word = {"endpoints": told, "began_s": began_s}
    assert rig.processes.said == [(node, "roster", word) for node in NODES]
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


# --- where every server lies ----------------------------------------------------------------------


@pytest.fixture
async def lying_rig(tmp_path: Path) -> AsyncIterator[Rig]:
    """The honest are worker-1, worker-2 and worker-3."""
    liars = {"server-0..4": {"attack": "sign_flip"}, "worker-0": {"attack": "nan"}}
    rig = Rig(tmp_path, Experiment(**{**EXPERIMENT.to_dict(), "byzantine": liars}))
    rig.all_listen()
    yield rig
    rig.record.close()


async def test_a_run_without_an_honest_server_ends_with_its_honest_workers(lying_rig: Rig) -> None:
    rig = lying_rig
    rig.step(30, "worker-1", "worker-2", "worker-3")
    rig.save(30, *SERVERS, "server-0")
    rig.finish(*SERVERS, "server-0", "worker-0", "worker-1", "worker-2")
    assert not rig.is_over, "one is still at it"
    rig.finish("worker-3")
    assert await rig.status() == "finished"
    assert rig.questions() == [], "nobody's model is worth a look"
    run = rig.record.finish("finished", **rig.conductor.result())
    assert (run.status, str(run.accuracy), run.steps) == ("finished", "nan", 0)


async def test_of_its_honest_workers_only_those_are_waited_for_that_live(lying_rig: Rig) -> None:
    lying_rig.finish("worker-1", "worker-2")
    lying_rig.conductor.exited("worker-3", -9)
    assert await lying_rig.status() == "finished"


async def test_without_an_honest_server_every_step_counts(lying_rig: Rig) -> None:
    """There is no result, so nothing that could stand without the stragglers."""
    before = lying_rig.conductor._alarm
    lying_rig.step(3, "worker-1")
    assert lying_rig.conductor._alarm is not before, "the run is not stuck"
    before = lying_rig.conductor._alarm
    lying_rig.finish("worker-1")
    assert lying_rig.conductor._alarm is before, "no grace ends"
    lying_rig.step(4, "worker-2")
    assert lying_rig.conductor._alarm is not before


async def test_without_an_honest_server_a_stuck_run_is_given_up(
    lying_rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "STUCK_S", 0.0)
    lying_rig.step(3, "worker-1")
    lying_rig.finish("worker-1", "worker-2")
    assert await lying_rig.status() == "failed"
    assert lying_rig.message == "no node has made a step for 0 s"


async def test_honest_servers_that_have_all_died_are_no_reason_to_finish(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The liars suffice for quorums, the workers get done, and the last models are missing."""
    liars = {f"server-{i}": {"attack": "sign_flip"} for i in range(4)}
    rig = Rig(tmp_path, Experiment(**{**EXPERIMENT.to_dict(), "byzantine": liars}))
    rig.all_listen()
    rig.conductor.exited("server-4", -9)
    monkeypatch.setattr(module, "STUCK_S", 0.0)
    rig.step(30, "worker-1")
    rig.finish(*(f"worker-{i}" for i in range(4)))
    assert not rig.is_over
    assert await rig.status() == "failed"
    assert rig.message == "no node has made a step for 0 s (server-4 died, and 4 lie)"
    rig.record.close()


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


# --- crashes by plan ------------------------------------------------------------------------------


def crashing(*crashes: tuple[str, float, float | None]) -> Experiment:
    """Each is a node, when it crashes and when it returns."""
    table = [
        {"node": node, "from": at_s, **({} if until_s is None else {"until": until_s})}
        for node, at_s, until_s in crashes
    ]
    return Experiment(**{**EXPERIMENT.to_dict(), "faults": {"crash": table}})


class Crashing(Rig):
    """All nodes train; time is the tests'."""

    def __init__(self, runs: Path, *crashes: tuple[str, float, float | None]) -> None:
        super().__init__(runs, crashing(*crashes))
        self.loop = Loop()
        self.conductor._loop = cast(asyncio.AbstractEventLoop, self.loop)
        self.all_listen()

    def state(self, node: str) -> str:
        return self.conductor.progress.nodes[node].state


@pytest.fixture
def crashing_rig(tmp_path: Path) -> Iterator[Callable[..., Crashing]]:
    rigs: list[Crashing] = []

    def make(*crashes: tuple[str, float, float | None]) -> Crashing:
        rigs.append(Crashing(tmp_path, *crashes))
        return rigs[-1]

    yield make
    for rig in rigs:
        rig.record.close()


MakeCrashing = Callable[..., Crashing]


async def test_a_node_crashes_and_returns_and_finishes_with_the_others(
    crashing_rig: MakeCrashing,
) -> None:
    rig = crashing_rig(("server-1", 100, 200))
    rig.step(12)
    rig.loop.until(99)
    assert rig.processes.killed == []
    rig.loop.until(100)
    assert rig.processes.killed == ["server-1"]
    assert rig.state("server-1") == "down"
    rig.conductor.exited("server-1", -9)
    assert not rig.is_over
    rig.save(20, *SERVERS[1:])
    assert rig.questions() == [20], "nobody waits for its models while it is down"
    rig.loop.until(200)
    [(name, word)] = rig.processes.back
    assert (name, word["began_s"]) == ("server-1", rig.conductor._began)
    assert word["endpoints"]["server-1"] == endpoints("server-1"), "its own ports"
    rig.hear("server-1", "restarted", step=10)
    assert (rig.state("server-1"), rig.conductor.progress.nodes["server-1"].step) == ("running", 10)
    rig.save(30, *SERVERS[1:])
    rig.finish(*(node for node in HONEST if node != "server-1"))
    rig.evaluate(20)
    assert not rig.is_over, "it is waited for"
    assert rig.questions() == [20]
    rig.save(30, "server-1")
    rig.finish("server-1")
    rig.evaluate(30)
    assert await rig.status() == "finished"
    crashed, restarted = rig.events("crashed by plan", "restarted")
    assert (crashed["node"], crashed["step"]) == ("server-1", 12)
    assert (restarted["node"], restarted["step"]) == ("server-1", 10)
    assert rig.events("died") == []


async def test_its_ports_are_kept_for_it(crashing_rig: MakeCrashing) -> None:
    rig = crashing_rig(("server-1", 100, 200), ("server-2", 100, None), ("server-3", 150, 300))
    kept = rig.conductor._crashes._ports._held
    rig.loop.until(100)
    assert not kept, "its process may still live"
    for node in ("server-1", "server-2"):
        rig.conductor.exited(node, -9)
    assert list(kept) == ["server-1"], "the other one does not return"
    rig.loop.until(200)
    assert list(kept) == ["server-1"], "it does not listen yet"
    rig.conductor.exited("server-3", -9)
    rig.hear("server-1", "restarted", step=0)
    assert list(kept) == ["server-3"]
    rig.conductor.interrupt()
    assert not kept


async def test_it_returns_only_once_its_process_has_gone(crashing_rig: MakeCrashing) -> None:
    """Until then the ports are not free."""
    rig = crashing_rig(("worker-1", 1000, 1001))
    rig.loop.until(1002)
    assert rig.processes.killed == ["worker-1"]
    assert rig.processes.back == []
    rig.conductor.exited("worker-1", -9)
    assert [name for name, _ in rig.processes.back] == ["worker-1"]
    rig.conductor.exited("worker-1", 1)
    assert rig.state("worker-1") == "dead", "the second death was not planned"
    assert [event["how"] for event in rig.events("died")] == ["exit code 1"]


async def test_one_that_stays_down_counts_as_dead(crashing_rig: MakeCrashing) -> None:
    rig = crashing_rig(("server-1", 100, None))
    rig.loop.until(100)
    rig.conductor.exited("server-1", -9)
    assert rig.state("server-1") == "dead"
    living = [node for node in HONEST if node != "server-1"]
    rig.save(30, *SERVERS[1:])
    rig.evaluate(30)
    rig.finish(*living)
    assert await rig.status() == "finished"
    assert rig.events("died", "restarted") == []


async def test_while_a_node_is_to_return_a_missing_quorum_is_no_end(
    crashing_rig: MakeCrashing,
) -> None:
    rig = crashing_rig(("server-1", 100, 900), ("server-2", 100, 900), ("worker-1", 100, 900))
    rig.loop.until(100)
    for node in ("server-1", "server-2", "worker-1"):
        rig.conductor.exited(node, -9)
    assert not rig.is_over
    rig.conductor.exited("server-3", -9)
    assert not rig.is_over, "with two more there will be enough of them"
    rig.conductor.exited("server-4", -9)
    assert await rig.status() == "failed"
    assert "server-4 died (killed by signal 9), and 4 servers are needed: 3 are left" in rig.message


async def test_crashes_for_ever_below_a_quorum_end_the_run(crashing_rig: MakeCrashing) -> None:
    rig = crashing_rig(("server-1", 100, None), ("server-3", 101, None))
    rig.loop.until(101)
    assert await rig.status() == "failed"
    assert "server-3 died (crashed by plan), and 4 servers are needed" in rig.message


async def test_what_has_died_otherwise_neither_crashes_nor_returns(
    crashing_rig: MakeCrashing,
) -> None:
    rig = crashing_rig(("worker-1", 100, 200))
    rig.conductor.exited("worker-1", 1)
    rig.loop.until(300)
    assert (rig.processes.killed, rig.processes.back) == ([], [])
    assert rig.events("crashed by plan") == []


async def test_a_node_crashes_as_often_as_it_is_planned(crashing_rig: MakeCrashing) -> None:
    """The second time before it has said that it is back."""
    rig = crashing_rig(("worker-1", 100, 200), ("worker-1", 201, 300), ("worker-1", 301, None))
    for at_s in (100, 201, 301):
        rig.loop.until(at_s)
        rig.conductor.exited("worker-1", -9)
        rig.loop.until(at_s + 99)
    assert rig.processes.killed == ["worker-1"] * 3
    assert [name for name, _ in rig.processes.back] == ["worker-1"] * 2
    assert rig.state("worker-1") == "dead"
    assert rig.events("died") == []


async def test_without_a_spare_it_stays_away(crashing_rig: MakeCrashing) -> None:
    rig = crashing_rig(("worker-1", 100, 200))
    rig.processes.spares = 0
    rig.loop.until(100)
    rig.conductor.exited("worker-1", -9)
    rig.loop.until(200)
    assert rig.state("worker-1") == "dead"
    assert [event["node"] for event in rig.events("died")] == ["worker-1"]


async def test_a_node_that_is_done_stays_done(crashing_rig: MakeCrashing) -> None:
    rig = crashing_rig(("server-1", 100, 200))
    rig.save(30)
    rig.finish("server-1")
    rig.loop.until(100)
    rig.conductor.exited("server-1", -9)
    assert rig.state("server-1") == "done"
    rig.loop.until(200)
    rig.hear("server-1", "restarted", step=30)
    ended_s = rig.conductor._ended
    rig.finish("server-1")
    assert rig.conductor._ended == ended_s, "that was known"
    rig.finish(*(node for node in HONEST if node != "server-1"))
    rig.evaluate(30)
    assert await rig.status() == "finished"


async def test_one_that_was_left_behind_is_not_brought_back(
    crashing_rig: MakeCrashing, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "GRACE_S", 10.0)
    rig = crashing_rig(("server-1", 100, 200))
    rig.loop.until(100)
    rig.conductor.exited("server-1", -9)
    rig.finish(*(node for node in HONEST if node != "server-1"))
    rig.loop.until(150)
    assert [event["node"] for event in rig.events("left behind")] == ["server-1"]
    rig.loop.until(200)
    assert rig.processes.back == []
    rig.save(30, *SERVERS[1:])
    rig.evaluate(30)
    assert await rig.status() == "finished"


async def test_when_the_run_is_over_nothing_crashes_any_more(crashing_rig: MakeCrashing) -> None:
    rig = crashing_rig(("server-1", 100, 200), ("server-2", 150, None))
    rig.loop.until(100)
    rig.conductor.interrupt()
    assert await rig.status() == "interrupted"
    assert rig.conductor._crashes._timers == []
    rig.conductor.exited("server-1", -9)
    assert rig.processes.back == []


async def test_nothing_is_stuck_while_faults_are_still_to_end(
    crashing_rig: MakeCrashing, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "STUCK_S", 0.0)
    rig = crashing_rig(("server-1", 100, 200))
    alarm = rig.conductor._alarm
    assert alarm is not None
    assert alarm.when() == 200
    rig.loop.until(199)
    assert not rig.is_over
    rig.loop.until(200)
    assert await rig.status() == "failed"


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


TAKEN = "server-1 cannot listen on tcp://127.0.0.1:7001 for worker-1"


async def test_a_mistake_after_all_were_ready_is_a_death_like_any_other(
    crashing_rig: MakeCrashing,
) -> None:
    """While a node was down another program took its port: no mistake of the experimenter's."""
    rig = crashing_rig(("server-1", 100, 200))
    rig.loop.until(100)
    rig.conductor.exited("server-1", -9)
    rig.loop.until(200)
    rig.hear("server-1", "failed", error=TAKEN, config=True)
    rig.conductor.exited("server-1", 2)
    assert not rig.is_over
    assert rig.conductor.config_error is None
    assert rig.state("server-1") == "dead"
    failed, died = rig.events("failed", "died")
    assert (failed["node"], failed["error"]) == (died["node"], died["how"]) == ("server-1", TAKEN)
    rig.save(30, *SERVERS[1:])
    rig.evaluate(30)
    rig.finish(*(node for node in HONEST if node != "server-1"))
    assert await rig.status() == "finished"


async def test_such_a_death_may_be_one_too_many(crashing_rig: MakeCrashing) -> None:
    rig = crashing_rig(("server-1", 100, 200), ("server-2", 150, None))
    rig.loop.until(100)
    rig.conductor.exited("server-1", -9)
    rig.loop.until(200)
    rig.conductor.exited("server-2", -9)
    rig.hear("server-1", "failed", error=TAKEN, config=True)
    assert not rig.is_over
    rig.conductor.exited("server-1", 2)
    assert await rig.status() == "failed"
    assert f"server-1 died ({TAKEN}), and 4 servers are needed: 3 are left" in rig.message
    assert rig.conductor.config_error is None


async def test_a_mistake_is_not_told_of_a_later_death(crashing_rig: MakeCrashing) -> None:
    """The second crash comes between a word and the exit that goes with it."""
    rig = crashing_rig(("server-1", 100, 200), ("server-1", 201, 300))
    rig.loop.until(100)
    rig.conductor.exited("server-1", -9)
    rig.loop.until(200)
    rig.hear("server-1", "failed", error=TAKEN, config=True)
    rig.loop.until(201)
    rig.conductor.exited("server-1", 2)
    rig.loop.until(300)
    rig.conductor.exited("server-1", -11)
    assert [event["how"] for event in rig.events("died")] == ["killed by signal 11"]
    rig.conductor.interrupt()


async def test_the_evaluators_mistake_ends_the_run_whenever_it_comes(rig: Rig) -> None:
    rig.all_listen()
    rig.hear(EVALUATOR, "failed", error="no sound model", config=True)
    assert await rig.status() == "failed"
    assert rig.conductor.config_error == "no sound model"


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
