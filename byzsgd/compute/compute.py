"""All computations of one node, each where it belongs."""

import time
from collections.abc import Callable, Mapping
from functools import cached_property

from torch import Tensor

from byzsgd.attacks import Forging
from byzsgd.attacks.poison import Poison
from byzsgd.cluster import NodeId
from byzsgd.compute.gradients import Gradients
from byzsgd.compute.settings import Settings
from byzsgd.compute.updates import Updates
from byzsgd.incoming import Workspace
from byzsgd.observe import Outcome
from byzsgd.protocol import (
    ComputeGradient,
    Contract,
    Forge,
    GradientComputed,
    Prepare,
    Recompute,
    Recomputed,
    Update,
)
from byzsgd.protocol.effects import Computation
from byzsgd.training.flat import FlatModel
from byzsgd.training.task import Task
from byzsgd.training.together import Asked


class Compute:
    """The computations of one node. `shard` are the examples of a worker.

    `shards` gives those of any worker: only an omniscient liar asks for them. What a liar computes
    with instead of its examples is a matter of `poison`.

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
        shards: Callable[[NodeId], Tensor | None] | None = None,
        poison: Poison | None = None,
    ) -> None:
        self.me = me
        self.task = task
        self.flat = flat
        self.settings = settings
        self.shard = shard
        self._clock = clock
        self._workspace = workspace
        self._shards = shards
        self._gradients = self._of(me, shard, poison)
        self._others: dict[NodeId, Gradients] = {}

    def run(self, effect: Computation) -> Outcome:
        match effect:
            case ComputeGradient():
                return self._gradients(effect)
            case Update():
                return self._updates.update(effect)
            case Contract():
                return self._updates.contract(effect)
            case Forge():
                return self._forging(effect)
            case Recompute():
                return self._recompute(effect)

    def prepare(self, effect: Prepare) -> Mapping[str, float]:
        """Work that shortens the `Update` to come, and the seconds that it took."""
        return self._updates.prepare(effect)

    def asked(self, effect: ComputeGradient) -> Asked:
        """What the gradient is to be of: the model, the batch of this step, and a seed."""
        return self._gradients.asked(effect)

    def submitted(
        self, effect: ComputeGradient, gradient: Tensor, loss: float, since: float
    ) -> Outcome:
        """What the worker sends, once its `gradient` is there; work on it began at `since`."""
        return self._gradients.submitted(effect, gradient, loss, since)

    def _recompute(self, effect: Recompute) -> Outcome:
        """As though this were each of those workers: data, batches and seeds follow from names."""
        start = self._clock()
        last, vectors = dict(effect.last), []
        for worker in effect.workers:
            if worker not in self._others:
                shard = self._shards(worker) if self._shards else None
                self._others[worker] = self._of(worker, shard)
            asked = ComputeGradient(effect.step, effect.params, last.get(worker))
            answer = self._others[worker](asked).event
            assert isinstance(answer, GradientComputed)
            vectors.append((worker, answer.vector))
        return Outcome(Recomputed(effect.step, tuple(vectors)), {"forge_s": self._clock() - start})

    def _of(self, worker: NodeId, shard: Tensor | None, poison: Poison | None = None) -> Gradients:
        return Gradients(worker, self.task, self.flat, self.settings, shard, self._clock, poison)

    @cached_property
    def _updates(self) -> Updates:
        settings, d = self.settings, self.flat.dimension
        own = self._workspace or Workspace(settings.gradients, settings.gradients_max, d)
        return Updates(d, settings, own, self._clock)

    @cached_property
    def _forging(self) -> Forging:
        settings, role, cluster = self.settings, self.me.role, self.settings.cluster
        return Forging(
            me=self.me,
            cluster=cluster,
            liars=settings.liars.get(role, 1),
            seed=settings.seed,
            rate=settings.rate,
            rule=settings.models if role == "server" else settings.gradients,
            declared=cluster.f_servers if role == "server" else settings.gradients_tolerated,
            dimension=self.flat.dimension,
            clock=self._clock,
            task=self.task,
            flat=self.flat,
            shard=self.shard,
            awaited=cluster.q_servers if role == "server" else settings.gradients_max,
        )
