"""Worlds of the protocol, played to their end while all checkers watch."""

from collections.abc import Mapping, Sequence

from byzsgd.cluster import Cluster, NodeId, Plan
from byzsgd.faults import FaultPlan
from byzsgd.protocol import Done, Effect, Event, Model, Send, Server, TimerFired, Vector, Worker
from byzsgd.simulation.checkers import Law, checkers
from byzsgd.simulation.parts import Answers, Carry, Conditions
from byzsgd.simulation.watch import Stage, Watcher
from byzsgd.simulation.world import World
from tests.simulation.worlds import COST, NETWORK, NOBODY, Symbols, honest, with_liars
from tests.world import INITIAL, Liar


class History(Watcher):
    """What nodes did, and how often honest ones said a thing again, or only for those behind.

    That they do when patience has run out, with `catch_up`; and then they say nothing else. Where
    models are pulled they are also shown to whoever asks, first or again.
    """

    def __init__(self, plan: Plan) -> None:
        self.effects: list[tuple[float, NodeId, Effect]] = []
        self.repeats = 0
        self._plan = plan
        self._words: set[object] = set()

    @property
    def said(self) -> list[tuple[float, NodeId, Effect]]:
        return [entry for entry in self.effects if isinstance(entry[2], Send | Done)]

    def began(self, stage: Stage) -> None:
        self._honest = stage.honest

    def handled(self, now: float, node: NodeId, event: Event, effects: Sequence[Effect]) -> None:
        for effect in effects:
            self.effects.append((now, node, effect))
            if isinstance(effect, Send) and node in self._honest:
                again = self._behind(effect) or self._word(node, effect) in self._words
                if self._plan.mode == "async":
                    assert again == isinstance(event, TimerFired), effect
                    assert self._plan.catch_up or not again
                self.repeats += again
                self._words.add(self._word(node, effect))

    def _behind(self, send: Send) -> bool:
        """A server's model after the last round to its peers, and its result to the workers."""
        if not isinstance(send.message, Model):
            return False
        result = send.to[0].role == "worker" and send.message.step == self._plan.steps
        return result or send.message.round == self._plan.gather_rounds

    def _word(self, node: NodeId, send: Send) -> object:
        """Of which a node has but one; it may be said again."""
        message = send.message
        round_ = message.round if isinstance(message, Model) else 0
        return node, send.to[0].role, type(message), message.step, round_


class Played(World):
    """Has run until all who are honest were done, or for a minute."""

    def __init__(
        self,
        cluster: Cluster,
        plan: Plan,
        seed: int = 0,
        liars: Mapping[NodeId, type[Liar]] = NOBODY,
        faults: FaultPlan = NETWORK,
        answers: Answers | None = None,
        initial: Vector = INITIAL,
        values: bool = False,
        carry: Carry | None = None,
    ) -> None:
        self.history = History(plan)
        law = Law(cluster, plan, frozenset(liars), gradients="median")
        super().__init__(
            cluster.nodes,
            with_liars(honest(cluster, plan, initial), liars),
            answers or Symbols(),
            Conditions(faults, seed, COST),
            [node for node in cluster.nodes if node not in liars],
            [*checkers(law, values), self.history],
            carry,
        )
        self.run(until_s=60.0)

    def drain(self, until_s: float) -> None:
        """Run on after everybody is done: nothing may come of what is still under way."""
        while self._agenda and self._agenda[0][0] < until_s:
            self._turn()

    @property
    def unfinished(self) -> dict[NodeId, tuple[int, str]]:
        """The honest nodes that are not done, and where they wait."""
        waiting = [(node, self.machines[node]) for node in self.honest if node not in self.done]
        return {node: (one.step, one.phase) for node, one in waiting}

    @property
    def catch_ups(self) -> dict[NodeId, int]:
        """Of the honest nodes that were behind, how often."""
        machines = [(node, self.machines[node]) for node in self.honest]
        counts = {n: one.catch_ups for n, one in machines if isinstance(one, Server | Worker)}
        return {node: count for node, count in counts.items() if count}
