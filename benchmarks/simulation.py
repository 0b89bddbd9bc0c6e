"""How fast the simulator is: events without tensors, a whole run, many nodes, the swarm.

    .venv/bin/python -m benchmarks.simulation                  # all of them
    .venv/bin/python -m benchmarks.simulation events run       # some of them

Shares and rates of one process on one core, but for the swarm, which takes all cores.
"""

import argparse
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any, Final
from unittest import mock

import torch

from byzsgd.cluster import Cluster, NodeId, Plan
from byzsgd.experiment.chronicle import Evaluator
from byzsgd.experiment.config import Experiment
from byzsgd.experiment.simulate import simulate
from byzsgd.experiment.swarm.hunt import hunt
from byzsgd.faults import Delay, Exponential, FaultPlan
from byzsgd.observe import Outcome
from byzsgd.protocol import (
    ComputeGradient,
    Contract,
    Contracted,
    GradientComputed,
    Machine,
    Server,
    Update,
    Updated,
    Worker,
)
from byzsgd.protocol.effects import Computation
from byzsgd.runtime.malloc import keep_freed_memory
from byzsgd.simulation.answers import Together
from byzsgd.simulation.cost import Cost
from byzsgd.simulation.digest import Digest
from byzsgd.simulation.parts import Checkpoint, Conditions
from byzsgd.simulation.trace import Trace
from byzsgd.simulation.world import World

COST: Final = Cost(gradient_s=0.001, update_s=0.001, contract_s=0.001)
EVENTS: Final = 100_000
ROOT: Final = Path(__file__).resolve().parents[1]
_FOLDER = tempfile.gettempdir()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("tables", nargs="*", choices=[*TABLES, []], help="all by default")
    parser.add_argument("--worlds", type=int, default=1000, help="of the swarm")
    options = parser.parse_args()
    torch.set_num_threads(1)
    keep_freed_memory()
    for name in options.tables or TABLES:
        print(TABLES[name](options), flush=True)


# --- events ---------------------------------------------------------------------------------------


class Symbols:
    """Answers without computing anything."""

    def __init__(self) -> None:
        self._open: dict[int, Computation] = {}

    def ask(self, ticket: int, node: NodeId, effect: Computation) -> None:
        self._open[ticket] = effect

    def forget(self, ticket: int) -> None:
        del self._open[ticket]

    def answer(self, ticket: int) -> Outcome:
        effect = self._open.pop(ticket)
        match effect:
            case Update():
                return Outcome(Updated(effect.step, "model"))
            case Contract():
                return Outcome(Contracted(effect.step, "model"))
            case ComputeGradient():
                return Outcome(GradientComputed(effect.step, "gradient"))
        raise AssertionError("nobody lies here")


def events(options: argparse.Namespace) -> str:
    lines = ["events a second, no tensors, with trace and digest (without)"]
    for cluster in (Cluster(5, 7, 1, 2), Cluster(13, 10, 3, 3), Cluster(11, 100, 2, 20)):
        rates = {watched: median(_rate(cluster, watched) for _ in range(3)) for watched in (1, 0)}
        lines.append(
            f"  {cluster.servers:>3} servers {cluster.workers:>3} workers  "
            f"{rates[1]:>9,.0f} ({rates[0]:,.0f})"
        )
    return "\n".join(lines)


def _rate(cluster: Cluster, watched: int) -> float:
    steps = EVENTS // (2 * cluster.servers * cluster.workers)
    plan = Plan(steps, gather_every=5)

    def make(node: NodeId, saved: Checkpoint | None) -> Machine:
        if node.role == "server":
            return Server(node, cluster, plan, "model")
        return Worker(node, cluster, plan)

    faults = FaultPlan(delays=(Delay(Exponential(0.001)),))
    watchers = [Trace(), Digest(lambda vector: b"")] if watched else []
    world = World(cluster.nodes, make, Symbols(), Conditions(faults, 1, COST), watchers=watchers)
    start = time.perf_counter()
    rest = world.run()
    return rest.events / (time.perf_counter() - start)


# --- whole runs -----------------------------------------------------------------------------------


def run(options: argparse.Namespace) -> str:
    """Where the time goes of a run with d = 79,510."""
    experiment = _experiment(Cluster(5, 25, 1, 8), steps=100)
    simulate(experiment, runs=_FOLDER)  # compiles kernels
    rounds = [_shares(experiment) for _ in range(3)]
    total_s, computing_s, evaluating_s = (median(part) for part in zip(*rounds, strict=True))
    rest = total_s - computing_s
    return (
        f"5 servers, 25 workers, d = 79,510, 100 steps: {total_s:.2f} s\n"
        f"  gradients, aggregation and lies {100 * computing_s / total_s:.0f} %, "
        f"everything else {100 * rest / total_s:.1f} %, "
        f"of which evaluations {100 * evaluating_s / total_s:.1f} %"
    )


def scale(options: argparse.Namespace) -> str:
    """The memory of many nodes, in a process of its own."""
    code = "from benchmarks.simulation import large; large()"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT
    )
    return done.stdout.rstrip()


def large() -> None:
    """100 workers and 11 servers, a few steps, and the most memory that it took."""
    keep_freed_memory()
    for task, steps in (("mnist_mlp", 20), ("cifar_cnn", 2)):
        experiment = _experiment(Cluster(11, 100, 2, 30), steps, task)
        start = time.perf_counter()
        done = simulate(experiment, runs=_FOLDER)
        most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
        print(
            f"11 servers, 100 workers, {task}, {done.steps} steps: "
            f"{time.perf_counter() - start:.1f} s, {most / 1e9:.2f} GB"
        )


def _shares(experiment: Experiment) -> tuple[float, float, float]:
    """Seconds in all, of computing, and of evaluating."""
    computing, evaluating = _Timed(Together.answer), _Timed(Evaluator._evaluate)
    start = time.perf_counter()
    with (
        mock.patch.object(Together, "answer", computing.method()),
        mock.patch.object(Evaluator, "_evaluate", evaluating.method()),
    ):
        simulate(experiment, runs=_FOLDER)
    return time.perf_counter() - start, computing.seconds, evaluating.seconds


class _Timed:
    """Adds up the seconds that a method takes."""

    def __init__(self, function: Callable[..., Any]) -> None:
        self._function = function
        self.seconds = 0.0

    def method(self) -> Callable[..., Any]:
        def timed(*arguments: Any) -> Any:
            start = time.perf_counter()
            try:
                return self._function(*arguments)
            finally:
                self.seconds += time.perf_counter() - start

        return timed


def _experiment(cluster: Cluster, steps: int, task: str = "mnist_mlp") -> Experiment:
    return Experiment(
        name="simulation",
        cluster=cluster,
        plan={"steps": steps, "gather_every": 10, "save_every": max(1, steps // 20)},
        training={"task": f"benchmarks.tasks:{task}", "batch": 32},
        byzantine={"server-0": {"attack": "equivocate"}, "worker-0..1": {"attack": "alie"}},
    )


# --- the swarm ------------------------------------------------------------------------------------


def swarm(options: argparse.Namespace) -> str:
    with tempfile.TemporaryDirectory() as folder:
        tally = hunt(1, options.worlds, Path(folder))
    return (
        f"swarm of {tally.worlds:,} worlds on {os.cpu_count()} cores: {tally.seconds:.0f} s, "
        f"{tally.events:,} events, {tally.steps:,} cluster steps, {len(tally.found)} violations"
    )


TABLES: Final[dict[str, Callable[[argparse.Namespace], str]]] = {
    "events": events,
    "run": run,
    "scale": scale,
    "swarm": swarm,
}

if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        _FOLDER = folder
        main()
