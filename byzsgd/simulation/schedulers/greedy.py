"""Looks for the worst: lets those letters through first that keep the replicas farthest apart.

Nothing is planned ahead, and what a rule makes of its vectors is only guessed. Where vectors cannot
be looked at it falls back on two camps.
"""

import math
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from byzsgd.cluster import Cluster, NodeId
from byzsgd.errors import ConfigError
from byzsgd.protocol import Model, vector_of
from byzsgd.simulation.scheduler import Letter
from byzsgd.simulation.schedulers.gathering import Gathering
from byzsgd.simulation.schedulers.holding import wanted
from byzsgd.simulation.schedulers.sight import Seen, Sight
from byzsgd.simulation.schedulers.slots import SLOTS_MAX, Slot, Slots, slot_of
from byzsgd.simulation.schedulers.split import Split
from byzsgd.simulation.schedulers.worst import Rows, Worst, median, robust_mean, worst

if TYPE_CHECKING:
    from byzsgd.simulation.world import World


class Greedy:
    """`rate` is about the learning rate: how far a gradient moves a model."""

    def __init__(
        self,
        seed: int,
        cluster: Cluster,
        liars: frozenset[NodeId],
        unit_s: float,
        *,
        rate: float = 0.1,
    ) -> None:
        if type(rate) not in (int, float) or not 0 < rate < math.inf:
            raise ConfigError(f"rate = {rate!r}: must be a positive number")
        self._cluster, self._liars, self._unit_s, self._rate = cluster, liars, unit_s, rate
        self._honest = [server for server in cluster.server_ids if server not in liars]
        self._blind = Split(seed, cluster, liars, unit_s)
        self._sight = Sight(seed)
        self._slots: Slots[Gathering] = Slots()
        self._outcomes: dict[Slot, dict[NodeId, Seen]] = {}

    def postpone(self, letter: Letter, world: "World") -> float:
        if letter.receiver in self._liars or not wanted(letter, world):
            return 0.0
        step = world.machines[letter.receiver].step
        begin = partial(Gathering, world.now, self._unit_s)
        gathering = self._slots.at(letter.receiver, slot_of(letter.message), step, begin)
        if gathering is None:
            return 0.0
        if gathering.first is None:
            if not self._take(gathering, letter):
                return self._blind.postpone(letter, world)
            self._decide(gathering, letter, world)
        return gathering.held_s(world.now, letter.sender)

    def _take(self, gathering: Gathering, letter: Letter) -> bool:
        """Have it in hand, unless it cannot be compared with what is there."""
        hand = gathering.hand
        if letter.sender not in hand:
            seen = self._sight.of(vector_of(letter.message))
            if seen is None or any(seen.shape != other.shape for other in hand.values()):
                return False
            hand[letter.sender] = seen
        return True

    def _decide(self, gathering: Gathering, letter: Letter, world: "World") -> None:
        cluster = self._cluster
        if type(letter.message) is Model:  # of which its own counts in a gather
            need = cluster.q_servers - (letter.receiver.role == "server")
        else:
            need = cluster.q_workers
        if gathering.due(world.now, need):
            hand = gathering.hand
            choice = self._worst(hand, need, letter, world) if len(hand) > need else None
            gathering.first = choice.senders if choice else cluster.nodes

    def _worst(
        self, hand: dict[NodeId, Seen], need: int, letter: Letter, world: "World"
    ) -> Worst | None:
        """None where the servers' models cannot be compared with what is in hand."""
        receiver, outcomes = letter.receiver, self._outcomes_of(slot_of(letter.message))
        models = self._models(world)
        own = models.pop(receiver, None)
        others = [outcomes.get(server, model) for server, model in models.items()]
        seen = [*others, *hand.values(), *([] if own is None else [own])]
        if not others or any(one.shape != seen[0].shape for one in seen):
            return None
        rows = np.stack(others)
        away = None if own is None else own - rows.mean(axis=0)
        found = worst(hand, self._liars, need, self._rule(letter, own, world), rows, away)
        outcomes[receiver] = found.outcome
        return found

    def _rule(self, letter: Letter, own: Seen | None, world: "World") -> Callable[[Rows], Seen]:
        """What the receiver makes of vectors, as far as can be told from outside."""
        message, machine = letter.message, world.machines[letter.receiver]
        if own is None:
            return median
        if type(message) is not Model:
            return lambda rows: own - self._rate * robust_mean(rows, self._cluster.f_workers)
        if (machine.step, machine.phase) == (message.step, "models"):
            return lambda rows: median(np.vstack([rows, own]))
        return median

    def _models(self, world: "World") -> dict[NodeId, Seen]:
        """What the honest servers hold."""
        params = [(node, getattr(world.machines[node], "params", None)) for node in self._honest]
        seen = [(node, self._sight.of(vector)) for node, vector in params]
        return {node: one for node, one in seen if one is not None}

    def _outcomes_of(self, slot: Slot) -> dict[NodeId, Seen]:
        """What those decided on so far come to."""
        outcomes = self._outcomes.setdefault(slot, {})
        if len(self._outcomes) > SLOTS_MAX:
            del self._outcomes[next(iter(self._outcomes))]
        return outcomes
