"""`byzsgd.simulate`: an experiment in one process and in virtual time, recorded as any run."""

import shlex
import time
import traceback
from os import PathLike
from pathlib import Path
from statistics import median_low
from typing import Any, Final

from byzsgd.cluster import NodeId
from byzsgd.experiment.chronicle import Chronicle, Evaluator, Pulse
from byzsgd.experiment.config import Experiment
from byzsgd.experiment.costs import costs
from byzsgd.experiment.enact import Enactment, Ending
from byzsgd.experiment.files import model_path, save_model, write_atomically
from byzsgd.experiment.progress import View, showing
from byzsgd.experiment.record import Record, Run, Status
from byzsgd.experiment.warm import warm
from byzsgd.protocol import Vector
from byzsgd.protocol.effects import Memory

VIOLATION: Final = "violation.txt"
"""In the record of a run that a checker stopped: what was found, and what happened before."""


def simulate(experiment: Experiment, runs: str | PathLike[str] = "runs", quiet: bool = True) -> Run:
    """Run an experiment in virtual time and return its record; `run.digest` names the history.

    On one machine the same experiment has the same digest in every process. `run.status` is
    "finished" if every honest node that lived reached the last step and no checker objected;
    `run.seconds` are virtual. Raises `ConfigError` for what the experimenter can mend.
    """
    from byzsgd.experiment.view import View as Shown

    if quiet:
        return simulate_recorded(experiment, Path(runs))
    with Shown() as view:
        return simulate_recorded(experiment, Path(runs), view)


def simulate_recorded(experiment: Experiment, runs: Path, view: View | None = None) -> Run:
    """Ctrl-C ends the run as `interrupted`."""
    warm(experiment)
    cost = costs(experiment, experiment.simulation.cost)
    enactment = Enactment(experiment, cost)
    record = Record.begin(experiment, runs)
    try:
        run = _Run(experiment, record, view, enactment)
        status = run.go()
        return record.finish(status, cost=cost.to_dict(), **run.result())
    finally:
        record.close()


def violation_of(run: Run) -> str | None:
    """What a checker found, with the last lines of the trace; None if none objected."""
    path = run.path / VIOLATION
    if not path.exists():
        return None
    again = f"byzsgd simulate {shlex.quote(str(run.path / 'experiment.json'))}"
    if run.experiment.simulation.cost != "uniform":  # another time they may be others
        again += f" --cost {shlex.quote(str(run.path / 'result.json'))}"
    return f"{path.read_text()}\nseed {run.experiment.seed}; again: {again}"


class _Run:
    """One enactment and those who write down what they see of it."""

    def __init__(
        self, experiment: Experiment, record: Record, view: View | None, enactment: Enactment
    ) -> None:
        self._experiment, self._record, self._enactment = experiment, record, enactment
        self._chronicle = Chronicle(record)
        self._evaluator = Evaluator(experiment, enactment.task, enactment.flat, record)
        self._pulse = Pulse(experiment, self._evaluator, showing(view))
        self._ending: Ending | None = None
        self._message = ""
        self._wall_s = 0.0

    def go(self) -> Status:
        start = time.perf_counter()
        try:
            self._ending = self._enactment.run(self._chronicle, self._evaluator, self._pulse)
        except KeyboardInterrupt:
            return "interrupted"
        except Exception as error:  # a bug, ours or the experimenter's: it is to be seen again
            self._tell_of(error)
            raise
        finally:
            self._wall_s = time.perf_counter() - start
            self._chronicle.close()
            self._evaluator.finish()
            self._save_models()
        return self._judge(self._ending)

    def result(self) -> dict[str, Any]:
        """What the record says of the end."""
        world, figures = self._enactment.world, self._evaluator.last
        steps = [world.machines[node].step for node in self._experiment.honest_servers]
        return {
            "accuracy": figures.get("accuracy"),
            "loss": figures.get("loss"),
            "diameter": figures.get("diameter"),
            "steps": median_low(steps) if steps else 0,
            "seconds": world.now,
            "history": self._enactment.history,
            "events": world.events,
            "wall_s": self._wall_s,
            "message": self._message,
        }

    def _judge(self, ending: Ending) -> Status:
        if ending.violation:
            self._message = str(ending.violation)
            self._record.event("violation", at_s=ending.rest.at_s, text=self._message)
            write_atomically(self._record.path / VIOLATION, ending.text().encode())
            return "failed"
        if ending.rest.why == "done":
            return "finished"
        why = f": {ending.explained}" if ending.explained else ""
        self._message = f"{ending.rest.why} after {ending.rest.at_s:g} s of virtual time{why}"
        return "finished" if self._stands() else "failed"

    def _stands(self) -> bool:
        """Whether so many servers are done that those who are left behind make no difference."""
        experiment, world = self._experiment, self._enactment.world
        for node in experiment.honest:
            if node not in world.done:
                step = world.machines[node].step
                self._record.event("left behind", at_s=world.now, node=str(node), step=step)
        servers = experiment.honest_servers
        done = sum(server in world.done for server in servers)
        return 0 < min(experiment.cluster.rejoin_quorum, len(servers)) <= done

    def _tell_of(self, error: Exception) -> None:
        lines = [*traceback.format_exception(error), "", *self._enactment.trace.lines(), ""]
        path = self._record.path / VIOLATION
        write_atomically(path, "\n".join(lines).encode())
        file = self._record.path / "experiment.json"
        error.add_note(f"what went before is in {path}; again: byzsgd simulate {file}")

    def _save_models(self) -> None:
        """Those that were evaluated last, and of each honest server the last that it saved."""
        for node in self._experiment.honest_servers:
            if node in self._evaluator.models:
                self._save(node, self._evaluator.evaluated, self._evaluator.models[node])
            if saved := self._enactment.world.saved.get(node):
                self._save(node, saved.step, saved.params, saved.memory)

    def _save(self, node: NodeId, step: int, params: Vector, memory: Memory = None) -> None:
        save_model(model_path(self._record.path, node, step), step, params, memory)
