"""What happened, for people: one line of fixed columns for every event that a machine took in.

   0.004105  server-1   gradients  3  heard gradient 3 of worker-2  update 3 [w0 w1 w2 w4 w6]

time in seconds, node, its phase and step afterwards, the event, and what it had done about it.
"""

from collections import deque
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

from byzsgd.cluster import NodeId
from byzsgd.protocol import (
    ComputeGradient,
    Contract,
    Contracted,
    Done,
    Effect,
    Event,
    Forge,
    Forged,
    Gradient,
    GradientComputed,
    Malformed,
    Message,
    Model,
    Overheard,
    Prepare,
    Pull,
    Received,
    Recompute,
    Recomputed,
    Save,
    Send,
    SetTimer,
    Started,
    TimerFired,
    Update,
    Updated,
    Vector,
)
from byzsgd.protocol.effects import Inputs
from byzsgd.simulation.watch import Stage, Watcher

Show = Callable[[Vector], str]
"""A vector as text, with a space in front; nothing where vectors are too long to be looked at."""


def silent(vector: Vector) -> str:
    return ""


class Trace(Watcher):
    """Keeps the last `lines` of what happened; they are written out only when asked for.

    With `routine` also what had no effect but to be kept is in it.
    """

    def __init__(self, lines: int = 40, show: Show = silent, routine: bool = True) -> None:
        self._last: deque[_Entry] = deque(maxlen=lines)
        self._show = show
        self._routine = routine

    def began(self, stage: Stage) -> None:
        self._machines = stage.machines

    def handled(self, now: float, node: NodeId, event: Event, effects: Sequence[Effect]) -> None:
        if self._routine or effects:
            machine = self._machines[node]
            self._last.append(_Entry(now, node, machine.phase, machine.step, event, effects))

    def crashed(self, now: float, node: NodeId) -> None:
        machine = self._machines[node]
        self._last.append(_Entry(now, node, "down", machine.step, "crashed", ()))

    def lines(self) -> list[str]:
        return [entry.line(self._show) for entry in self._last]


class _Entry(NamedTuple):
    at_s: float
    node: NodeId
    phase: str
    step: int
    event: Event | str
    effects: Sequence[Effect]

    def line(self, show: Show) -> str:
        event = self.event if isinstance(self.event, str) else told(self.event, show)
        done = "; ".join(filter(None, (wanted(effect, show) for effect in self.effects)))
        head = f"{self.at_s:11.6f}  {self.node!s:<10} {self.phase:<11} {self.step:>5}"
        return f"{head}  {event:<36} {done}".rstrip()


def told(event: Event, show: Show = silent) -> str:
    """What a machine was told."""
    match event:
        case Started():
            return "started"
        case Received(sender, message):
            return f"heard {of(message, show)} of {sender}"
        case TimerFired(name, step):
            return f"{name} ran out at {step}"
        case GradientComputed(step, vector):
            return f"gradient of {step} is{show(vector)} computed"
        case Updated(step, params, chosen):
            whose = f" from {crowd(chosen)}" if chosen else ""
            return f"update of {step} is{show(params)} computed{whose}"
        case Contracted(step, params):
            return f"median of {step} is{show(params)} computed"
        case Forged(sends):
            return f"{len(sends)} lies are forged"
        case Recomputed(step, gradients):
            return f"gradients of {step} {senders(gradients)} are recomputed"
        case Overheard(sender, send):
            return f"overheard {of(send.message, show)} of {sender}"


def wanted(effect: Effect, show: Show = silent) -> str:
    """What it wants done; nothing for what only prepares."""
    match effect:
        case Send(to, message):
            return f"say {of(message, show)} to {crowd(to)}"
        case Update(step, _, gradients):
            return f"update {step} {senders(gradients)}"
        case Contract(step, models):
            return f"median {step} {senders(models)}"
        case ComputeGradient(step):
            return f"gradient {step}"
        case Forge(sends, attack):
            return f"forge {attack} {', '.join(of(send.message) for send in sends)}"
        case Recompute(step, _, workers):
            return f"recompute {step} of {crowd(workers)}"
        case Save(step):
            return f"save {step}"
        case Done():
            return "done"
        case Prepare() | SetTimer():
            return ""


def of(message: Message, show: Show = silent) -> str:
    match message:
        case Model(step, params, round_):
            return f"model {step}{f'.{round_}' if round_ else ''}{show(params)}"
        case Gradient(step, vector):
            return f"gradient {step}{show(vector)}"
        case Pull(step):
            return f"pull {step}"
        case Malformed(step, flaw):
            return f"malformed {step} ({flaw})"
    return f"whisper {message.step}{show(message.vector)}"


def senders(inputs: Inputs) -> str:
    return f"[{' '.join(short(sender) for sender, _ in inputs)}]"


def crowd(nodes: Iterable[NodeId]) -> str:
    """Several nodes in few words: w0-6 s1."""
    runs: list[list[NodeId]] = []
    for node in nodes:
        if runs and runs[-1][-1] == NodeId(node.role, node.index - 1):
            runs[-1].append(node)
        else:
            runs.append([node])
    return " ".join(_run(run) for run in runs) or "nobody"


def _run(nodes: Sequence[NodeId]) -> str:
    return short(nodes[0]) if len(nodes) == 1 else f"{short(nodes[0])}-{nodes[-1].index}"


def short(node: NodeId) -> str:
    return f"{node.role[0]}{node.index}"
