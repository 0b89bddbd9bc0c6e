"""Real machines, driven by hand: the author, not a network, decides what is delivered and when."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

from byzsgd.attacks import Byzantine, Plot, resolve
from byzsgd.cluster import Cluster, NodeId, Plan
from byzsgd.protocol import (
    Done,
    Effect,
    Event,
    Machine,
    Prepare,
    Received,
    Save,
    Send,
    Server,
    SetTimer,
    Started,
    TimerFired,
    Worker,
)
from byzsgd.protocol.effects import Computation
from tests.simulation.scenario.arithmetic import Numbers
from tests.simulation.scenario.post import Address, Letter

Answer: TypeAlias = Callable[[NodeId, Machine, Computation], Event]
Told: TypeAlias = Callable[[NodeId, Event, list[Effect]], None]


@dataclass(frozen=True)
class Lie:
    """How a node lies; without an attack it says what its author has it say, and nothing else."""

    attack: str | None
    options: Mapping[str, float]


@dataclass
class Stage:
    """Nodes, letters under way, timers and computations. `answer` computes, `told` hears of all."""

    cluster: Cluster
    plan: Plan
    initial: Numbers
    answer: Answer
    told: Told
    liars: dict[NodeId, Lie]
    strangers: list[NodeId] = field(default_factory=list)
    machines: dict[NodeId, Machine] = field(default_factory=dict)
    down: list[NodeId] = field(default_factory=list)
    letters: list[Letter] = field(default_factory=list)
    holds: list[Address] = field(default_factory=list)
    timers: dict[tuple[NodeId, str], SetTimer] = field(default_factory=dict)
    slow: list[NodeId] = field(default_factory=list)
    computing: dict[NodeId, Computation] = field(default_factory=dict)
    saved: dict[NodeId, tuple[int, Numbers]] = field(default_factory=dict)

    @property
    def everybody(self) -> list[NodeId]:
        return [*self.cluster.nodes, *self.strangers]

    @property
    def honest(self) -> list[NodeId]:
        return [node for node in self.cluster.nodes if node not in self.liars]

    @property
    def up(self) -> list[NodeId]:
        return [node for node in self.machines if node not in self.down]

    @property
    def done(self) -> bool:
        return all(self.machines[node].phase == "done" for node in self.honest if node in self.up)

    def start(self) -> None:
        for node in self.cluster.nodes:
            if node not in self.liars or self.liars[node].attack:
                self.machines[node] = self._make(node)
        for node in self.machines:
            self.handle(node, Started())

    def handle(self, node: NodeId, event: Event, now: float = 0.0) -> None:
        effects = self.machines[node].handle(event, now)
        self.told(node, event, effects)
        for effect in effects:
            self._perform(node, effect)

    def _perform(self, node: NodeId, effect: Effect) -> None:
        match effect:
            case Send(to, message):
                self.letters += [Letter(node, receiver, message) for receiver in to]
            case SetTimer():
                self.timers[node, effect.name] = effect
            case Save(step, params):
                self.saved[node] = (step, params)
            case Prepare() | Done():
                pass
            case _:
                self.computing[node] = effect
                if node not in self.slow:
                    self.compute(node)

    def compute(self, node: NodeId) -> None:
        effect = self.computing.pop(node)
        self.handle(node, self.answer(node, self.machines[node], effect))

    def ready(self, address: Address | None = None) -> list[Letter]:
        """What is under way and held back by nobody, the oldest first."""
        free = [one for one in self.letters if not any(hold.fits(one) for hold in self.holds)]
        return [one for one in free if address is None or address.fits(one)]

    def deliver(self, letters: Iterable[Letter]) -> int:
        """Returns how many came to a node that is down. A mere voice does not listen."""
        lost = 0
        for letter in letters:
            self.letters.remove(letter)
            if letter.receiver in self.down:
                lost += 1
            elif letter.receiver in self.machines:
                self.handle(letter.receiver, Received(letter.sender, letter.message))
        return lost

    def deliver_all(self) -> None:
        while ready := self.ready():
            self.deliver(ready)

    def run_out(self, node: NodeId, name: str) -> None:
        """Of a node's time: its patience, a pull's or a round's."""
        timer = self.timers[node, name]
        self.handle(node, TimerFired(timer.name, timer.step), timer.at)

    def crash(self, node: NodeId) -> None:
        """What it had said is under way still; all else is gone but what it saved."""
        self.down.append(node)
        self.timers = {key: timer for key, timer in self.timers.items() if key[0] != node}
        self.computing.pop(node, None)

    def restart(self, node: NodeId) -> None:
        self.down.remove(node)
        self.machines[node] = self._make(node)
        self.handle(node, Started())

    def _make(self, node: NodeId) -> Machine:
        lie = self.liars.get(node)
        if lie is None:
            return self._machine(node)
        inner = self._machine(node, hasty=True)
        attack = resolve(lie.attack or "mute")
        fellows = self._fellows(node) if attack.colludes else ()
        plot = Plot(fellows=fellows, accomplices=frozenset(self.liars))
        return Byzantine(inner, attack, lie.options, plot)

    def _fellows(self, node: NodeId) -> tuple[NodeId, ...]:
        """Workers that lie the same way."""
        same = [one for one, lie in self.liars.items() if lie.attack == self.liars[node].attack]
        return tuple(one for one in same if one != node and one.role == node.role == "worker")

    def _machine(self, node: NodeId, hasty: bool = False) -> Machine:
        """A hasty one waits for fewer than it should, so that its lies come in time."""
        cluster, plan = self.cluster, self.plan
        if node.role == "worker":
            return Worker(node, cluster, plan, quorum=1 if hasty else None)
        step, params = self.saved.get(node, (0, self.initial))
        quorum = cluster.f_workers + 1 if hasty else None
        return Server(node, cluster, plan, params, quorum=quorum, step=step)
