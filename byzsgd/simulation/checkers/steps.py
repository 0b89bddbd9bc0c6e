"""Steps, buffers, and where a restarted node begins: what can be seen of a machine from outside."""

from collections.abc import Sequence

from byzsgd.cluster import NodeId
from byzsgd.protocol import Effect, Event, Model, Received, Send, Vector
from byzsgd.simulation.checkers.checker import Checker
from byzsgd.simulation.checkers.law import Law
from byzsgd.simulation.checkers.ledger import Ledger
from byzsgd.simulation.checkers.values import same
from byzsgd.simulation.parts import Checkpoint, Rest
from byzsgd.simulation.watch import Stage
from byzsgd.simulation.world import World


class Steps(Checker):
    """A step never goes back while a node lives, and none is beyond the last."""

    name = "steps"

    def began(self, stage: Stage) -> None:
        self._machines = stage.machines
        self._step = {node: stage.machines[node].step for node in stage.honest}

    def handled(self, now: float, node: NodeId, event: Event, effects: Sequence[Effect]) -> None:
        before = self._step.get(node)
        if before is None or self._machines[node].step == before:
            return
        step = self._step[node] = self._machines[node].step
        if step < before:
            self.fail(node, f"went back from step {before} to {step}")
        if step > self.law.plan.steps:
            self.fail(node, f"is at step {step} of {self.law.plan.steps}")

    def restarted(self, now: float, node: NodeId, step: int, params: Vector) -> None:
        if node in self._step:
            self._step[node] = step


class Bounded(Checker):
    """Of each sender no more vectors are kept than the plan's window, whatever is sent."""

    name = "buffers"

    def began(self, stage: Stage) -> None:
        self._machines = stage.machines

    def handled(self, now: float, node: NodeId, event: Event, effects: Sequence[Effect]) -> None:
        """What comes early is what is kept; a step's own vectors are gone when it is over."""
        if type(event) is Received and node in self.ledger.honest:
            machine = self._machines[node]
            if event.message.step > machine.step:
                self._look(node, event.sender)

    def ended(self, world: World, rest: Rest) -> None:
        for node in world.honest:
            for sender in world.machines:
                self._look(node, sender)

    def _look(self, node: NodeId, sender: NodeId) -> None:
        kept, window = self._machines[node].kept(sender), self.law.plan.window
        if kept > window:
            self.fail(node, f"keeps {kept} vectors of {sender}, the window is {window}")


class Restart(Checker):
    """A server begins with the initial model, which all share, or with just what it saved."""

    name = "restart"

    def __init__(self, law: Law, ledger: Ledger) -> None:
        super().__init__(law, ledger)
        self._saved: dict[NodeId, Checkpoint | None] = {}
        self._begins: dict[NodeId, Checkpoint] = {}
        ledger.listen(Send, self._said)

    def began(self, stage: Stage) -> None:
        self._durable = stage.saved
        servers = [node for node in stage.honest if node.role == "server"]
        models = [getattr(stage.machines[node], "params", None) for node in servers]
        self._initial = Checkpoint(0, models[0] if models else None)
        for node, params in zip(servers, models, strict=True):
            self._begin(node, stage.machines[node].step, params, self._initial)

    def crashed(self, now: float, node: NodeId) -> None:
        self._saved[node] = self._durable.get(node)

    def restarted(self, now: float, node: NodeId, step: int, params: Vector) -> None:
        if node not in self.ledger.honest:
            return
        if node.role == "server":
            self._begin(node, step, params, self._saved[node] or self._initial)
        elif step != 0:
            self.fail(node, f"begins at step {step}, but a worker saves nothing")

    def _begin(self, node: NodeId, step: int, params: Vector, saved: Checkpoint) -> None:
        if step != saved.step:
            self.fail(node, f"begins at step {step}, but has saved step {saved.step}")
        if not same(params, saved.params):
            self.fail(node, f"begins at step {step} with another model than it saved there")
        self._begins[node] = saved

    def _said(self, node: NodeId, send: Send) -> None:
        message = send.message
        if not isinstance(message, Model) or node not in self._begins:
            return
        saved = self._begins.pop(node)
        if message.step > saved.step and not self.law.plan.scatters_at(saved.step):
            return  # nobody has pulled what it began with
        if message.step != saved.step or not same(message.params, saved.params):
            self.fail(node, f"says a model of step {message.step} first that it had not saved")
