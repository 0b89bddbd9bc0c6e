"""Letters under way, and the words that name nodes and letters: `gradient 1 w0-2 -> servers`."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import groupby
from typing import Final

from byzsgd.cluster import Cluster, NodeId
from byzsgd.protocol import Gradient, Message, Model, Pull, Whisper
from byzsgd.simulation.trace import crowd, of, short
from tests.simulation.scenario.arithmetic import Numbers, show

CROWD: Final = r"([sw])(\d+)(?:-(\d+))?"
CROWDS: Final = ("servers", "workers", "all")
KINDS: Final[dict[str, type[Message]]] = {
    "model": Model,
    "gradient": Gradient,
    "whisper": Whisper,
    "pull": Pull,
}


@dataclass(frozen=True, eq=False)
class Letter:
    """One message for one receiver. Two are never equal: one may be a copy of the other."""

    sender: NodeId
    receiver: NodeId
    message: Message


@dataclass(frozen=True)
class Address:
    """Which letters: of a kind, of a step and round, from some to some; None is any."""

    kind: type[Message] | None = None
    slot: tuple[int, int] | None = None
    senders: tuple[NodeId, ...] | None = None
    receivers: tuple[NodeId, ...] | None = None

    def fits(self, letter: Letter) -> bool:
        return (
            self.kind in (None, type(letter.message))
            and self.slot in (None, slot(letter.message))
            and (self.senders is None or letter.sender in self.senders)
            and (self.receivers is None or letter.receiver in self.receivers)
        )


def slot(message: Message) -> tuple[int, int]:
    return message.step, message.round if isinstance(message, Model) else 0


@dataclass
class Directory:
    """Reads words. Raises `ValueError` that says what is wrong with them."""

    cluster: Cluster
    strangers: list[NodeId] = field(default_factory=list)

    def nodes(self, words: Sequence[str]) -> tuple[NodeId, ...]:
        if not words:
            raise ValueError("no node is named: write s0, w1-3, servers, workers or all")
        return tuple(node for word in words for node in self._crowd(word))

    def _crowd(self, word: str) -> tuple[NodeId, ...]:
        cluster = self.cluster
        crowds = (cluster.server_ids, cluster.worker_ids, cluster.nodes)
        known = dict(zip(CROWDS, crowds, strict=True))
        return known.get(word) or tuple(self._known(node) for node in named(word))

    def _known(self, node: NodeId) -> NodeId:
        if node not in self.cluster.nodes and node not in self.strangers:
            raise ValueError(f"{short(node)} is not in this cluster: {crowd(self.cluster.nodes)}")
        return node

    def link(self, words: Sequence[str]) -> tuple[tuple[NodeId, ...], tuple[NodeId, ...]]:
        """`SENDERS -> RECEIVERS`."""
        if words.count("->") != 1:
            raise ValueError(f"{' '.join(words)!r} is no link: write SENDERS -> RECEIVERS")
        arrow = words.index("->")
        return self.nodes(words[:arrow]), self.nodes(words[arrow + 1 :])

    def address(self, words: Sequence[str]) -> Address:
        """`[KIND [STEP]] [SENDERS -> RECEIVERS]`."""
        rest = list(words)
        kind = KINDS[rest.pop(0)] if rest and rest[0] in KINDS else None
        slot = numbered(rest.pop(0)) if kind and rest and rest[0][0].isdigit() else None
        senders, receivers = self.link(rest) if rest else (None, None)
        return Address(kind, slot, senders, receivers)


def is_crowd(word: str) -> bool:
    return word in CROWDS or bool(re.fullmatch(CROWD, word))


def named(word: str) -> tuple[NodeId, ...]:
    """The nodes of `s0` or `w1-3`, in this cluster or another."""
    found = re.fullmatch(CROWD, word)
    if not found:
        raise ValueError(f"{word!r} is no node: write s0, w1-3, servers, workers or all")
    role, first, last = found.groups()
    indices = range(int(first), int(last or first) + 1)
    return tuple(NodeId("server" if role == "s" else "worker", index) for index in indices)


def numbered(word: str) -> tuple[int, int]:
    """A step and a round: `2`, or `2.1`."""
    found = re.fullmatch(r"(-?\d+)(?:\.(\d+))?", word)
    if not found:
        raise ValueError(f"{word!r} is no step: write 2, or 2.1 for round 1 of its gather")
    return int(found[1]), int(found[2] or 0)


def vector_of(words: Sequence[str]) -> tuple[Numbers, list[str]]:
    """`(NUMBERS)` and the words that follow it."""
    found = re.fullmatch(r"\(([^)]+)\)(.*)", " ".join(words))
    if not found:
        raise ValueError(f"write a vector like (8) or (8 1), not {' '.join(words)!r}")
    return tuple(float(number) for number in found[1].split()), found[2].split()


def message_of(words: Sequence[str]) -> tuple[Message, Numbers, list[str]]:
    """`KIND STEP (NUMBERS)`, its numbers, and the words that follow it; a pull has no numbers."""
    if len(words) < 2 or words[0] not in KINDS:
        raise ValueError("write it like: say model 2 (100) s4 -> w0-1")
    kind, (step, round_) = KINDS[words[0]], numbered(words[1])
    if kind is Pull:
        return Pull(step), (), list(words[2:])
    vector, rest = vector_of(words[2:])
    if kind is Model:
        return Model(step, vector, round_), vector, rest
    return (Gradient if kind is Gradient else Whisper)(step, vector), vector, rest


def listed(letters: Sequence[Letter], held: Sequence[Letter]) -> list[str]:
    """One line for all that one node says at once, in the words of the trace."""
    lines = []
    runs = groupby(letters, key=lambda one: (one.sender, repr(one.message), one in held))
    for (sender, _, waits), run in runs:
        same = list(run)
        said = f"{of(same[0].message, show)} to {crowd(letter.receiver for letter in same)}"
        lines.append(f"{sender!s:<10} {said}{', held' if waits else ''}")
    return lines
