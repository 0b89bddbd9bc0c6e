"""A worker's part: the gradient of its batch, and what it submits of it."""

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from byzsgd.attacks.poison import Poison
from byzsgd.cluster import NodeId
from byzsgd.compute.settings import Settings
from byzsgd.observe import Outcome
from byzsgd.protocol import Change, ComputeGradient, GradientComputed
from byzsgd.training.batches import batch_indices
from byzsgd.training.flat import FlatModel
from byzsgd.training.gradient import submission
from byzsgd.training.momentum import looked_ahead
from byzsgd.training.streams import mixed
from byzsgd.training.task import Task
from byzsgd.training.together import Asked
from byzsgd.wire import Frames, stack


@dataclass(frozen=True)
class Gradients:
    """Those of worker `me`, whose examples are `shard`; a liar's may be `poison`ed."""

    me: NodeId
    task: Task
    flat: FlatModel
    settings: Settings
    shard: Tensor | None
    clock: Callable[[], float]
    poison: Poison | None = None

    def __call__(self, effect: ComputeGradient) -> Outcome:
        start = self.clock()
        effect = replace(effect, params=self._dense(effect.params))  # once for all that follows
        asked = self.asked(effect)
        gradient, loss = self.flat.gradient(
            asked.params, asked.inputs, asked.targets, self.task.loss, asked.seed
        )
        return self.submitted(effect, gradient, loss, since=start)

    def asked(self, effect: ComputeGradient) -> Asked:
        """What the gradient is to be of: the model, the batch of this step, and a seed."""
        inputs, targets = self._batch(effect.step)
        if self.poison and self.poison.window.covers(effect.step):
            inputs, targets = self.poison(inputs, targets)
        seed = mixed(self.settings.seed, self.me.index, effect.step)
        return Asked(self._where(effect), inputs, targets, seed)

    def submitted(
        self, effect: ComputeGradient, gradient: Tensor, loss: float, since: float
    ) -> Outcome:
        """What the worker sends, once its `gradient` is there; work on it began at `since`."""
        effect = replace(effect, params=self._dense(effect.params))
        where = self._where(effect)
        vector = submission(gradient, where, effect.last, self.settings.gradient)
        change = self._change(effect, vector)
        measures = {"compute_s": self.clock() - since}
        notes = {"loss": loss, **self._poisoned(effect.step)}
        return Outcome(GradientComputed(effect.step, vector, change), measures, notes)

    def _where(self, effect: ComputeGradient) -> Tensor:
        """The gradient is taken at the model, or with Nesterov's momentum ahead of it."""
        params, settings = self._dense(effect.params), self.settings
        if effect.last is None or not settings.gradient.nesterov:
            return params
        return looked_ahead(params, effect.last, settings.rate.at(effect.step))

    def _batch(self, step: int) -> tuple[Tensor, Tensor]:
        """The examples of this step, as they really are."""
        assert self.shard is not None, f"{self.me} has no data"
        seed, batch = self.settings.seed, self.settings.batch
        drawn = batch_indices(seed, self.me.index, step, len(self.shard), batch)
        return self.task.training.batch(self.shard[drawn])

    def _poisoned(self, step: int) -> dict[str, int]:
        """How many examples were not what they really are: only a liar counts them."""
        if self.poison is None or not self.poison.window.covers(step):
            return {}
        return {"poisoned": self.poison.changed(*self._batch(step))}

    def _change(self, effect: ComputeGradient, vector: Tensor) -> Change | None:
        """What the filters see of a model that was pulled from one server: three scalars."""
        if effect.last_params is None or effect.last is None:
            return None
        stride = self.settings.rate.at(effect.step - 1) * effect.last
        guess = self._dense(effect.last_params) - stride
        return Change(
            model=float(torch.linalg.vector_norm(guess.sub_(effect.params))),
            gradient=float(torch.linalg.vector_norm(vector - effect.last)),
            stride=float(torch.linalg.vector_norm(stride)),
        )

    def _dense(self, vector: Tensor | Frames) -> Tensor:
        """(d,) float32; a copy only of what came over the wire."""
        if isinstance(vector, Tensor):
            return vector
        return stack([vector], torch.empty(1, self.flat.dimension))[0]
