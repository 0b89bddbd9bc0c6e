"""Everybody honest arrives at the last step, unless what the theory asks for is not there."""

from collections.abc import Iterator

from byzsgd.cluster import NodeId
from byzsgd.simulation.checkers.checker import Checker
from byzsgd.simulation.checkers.law import Law
from byzsgd.simulation.checkers.ledger import GRADIENT, Ledger
from byzsgd.simulation.checkers.reach import explanation, is_down, unfinished
from byzsgd.simulation.parts import Rest
from byzsgd.simulation.trace import crowd
from byzsgd.simulation.world import World


class Liveness(Checker):
    """Looks once, at the end. A stall that something explains is no violation, but is told.

    `explained` is why a world did not end well though nothing is broken, or None; `results` is how
    many honest servers have one. A world that somebody stopped may go on: it is not judged.
    """

    name = "liveness"

    def __init__(self, law: Law, ledger: Ledger) -> None:
        super().__init__(law, ledger)
        self.explained: str | None = None
        self.results = 0

    def ended(self, world: World, rest: Rest) -> None:
        self._look_at_the_done(world)
        if rest.why != "stalled":
            return
        self.explained = explanation(self.law, self.ledger, world)
        if self.explained is None:
            self.fail(None, f"{rest.why} at {rest.at_s:g} s\n" + "\n".join(self._table(world)))

    def _look_at_the_done(self, world: World) -> None:
        done = [node for node in world.honest if node in world.done]
        for node in done:
            if world.machines[node].step != self.law.plan.steps and node not in world.down:
                self.fail(
                    node, f"is done at step {world.machines[node].step} of {self.law.plan.steps}"
                )
        self.results = sum(node.role == "server" for node in done)

    def _table(self, world: World) -> Iterator[str]:
        """Who waits for what."""
        for node in unfinished(world):
            seen, machine = self.ledger.of(node), world.machines[node]
            yield (
                f"{node!s:<10} {machine.step:>5}  {machine.phase:<11} "
                f"for {world.now - seen.since_s:.6g} s  {self._awaited(world, node)}"
            )
        for node in world.honest:
            if is_down(world, node):
                yield f"{node!s:<10} is down for good"

    def _awaited(self, world: World, node: NodeId) -> str:
        """Whom it has heard of what it waits for."""
        machine = world.machines[node]
        if machine.phase not in ("gradients", "models"):
            return ""
        round_ = self.ledger.of(node).stands[1] if node.role == "server" else 0
        if machine.phase == "gradients":
            round_ = GRADIENT
        heard = sorted(self.ledger.heard(node, machine.step, round_))
        return f"waits for {machine.phase}, has heard {crowd(heard)}"
