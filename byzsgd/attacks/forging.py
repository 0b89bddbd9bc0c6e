"""From what a liar knows to what it says: the one place where lies meet tensors."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from byzsgd.aggregators import Rule
from byzsgd.attacks.attack import Attack, Setting
from byzsgd.attacks.registry import resolve
from byzsgd.cluster import Cluster, NodeId
from byzsgd.observe import Outcome
from byzsgd.protocol import Forge, Forged, Send, with_vector
from byzsgd.training.schedule import Schedule
from byzsgd.training.streams import mixed
from byzsgd.wire import Frames, stack


@dataclass(frozen=True)
class Forging:
    """Makes the lies of `me`, one of `liars` on its side; `rule` is what they will go through.

    A function of its input alone: what is random follows from seed, liar, step and receiver.
    """

    me: NodeId
    cluster: Cluster
    liars: int
    seed: int
    rate: Schedule
    rule: Rule
    dimension: int
    clock: Callable[[], float] = time.perf_counter

    def __call__(self, effect: Forge) -> Outcome:
        start = self.clock()
        attack, known = resolve(effect.attack), self._known(effect)
        lies = [lie for send in effect.sends for lie in self._lies(attack, effect, send, known)]
        return Outcome(Forged(tuple(lies)), {"forge_s": self.clock() - start})

    def _lies(self, attack: Attack, effect: Forge, send: Send, known: Tensor) -> list[Send]:
        """To all the same, or of some attacks another to each."""
        if not attack.each_receiver:
            return [self._lie(attack, effect, send, known)]
        count = len(send.to)
        return [
            self._lie(attack, effect, Send((to,), send.message), known, index, count)
            for index, to in enumerate(send.to)
        ]

    def _lie(
        self,
        attack: Attack,
        effect: Forge,
        send: Send,
        known: Tensor,
        receiver: int = 0,
        receivers: int = 1,
    ) -> Send:
        setting = self._setting(send, receiver, receivers)
        lie = attack.lie(known, setting, effect.options)
        return Send(send.to, with_vector(send.message, lie))

    def _setting(self, send: Send, receiver: int, receivers: int) -> Setting:
        cluster, step = self.cluster, send.message.step
        server = self.me.role == "server"
        seed = mixed(self.seed, self._position(self.me), step)
        return Setting(
            n=cluster.servers if server else cluster.workers,
            f=self.liars,
            seed=mixed(seed, self._position(send.to[0]), 0),
            run_seed=self.seed,
            step=step,
            rule=self.rule,
            declared=cluster.f_servers if server else cluster.f_workers,
            receiver=receiver,
            receivers=receivers,
        )

    def _known(self, effect: Forge) -> Tensor:
        """What the liar knows of honest vectors, (k, d), its own first.

        A server knows no other honest model of its step, but it knows every gradient that leads to
        one: its own model, moved as each single gradient would have moved it.
        """
        vectors = self._stack(effect.known)
        if not effect.gradients or not resolve(effect.attack).colludes:
            return vectors
        gradients = self._stack(effect.gradients)
        rate = self.rate.at(max(0, effect.sends[0].message.step - 1))
        moved = vectors[0] - rate * (gradients - gradients.mean(dim=0))
        return torch.cat([vectors[:1], moved])

    def _stack(self, vectors: Sequence[Tensor | Frames]) -> Tensor:
        return stack(vectors, torch.empty(len(vectors), self.dimension))

    def _position(self, node: NodeId) -> int:
        return self.cluster.nodes.index(node)
