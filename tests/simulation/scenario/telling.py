"""What a scenario tells of its machines, in the words of the simulator's trace."""

from collections import Counter, defaultdict
from collections.abc import Sequence
from itertools import groupby
from typing import Any

from byzsgd.attacks import Byzantine
from byzsgd.cluster import NodeId
from byzsgd.protocol import (
    Effect,
    Event,
    Machine,
    Quorum,
    Received,
    Server,
    Started,
    Worker,
)
from byzsgd.simulation.trace import crowd, short, told, wanted
from tests.simulation.scenario.arithmetic import diameter, show
from tests.simulation.scenario.stage import Stage


class Teller:
    """Collects lines. What a machine only kept is counted in `kept`; all else has a line."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.kept = 0
        self._refused: defaultdict[NodeId, Counter[tuple[NodeId, str]]] = defaultdict(Counter)

    def tell(self, node: NodeId, one: Machine, event: Event, effects: Sequence[Effect]) -> None:
        wants = [text for text in (wanted(effect, show) for effect in effects) if text]
        done = "; ".join([*wants, *self._refusal(node, one, event)])
        if done or not isinstance(event, Received):
            head = f"{node!s:<10} {one.phase:<11} {one.step:>2}"
            self.lines.append(f"{head}  {told(event, show):<38}  {done}".rstrip())
        else:
            self.kept += 1

    def told(self) -> list[str]:
        """What is new."""
        new = [*self.lines, *([f"kept {self.kept}"] if self.kept else [])]
        self.forget()
        return new

    def forget(self) -> None:
        self.lines, self.kept = [], 0

    def _refusal(self, node: NodeId, one: Machine, event: Event) -> list[str]:
        before = Counter() if isinstance(event, Started) else self._refused[node]
        self._refused[node] = one.refused
        return [f"refused as {reason}" for _, reason in one.refused - before]


def shown(stage: Stage, node: NodeId) -> str:
    """One node: its phase and step, its model, what it keeps of whom, and what it refused."""
    one = stage.machines[node]
    kept = [(short(sender), _slots(one, sender)) for sender in stage.everybody]
    refused = [f"{short(sender)} {reason} {n}" for (sender, reason), n in one.refused.items()]
    parts = [show(one.params).strip()] if isinstance(one, Server) else []
    parts += _several("keeps", [f"{sender} {slots}" for sender, slots in kept if slots])
    parts += _several("refused", sorted(refused))
    if isinstance(one, Server | Worker) and one.catch_ups:
        parts.append(f"caught up {one.catch_ups}")
    if node in stage.saved:
        step, params = stage.saved[node]
        parts.append(f"saved {step}{show(params)}")
    return f"{node!s:<10} {phase(stage, node):<11} {one.step:>2}  {'; '.join(parts)}".rstrip()


def _slots(one: Machine, sender: NodeId) -> str:
    """The steps that it holds something of this sender for, gradients of workers or models."""
    inner = one.honest if isinstance(one, Byzantine) else one
    assert isinstance(inner, Server | Worker)
    quorums: list[Quorum[Any]] = [inner.models]
    quorums += [inner.gradients] if isinstance(inner, Server) else []
    slots = sorted(slot for quorum in quorums for slot, of in quorum._held.items() if sender in of)
    return " ".join(_slot(slot) for slot in slots)


def _slot(slot: int | tuple[int, int]) -> str:
    step, round_ = slot if isinstance(slot, tuple) else (slot, 0)
    return f"{step}.{round_}" if round_ else str(step)


def _several(what: str, items: Sequence[str]) -> list[str]:
    return [f"{what} {', '.join(items)}"] if items else []


def phase(stage: Stage, node: NodeId) -> str:
    return "down" if node in stage.down else stage.machines[node].phase


def where(stage: Stage) -> list[str]:
    """The honest nodes by step and phase."""
    rows = [(stage.machines[node].step, phase(stage, node), node) for node in stage.honest]
    rows.sort(key=lambda row: row[0])
    groups = groupby(sorted(rows, key=lambda row: row[:2]), key=lambda row: row[:2])
    return [
        f"step {step:>2}  {phase:<11} {crowd(node for *_, node in group)}"
        for (step, phase), group in groups
    ]


def spread(stage: Stage) -> str:
    """How far the models of honest servers are apart, those that are down left out."""
    ones = [stage.machines[node] for node in stage.honest if node not in stage.down]
    models = [one.params for one in ones if isinstance(one, Server)]
    each = " ".join(show(params).strip() for params in models)
    return f"honest models {each}: {diameter(models):g} apart"
