"""What a simulated run writes into its record while it goes, as a real one does."""

import time
from collections.abc import Callable, Sequence
from statistics import fmean, median_low
from typing import Final

import torch

from byzsgd.cluster import NodeId
from byzsgd.experiment.appraisal import Appraisal
from byzsgd.experiment.config import Experiment
from byzsgd.experiment.files import Lines, measures_path
from byzsgd.experiment.progress import Progress, State, progress_of
from byzsgd.experiment.record import Record
from byzsgd.experiment.totals import told
from byzsgd.observe import Lags, Outcome, Stopwatch
from byzsgd.protocol import Effect, Event, Received, Save, Vector
from byzsgd.protocol.effects import Computation
from byzsgd.simulation.parts import Rest
from byzsgd.simulation.watch import Stage, Watcher
from byzsgd.training.flat import FlatModel
from byzsgd.training.task import Task

OPEN_MAX: Final = 4
"""Saved steps that are waited with for those who are behind: each holds a model of every server."""


class Chronicle(Watcher):
    """Writes each node's measures, a line a step, and what happens to nodes."""

    def __init__(self, record: Record) -> None:
        self._record = record
        self._files: dict[NodeId, Lines] = {}
        self._watches: dict[NodeId, Stopwatch] = {}
        self._steps: dict[NodeId, int] = {}
        self._lags: dict[NodeId, Lags] = {}

    def began(self, stage: Stage) -> None:
        self._machines = stage.machines
        for node in stage.machines:
            self._files[node] = Lines(measures_path(self._record.path, node))
            self._watches[node] = Stopwatch(stage.now)
            self._steps[node] = 0
            self._lags[node] = Lags()

    def handled(self, now: float, node: NodeId, event: Event, effects: Sequence[Effect]) -> None:
        machine, watch = self._machines[node], self._watches[node]
        if type(event) is Received:
            self._lags[node].heard(self._steps[node], event.message)
        if machine.phase != watch.phase:
            watch.enter(machine.phase, now)
        if machine.step != self._steps[node]:
            self._steps[node] = machine.step
            self._files[node].write(step=machine.step, seconds=now, **watch.lap())

    def answered(self, now: float, node: NodeId, effect: Computation, outcome: Outcome) -> None:
        self._watches[node].add({name: value for name, value in outcome.measures.items() if value})
        self._watches[node].note(outcome.notes)

    def crashed(self, now: float, node: NodeId) -> None:
        self._record.event("crashed", at_s=now, node=str(node), step=self._steps[node])

    def restarted(self, now: float, node: NodeId, step: int, params: Vector) -> None:
        self._steps[node] = step
        self._record.event("restarted", at_s=now, node=str(node), step=step)

    def ended(self, world: Stage, rest: Rest) -> None:
        for node, machine in self._machines.items():
            totals = told(self._lags[node], machine)
            self._record.event("totals", at_s=rest.at_s, node=str(node), **totals)

    def close(self) -> None:
        for file in self._files.values():
            file.close()


class Evaluator(Watcher):
    """Says how good the median of the honest servers' models is, whenever all have saved a step.

    Where some are left far behind, those that are there have to do, if they are so many that a
    client would take their word. `models` are those of the step that was `evaluated` last.
    """

    def __init__(self, experiment: Experiment, task: Task, flat: FlatModel, record: Record) -> None:
        self.last: dict[str, float] = {}
        self._appraisal, self._record = Appraisal(experiment, task, flat), record
        self._honest = experiment.honest_servers
        self._enough = experiment.cluster.rejoin_quorum
        self._saved: dict[int, dict[NodeId, Vector]] = {}
        self.evaluated = 0
        self.models: dict[NodeId, Vector] = {}

    def began(self, stage: Stage) -> None:
        self._stage = stage

    def handled(self, now: float, node: NodeId, event: Event, effects: Sequence[Effect]) -> None:
        for effect in effects:
            if type(effect) is Save and effect.step > self.evaluated and node in self._honest:
                self._saved.setdefault(effect.step, {})[node] = effect.params
                self._consider(effect.step, now)

    def finish(self) -> None:
        """Of the last step those models that there are."""
        if self._saved:
            self._evaluate(max(self._saved), self._stage.now)

    def _consider(self, step: int, now: float) -> None:
        up = [node for node in self._honest if node not in self._stage.down]
        if all(node in self._saved[step] for node in up):
            self._evaluate(step, now)
        elif len(self._saved) > OPEN_MAX:
            oldest = min(self._saved)
            if len(self._saved[oldest]) >= self._enough:
                self._evaluate(oldest, now)
            else:
                del self._saved[oldest]

    def _evaluate(self, step: int, now: float) -> None:
        models = torch.stack(list(self._saved[step].values()))
        self.last = self._appraisal(models)
        self._record.evaluation(step=step, models=len(models), seconds=now, **self.last)
        self.evaluated, self.models = step, self._saved[step]
        self._saved = {at: models for at, models in self._saved.items() if at > step}


class Pulse(Watcher):
    """Shows how far the run is, whenever a node makes a step; its rate is the real clock's."""

    def __init__(
        self, experiment: Experiment, evaluator: Evaluator, show: Callable[[Progress], None]
    ) -> None:
        self.progress = progress_of(experiment)
        self._nodes = {node: self.progress.nodes[str(node)] for node in experiment.cluster.nodes}
        self._servers = [self._nodes[node] for node in experiment.honest_servers]
        self._evaluator, self._show = evaluator, show
        self._start = time.perf_counter()

    def began(self, stage: Stage) -> None:
        self._machines = stage.machines

    def handled(self, now: float, node: NodeId, event: Event, effects: Sequence[Effect]) -> None:
        shown, machine = self._nodes[node], self._machines[node]
        state: State = "done" if machine.phase == "done" else "running"
        if shown.step != machine.step or shown.state != state:
            shown.step, shown.state = machine.step, state
            self._update()

    def answered(self, now: float, node: NodeId, effect: Computation, outcome: Outcome) -> None:
        if "loss" in outcome.notes:
            self._nodes[node].loss = float(str(outcome.notes["loss"]))

    def crashed(self, now: float, node: NodeId) -> None:
        self._nodes[node].state = "dead"

    def restarted(self, now: float, node: NodeId, step: int, params: Vector) -> None:
        self._nodes[node].state = "running"

    def _update(self) -> None:
        progress, measured = self.progress, self._evaluator.last
        progress.step = median_low([server.step for server in self._servers] or [0])
        progress.steps_per_second = progress.step / (time.perf_counter() - self._start)
        losses = [n.loss for n in progress.nodes.values() if n.loss is not None and not n.liar]
        progress.loss = fmean(losses) if losses else None
        progress.accuracy, progress.diameter = measured.get("accuracy"), measured.get("diameter")
        self._show(progress)
