"""Real runs with a `[faults]` table: what it says happens to real processes, which finish."""

from collections import Counter, deque
from collections.abc import Iterator
from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest

import byzsgd
from byzsgd.cluster import NodeId
from byzsgd.experiment.build import Saved, machine_of
from byzsgd.experiment.config import Experiment
from byzsgd.experiment.deliveries import Delivery, read_deliveries
from byzsgd.experiment.files import load_memory, model_path, saved_steps
from byzsgd.experiment.local import run_local
from byzsgd.experiment.record import Run
from byzsgd.experiment.replay import replay as replay_run
from byzsgd.protocol import (
    ComputeGradient,
    Contract,
    Contracted,
    Event,
    Forge,
    Forged,
    Gradient,
    GradientComputed,
    Model,
    Received,
    Started,
    TimerFired,
    Update,
    Updated,
)
from byzsgd.protocol.effects import Computation
from tests.integration.processes import Command, Mark, Watch, marked

QUICKSTART = Path(byzsgd.__path__[0]) / "experiment" / "examples" / "quickstart.toml"
SMALL = {
    "cluster.workers": 4,
    "cluster.f_workers": 1,
    "plan.steps": 40,
    "plan.gather_every": 5,
    "plan.save_every": 5,
    "plan.patience_s": 0.3,
    "training.batch": 8,
    "byzantine": {},
    "expect": {},
}
A_HOP_S = 0.01
"""With it a step takes at least twice as long, and a run so long that its faults come in time."""


@pytest.fixture
def mark() -> Iterator[Mark]:
    with marked() as mark:
        yield mark


def experiment(faults: dict[str, Any], **overrides: Any) -> Experiment:
    return byzsgd.load(QUICKSTART, overrides={**SMALL, **overrides, "faults": faults})


def events(run: Run, *kinds: str) -> list[dict[str, Any]]:
    return [event for event in run.events if event["event"] in kinds]


def totals(run: Run, of: str) -> dict[str, int]:
    return {event["node"]: event.get(of, 0) for event in events(run, "totals")}


# --- deliveries -----------------------------------------------------------------------------------


MODEL = Saved(0, "model")
ANSWERS = {
    Update: "Updated",
    Contract: "Contracted",
    ComputeGradient: "GradientComputed",
    Forge: "Forged",
}


def replay(experiment: Experiment, me: NodeId, told: list[Delivery]) -> tuple[str, list[int]]:
    """Tell other machines the same, with words for vectors; how they ended, and all their steps.

    What a machine is told to have been computed it must have asked for, in that order.
    """
    machine, asked, steps = machine_of(experiment, me, MODEL), deque[Computation](), []
    for kind, *words in told:
        event: Event
        match kind:
            case "started" | "restarted":
                machine = machine_of(experiment, me, Saved(words[0], "model"))
                event, asked = Started(), deque()
            case "received":
                event = Received(NodeId.parse(words[0]), message(*words[1:]))
            case "timer":
                event = TimerFired(*words)
            case _:
                effect = asked.popleft()
                assert words[0] == ANSWERS[type(effect)]
                event = answer(effect, words[1])
        before = machine.step
        asked += (e for e in machine.handle(event, now=0.0) if isinstance(e, Computation))
        if machine.step != before:
            steps.append(machine.step)
    return machine.phase, steps


def answer(effect: Computation, step: int) -> Event:
    match effect:
        case Forge(sends):
            assert step == sends[0].message.step
            return Forged(sends)
        case Update():
            event: Event = Updated(effect.step, "model")
        case Contract():
            event = Contracted(effect.step, "model")
        case ComputeGradient():
            event = GradientComputed(effect.step, "gradient")
    assert step == effect.step
    return event


def message(kind: str, step: int, round_: int) -> Model | Gradient:
    return Model(step, "model", round_) if kind == "Model" else Gradient(step, "gradient")


def may_have_said(run: Run) -> set[tuple[str, str, int]]:
    """Who may have said what for which step: what its own machine had come to."""
    said = set()
    for node in run.experiment.cluster.nodes:
        for kind, *words in read_deliveries(run.path, node):
            if kind in ("started", "restarted"):
                said.add((str(node), "Model", words[0]))
            elif kind == "computed":
                word = "Gradient" if words[0] == "GradientComputed" else "Model"
                said.add((str(node), word, words[1] + (words[0] == "Updated")))
    return said


def check_deliveries(run: Run) -> None:
    """Each node received what was really said, and another machine told the same does the same."""
    said = may_have_said(run)
    crashed = {event["node"] for event in events(run, "crashed by plan")}
    for node in run.experiment.cluster.nodes:
        told = read_deliveries(run.path, node)
        assert {tuple(words[:3]) for kind, *words in told if kind == "received"} <= said
        phase, steps = replay(run.experiment, node, told)
        assert phase == "done"
        if str(node) not in crashed:  # or of one file a line more may be missing than of the other
            assert steps == [measure["step"] for measure in run.measures(node)]


# --- runs -----------------------------------------------------------------------------------------


def test_what_is_lost_late_and_doubled_hinders_nobody(mark: Mark, tmp_path: Path) -> None:
    faults = {
        "delay": {"kind": "exponential", "mean": A_HOP_S / 2},
        "loss": 0.03,
        "duplicate": 0.1,
        "reorder": 0.1,
    }
    run = byzsgd.run(experiment(faults), tmp_path, deliveries=True)
    assert (run.status, run.steps) == ("finished", 40)
    assert run.accuracy > 0.6
    for fate in ("lost", "late", "twice"):
        assert sum(totals(run, f"vectors_{fate}").values()) > 0
    assert not events(run, "refused", "died", "failed")
    check_deliveries(run)
    told = read_deliveries(run.path, "server-1")
    assert max(Counter(line for line in told if line[0] == "received").values()) > 1, "twice"


def test_a_server_that_was_cut_off_catches_up(mark: Mark, tmp_path: Path) -> None:
    heals_s, steps = 0.9, 80
    faults = {
        "delay": A_HOP_S,
        "partition": {"nodes": ["server-4"], "kind": "hold", "until": heals_s},
        "slow": {"nodes": ["worker-0"], "factor": 3},
    }
    run = byzsgd.run(experiment(faults, **{"plan.steps": steps}), tmp_path)
    assert (run.status, run.steps) == ("finished", steps)
    assert not events(run, "left behind")
    [ready] = events(run, "ready")
    began_s = ready["began_s"]
    first, *_, last = run.measures("server-4")
    assert first["seconds"] - began_s >= heals_s, "until then it hears of nobody"
    assert last["step"] == steps
    ahead = [m for m in run.measures("server-1") if m["seconds"] < began_s + heals_s]
    if len(ahead) > 2 * run.experiment.plan.window:  # on a machine that is fast enough
        assert len(run.measures("server-4")) < steps, "some it has missed"
    assert len(run.measures("server-1")) == steps, "the others did not wait for it"
    assert run.evaluations[-1]["models"] == 5


def test_a_server_and_a_worker_crash_and_come_back(mark: Mark, tmp_path: Path) -> None:
    faults = {
        "delay": A_HOP_S,
        "crash": [
            {"node": "server-2", "from": 0.6, "until": 0.8},
            {"node": "worker-3", "from": 0.3, "until": 0.4},
            {"node": "worker-3", "from": 1.2, "until": 1.3},
        ],
    }
    liar = {"byzantine": {"server-0": {"attack": "sign_flip"}}}
    overrides = {"cluster.workers": 5, "plan.steps": 80, **liar}
    run = byzsgd.run(experiment(faults, **overrides), tmp_path, deliveries=True)
    assert (run.status, run.steps) == ("finished", 80)
    assert run.accuracy > 0.6
    assert not events(run, "died", "failed", "left behind"), "they finished like the others"
    crashes = events(run, "crashed by plan")
    crashed = [event["node"] for event in crashes]
    assert crashed == ["worker-3", "server-2", "worker-3"]
    back = {event["node"]: event["step"] for event in events(run, "restarted")}
    assert back["worker-3"] == 0
    assert back["server-2"] % 5 == 0, "from what it had saved"
    assert back["server-2"] >= 5 * ((crashes[1]["step"] - 1) // 5), "last"
    check_deliveries(run)
    for node in ("server-2", "worker-3"):
        assert run.measures(node)[-1]["step"] == 80
        lives = [line for line in read_deliveries(run.path, node) if line[0] == "restarted"]
        assert lives == [("restarted", back[node])] * crashed.count(node)
    assert run.evaluations[-1]["models"] == 4, "all the honest"
    assert [saved_steps(run.path, server) for server in run.experiment.honest_servers] == [[80]] * 4


def test_a_server_comes_back_with_its_memory(mark: Mark, tmp_path: Path) -> None:
    """Its momentum and its safeguard go on from the checkpoint: else the replay would differ."""
    faults = {"delay": A_HOP_S, "crash": {"node": "server-2", "from": 0.8, "until": 1.0}}
    overrides = {
        "cluster.workers": 5,
        "plan.steps": 60,
        "training.momentum_at": "server",
        "aggregation.gradients": {"name": "safeguard", "window": 10, "warm_up": 10},
    }
    run = byzsgd.run(experiment(faults, **overrides), tmp_path, deliveries=True)
    assert (run.status, run.steps) == ("finished", 60)
    [back] = events(run, "restarted")
    assert back["step"] > 0
    kept = load_memory(model_path(run.path, "server-2", 60))
    assert kept is not None
    assert {name.partition(".")[0] for name in kept} == {"safeguard", "velocity"}
    assert replay_run(run.path).equal


def test_who_stays_down_is_not_waited_for(mark: Mark, tmp_path: Path) -> None:
    faults = {
        "delay": A_HOP_S,
        "crash": [{"node": "server-1", "from": 0.5}, {"node": "worker-2", "from": 0.3}],
    }
    run = run_local(experiment(faults), runs=tmp_path, encryption="none")
    assert (run.status, run.steps) == ("finished", 40)
    assert [event["node"] for event in events(run, "crashed by plan")] == ["worker-2", "server-1"]
    assert not events(run, "died", "restarted")
    assert run.evaluations[-1]["models"] == 4
    assert not (run.path / "deliveries").exists(), "nobody asked for them"


def test_after_ctrl_c_nothing_is_left_whatever_was_still_to_come(
    mark: Mark, tmp_path: Path
) -> None:
    """Vectors are held, a node is down, its spare waits, and so does another's."""
    file = tmp_path / "experiment.toml"
    file.write_text(
        dedent("""
            name = "endless"
            cluster = { servers = 5, workers = 4, f_servers = 1, f_workers = 1 }
            plan = { steps = 1000000, save_every = 50 }

            [faults]
            delay = 0.01
            partition = { nodes = ["server-4"], from = 0.1, until = 1000 }
            crash = [
                { node = "worker-1", from = 0.5, until = 1000 },
                { node = "worker-2", from = 1000, until = 2000 },
            ]
        """)
    )
    command = Command("byzsgd", "run", file, cwd=tmp_path)
    command.until("worker-1 crashed by plan")
    processes = mark.processes()
    assert list(processes.values()).count("worker-2") == 2, "the node and its spare"
    watch = Watch(processes)
    command.interrupt()
    assert command.end().code == 130
    watch.all_end(within_s=0)
    [path] = (tmp_path / "runs" / "endless").iterdir()
    run = Run.open(path)
    assert run.status == "interrupted"
    assert len(totals(run, "vectors_late")) == 8, "all that lived told so at their end"
