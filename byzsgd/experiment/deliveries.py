"""What a node's machine was told, in order: enough to tell another one the same.

    deliveries/NODE.jsonl    one event a line, as a list:
    ["started", STEP]                              the machine begins
    ["restarted", STEP]                            another process goes on, from what was saved
    ["received", SENDER, MESSAGE, STEP, ROUND]     ROUND is 0 for all but models
    ["computed", EVENT, STEP]                      such as "Updated"
    ["timer", NAME, STEP]

Vectors are not in it, nor times. Whatever led to a word or a model that left the process is in the
file before; what a killed process was told after that may be missing.
"""

import json
from collections import Counter
from pathlib import Path
from typing import Any, TypeAlias

from byzsgd.cluster import NodeId
from byzsgd.errors import ConfigError
from byzsgd.experiment.files import Closing, without_cut_line
from byzsgd.protocol import (
    Done,
    Effect,
    Event,
    Forged,
    Machine,
    Overheard,
    Received,
    Save,
    Send,
    Started,
    TimerFired,
    round_of,
)

Delivery: TypeAlias = tuple[Any, ...]
"""A line of the file."""

LENGTHS = {"started": 2, "restarted": 2, "received": 5, "computed": 3, "timer": 3}


def deliveries_path(run: Path, node: NodeId | str) -> Path:
    return run / "deliveries" / f"{node}.jsonl"


def read_deliveries(run: Path, node: NodeId | str) -> list[Delivery]:
    """Every whole line; none where nothing was recorded. Raises `ConfigError` for a damaged one."""
    path = deliveries_path(run, node)
    if not path.exists():
        return []
    lines = path.read_text(encoding="utf-8", errors="replace").split("\n")
    # what follows the last line break was cut off while it was written
    return [_delivery(f"{path}:{number}", line) for number, line in enumerate(lines[:-1], start=1)]


def delivery(event: Event, step: int, restarted: bool = False) -> Delivery:
    """The line of an event; `step` is the machine's when it was told."""
    match event:
        case Started():
            return ("restarted" if restarted else "started", step)
        case Received(sender, message):
            round_ = round_of(message)
            return ("received", str(sender), type(message).__name__, message.step, round_)
        case TimerFired(name, at):
            return ("timer", name, at)
        case Forged(sends):
            return ("computed", "Forged", sends[0].message.step if sends else step)
        case Overheard():
            raise AssertionError("nobody overhears others in a real run")
        case computed:
            return ("computed", type(computed).__name__, computed.step)


class Deliveries(Closing):
    """The file of one node. What is written stays in memory until `flush` or a full buffer."""

    def __init__(self, path: Path, restarted: bool = False) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        without_cut_line(path)
        self.restarted = restarted
        self._file = path.open("a", buffering=1 << 16, encoding="utf-8")

    def write(self, event: Event, step: int) -> None:
        line = json.dumps(delivery(event, step, self.restarted), separators=(",", ":"))
        self._file.write(line + "\n")

    def flush(self) -> None:
        self._file.flush()

    def close(self) -> None:
        self._file.close()


class Recorded:
    """A machine whose every event is written down before it answers."""

    def __init__(self, machine: Machine, deliveries: Deliveries) -> None:
        self.machine = machine
        self._deliveries = deliveries

    @property
    def step(self) -> int:
        return self.machine.step

    @property
    def phase(self) -> str:
        return self.machine.phase

    @property
    def refused(self) -> Counter[tuple[NodeId, str]]:
        return self.machine.refused

    def kept(self, sender: NodeId) -> int:
        return self.machine.kept(sender)

    def handle(self, event: Event, now: float) -> list[Effect]:
        self._deliveries.write(event, self.machine.step)
        effects = self.machine.handle(event, now)
        if any(isinstance(effect, Send | Save | Done) for effect in effects):
            self._deliveries.flush()  # before anybody can hear of it
        return effects


def _delivery(place: str, line: str) -> Delivery:
    try:
        found = json.loads(line)
    except json.JSONDecodeError as error:
        raise ConfigError(f"{place}: is no JSON: {error}") from None
    if not isinstance(found, list) or not found or LENGTHS.get(found[0]) != len(found):
        raise ConfigError(f"{place}: is no delivery: {line:.80}")
    return tuple(found)
