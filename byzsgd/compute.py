"""Runs what machines ask to have computed. The only place where protocol meets tensors.

A function of its input alone: batches, noise and rates follow from seed, node and step. So a
simulator and a real node share it, and a restarted node computes the same again.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

import torch
from torch import Tensor

from byzsgd.aggregators import AggregationError, Rule
from byzsgd.attacks import Forging
from byzsgd.cluster import Cluster, Mode, NodeId, Role
from byzsgd.incoming import Workspace
from byzsgd.observe import Outcome
from byzsgd.protocol import (
    Change,
    ComputeGradient,
    Contract,
    Contracted,
    Forge,
    GradientComputed,
    Prepare,
    Update,
    Updated,
)
from byzsgd.protocol.effects import Computation
from byzsgd.training.batches import batch_indices
from byzsgd.training.flat import FlatModel
from byzsgd.training.gradient import GradientSettings, submission
from byzsgd.training.schedule import Schedule
from byzsgd.training.streams import mixed
from byzsgd.training.task import Task
from byzsgd.training.together import Asked
from byzsgd.wire import Frames, stack


@dataclass(frozen=True)
class Settings:
    """What training does with the tensors, equal at every node."""

    cluster: Cluster
    seed: int
    batch: int
    gradient: GradientSettings
    rate: Schedule
    gradients: Rule
    models: Rule
    liars: Mapping[Role, int] = field(default_factory=dict)
    """How many of each side really lie; the liars know it."""
    mode: Mode = "async"

    @property
    def gradients_max(self) -> int:
        """The most that one update aggregates."""
        return self.cluster.gradients_awaited(self.mode)


class Compute:
    """The computations of one node. `shard` are the examples of a worker.

    Whatever it returns is freshly allocated and never written to again: it is sent without a copy.
    One thread at a time, also for nodes that share a `workspace`.
    """

    def __init__(
        self,
        me: NodeId,
        task: Task,
        flat: FlatModel,
        settings: Settings,
        shard: Tensor | None = None,
        clock: Callable[[], float] = time.perf_counter,
        workspace: Workspace | None = None,
    ) -> None:
        self.me = me
        self.task = task
        self.flat = flat
        self.settings = settings
        self.shard = shard
        self._clock = clock
        self._shared = workspace

    @cached_property
    def _workspace(self) -> Workspace:
        settings = self.settings
        return self._shared or Workspace(
            settings.gradients, settings.gradients_max, self.flat.dimension
        )

    def run(self, effect: Computation) -> Outcome:
        match effect:
            case ComputeGradient():
                return self._gradient(effect)
            case Update():
                return self._update(effect)
            case Contract():
                return self._contract(effect)
            case Forge():
                return self._forging(effect)

    def asked(self, effect: ComputeGradient) -> Asked:
        """What the gradient is to be of: the model, the batch of this step, and a seed."""
        assert self.shard is not None, f"{self.me} has no data"
        seed, index = self.settings.seed, self.me.index
        drawn = batch_indices(seed, index, effect.step, len(self.shard), self.settings.batch)
        inputs, targets = self.task.training.batch(self.shard[drawn])
        params = self._dense(effect.params)
        return Asked(params, inputs, targets, mixed(seed, index, effect.step))

    def submitted(
        self, effect: ComputeGradient, gradient: Tensor, loss: float, since: float
    ) -> Outcome:
        """What the worker sends, once its `gradient` is there; work on it began at `since`."""
        params = self._dense(effect.params)
        vector = submission(gradient, params, effect.last, self.settings.gradient)
        change = self._change(effect, params, vector)
        measures = {"compute_s": self._clock() - since}
        return Outcome(GradientComputed(effect.step, vector, change), measures, {"loss": loss})

    def _change(self, effect: ComputeGradient, params: Tensor, vector: Tensor) -> Change | None:
        """What the filters see of a model that was pulled from one server: three scalars."""
        if effect.last_params is None or effect.last is None:
            return None
        stride = self.settings.rate.at(effect.step - 1) * effect.last
        guess = self._dense(effect.last_params) - stride
        return Change(
            model=float(torch.linalg.vector_norm(guess.sub_(params))),
            gradient=float(torch.linalg.vector_norm(vector - effect.last)),
            stride=float(torch.linalg.vector_norm(stride)),
        )

    def _dense(self, vector: Tensor | Frames) -> Tensor:
        """(d,) float32; a copy only of what came over the wire."""
        if isinstance(vector, Tensor):
            return vector
        return self._stack([vector])[0]

    def _gradient(self, effect: ComputeGradient) -> Outcome:
        start = self._clock()
        effect = replace(effect, params=self._dense(effect.params))  # once for all that follows
        asked = self.asked(effect)
        gradient, loss = self.flat.gradient(
            asked.params, asked.inputs, asked.targets, self.task.loss, asked.seed
        )
        return self.submitted(effect, gradient, loss, since=start)

    def prepare(self, effect: Prepare) -> Mapping[str, float]:
        """Work that shortens the `Update` to come, and the seconds that it took."""
        start = self._clock()
        self._workspace.incoming.prepare(effect.step, effect.sender, effect.gradient)
        return {"prepare_s": self._clock() - start}

    def _update(self, effect: Update) -> Outcome:
        start = self._clock()
        senders = [sender for sender, _ in effect.gradients]
        rows = self._workspace.incoming.complete(effect.step, effect.gradients)
        stacked = self._clock()
        measures = {"stack_s": stacked - start}
        chosen: tuple[NodeId, ...] = ()
        try:
            rule = self.settings.gradients
            f = tolerable(rule, len(rows), self.settings.cluster.f_workers)
            aggregate, choice = self._workspace.incoming.aggregate(rows, f)
            if choice:
                chosen = tuple(senders[row] for row in choice.rows)
                if not choice.exact:
                    measures["approximate_selections"] = 1
        except AggregationError:
            # More liars than declared: no step can be trusted, and a node must not end of it.
            aggregate = torch.zeros(self.flat.dimension)
            measures["refused_updates"] = 1
        aggregated = self._clock()
        params = effect.params.sub(aggregate, alpha=self.settings.rate.at(effect.step))
        measures |= {"aggregate_s": aggregated - stacked, "apply_s": self._clock() - aggregated}
        notes = {
            "quorum": [str(node) for node in senders],
            "chosen": [str(node) for node in chosen],
        }
        return Outcome(Updated(effect.step, params, chosen), measures, notes)

    def _contract(self, effect: Contract) -> Outcome:
        start = self._clock()
        rows = self._workspace.stacked([vector for _, vector in effect.models])
        stacked = self._clock()
        rule, measures = self.settings.models, {"stack_s": stacked - start}
        try:
            params = rule(rows, tolerable(rule, len(rows), self.settings.cluster.f_servers))
        except AggregationError:
            # More liars than declared: no model can be trusted, and a node must not end of it.
            params = rows.nan_to_num().median(0).values
            measures["refused_contractions"] = 1
        measures["contract_s"] = self._clock() - stacked
        return Outcome(Contracted(effect.step, params), measures)

    @cached_property
    def _forging(self) -> Forging:
        settings, role = self.settings, self.me.role
        return Forging(
            me=self.me,
            cluster=settings.cluster,
            liars=settings.liars.get(role, 1),
            seed=settings.seed,
            rate=settings.rate,
            rule=settings.models if role == "server" else settings.gradients,
            dimension=self.flat.dimension,
            clock=self._clock,
        )

    def _stack(self, vectors: Sequence[Tensor | Frames]) -> Tensor:
        return stack(vectors, torch.empty(len(vectors), self.flat.dimension))


def tolerable(rule: Rule, n: int, f: int) -> int:
    """Of n vectors how many may be lies: f, or fewer for liars, who wait for fewer vectors."""
    return max((k for k in range(f + 1) if rule.minimum_n(k) <= n), default=0)
