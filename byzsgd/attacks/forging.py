"""From what a liar knows to what it says: the one place where lies meet tensors."""

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from byzsgd.aggregators import Rule
from byzsgd.attacks.attack import Attack, Setting
from byzsgd.attacks.lab import Lab
from byzsgd.attacks.registry import resolve
from byzsgd.cluster import Cluster, NodeId
from byzsgd.observe import Outcome
from byzsgd.protocol import Forge, Forged, Send, vector_of, with_vector
from byzsgd.training.flat import FlatModel
from byzsgd.training.schedule import Schedule
from byzsgd.training.streams import mixed
from byzsgd.training.task import Task
from byzsgd.wire import Frames, stack


@dataclass(frozen=True)
class Forging:
    """Makes the lies of `me`, one of `liars` on its side; `rule` is what they will go through, with
    `awaited` words in all (None: all that there are), of which it tolerates `declared` lies.

    A function of its input alone: what is random follows from seed, liar, step and receiver. A
    worker's `task`, `flat` and `shard` are for the attacks that train models.
    """

    me: NodeId
    cluster: Cluster
    liars: int
    seed: int
    rate: Schedule
    rule: Rule
    declared: int
    dimension: int
    clock: Callable[[], float] = time.perf_counter
    task: Task | None = None
    flat: FlatModel | None = None
    shard: Tensor | None = None
    awaited: int | None = None

    def __call__(self, effect: Forge) -> Outcome:
        start = self.clock()
        attack, known = resolve(effect.attack), self._known(effect)
        told = [(send, self._lies(attack, effect, send, known)) for send in effect.sends]
        changed = sum(any(_differ(send, lie) for lie in lies) for send, lies in told)
        every = tuple(lie for _, lies in told for lie in lies)
        measures = {"forge_s": self.clock() - start}
        notes = {"lie": _beside(*told[0])} if told else {}
        return Outcome(Forged(every, changed), measures, notes)

    def _lies(self, attack: Attack, effect: Forge, send: Send, known: Tensor) -> list[Send]:
        """To all the same, or of some attacks another to each."""
        if not attack.each_receiver:
            return [self._lie(attack, effect, send, known)]
        return [self._lie(attack, effect, Send((to,), send.message), known) for to in send.to]

    def _lie(self, attack: Attack, effect: Forge, send: Send, known: Tensor) -> Send:
        setting = self._setting(send, attack.each_receiver)
        if attack.trains:
            setting = replace(setting, lab=self._lab(effect, send.message.step))
        lie = attack.lie(known, setting, effect.options)
        return Send(send.to, with_vector(send.message, lie))

    def _setting(self, send: Send, each_receiver: bool) -> Setting:
        """Where all receivers get the same lie its seed is the same, whoever asked for it."""
        step, receiver = send.message.step, send.to[0]
        seed = mixed(self.seed, self._position(self.me), step)
        whose = self._position(receiver) if each_receiver else 0
        return Setting(
            n=self._side(self.me),
            f=self.liars,
            seed=mixed(seed, whose, 0),
            run_seed=self.seed,
            step=step,
            rule=self.rule,
            declared=self.declared,
            awaited=self.awaited,
            receiver=receiver.index,
            receivers=self._side(receiver),
        )

    def _lab(self, effect: Forge, step: int) -> Lab | None:
        """None at a server, or where no model is known."""
        if self.task is None or self.flat is None or self.shard is None or effect.params is None:
            return None
        params = self._stack([effect.params])[0]
        seed = mixed(self.seed, self._position(self.me), step)
        return Lab(self.task, self.flat, self.shard, params, self.rate.at(step), seed)

    def _known(self, effect: Forge) -> Tensor:
        """What the liar knows of honest vectors, (k, d), its own first.

        A server knows no other honest model of its step, but it knows every gradient that leads to
        one: its own model, moved as each single gradient would have moved it.
        """
        vectors = self._stack(effect.known)
        conspires = resolve(effect.attack).conspires(effect.options)
        if not effect.gradients or len(vectors) > 1 or not conspires:
            return vectors
        gradients = self._stack(effect.gradients)
        rate = self.rate.at(max(0, effect.sends[0].message.step - 1))
        moved = vectors[0] - rate * (gradients - gradients.mean(dim=0))
        return torch.cat([vectors[:1], moved])

    def _stack(self, vectors: Sequence[Tensor | Frames]) -> Tensor:
        return stack(vectors, torch.empty(len(vectors), self.dimension))

    def _side(self, node: NodeId) -> int:
        """How many nodes there are of its role."""
        return self.cluster.servers if node.role == "server" else self.cluster.workers

    def _position(self, node: NodeId) -> int:
        return self.cluster.nodes.index(node)


def _beside(truth: Send, lies: Sequence[Send]) -> dict[str, float | None]:
    """Of the first lie how long it is beside the truth, and its cosine with it: for the record."""
    if not lies:
        return {}
    was, said = vector_of(truth.message), vector_of(lies[0].message)
    was_norm, said_norm = (float(torch.linalg.vector_norm(vector)) for vector in (was, said))
    norm = said_norm / was_norm if was_norm > 0 else math.nan
    product = was_norm * said_norm
    cosine = float(torch.dot(was, said)) / product if product > 0 else math.nan
    known = {"norm": norm, "cosine": cosine}
    return {name: round(v, 5) if math.isfinite(v) else None for name, v in known.items()}


def _differ(truth: Send, lie: Send) -> bool:
    return not torch.equal(vector_of(truth.message), vector_of(lie.message))
