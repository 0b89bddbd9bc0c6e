"""What each command of a scenario does. Each raises `ValueError` if it makes no sense."""

from collections.abc import Callable
from dataclasses import replace
from typing import Final, TypeAlias

from byzsgd.protocol import Model
from tests.simulation.scenario import telling
from tests.simulation.scenario.post import Letter, listed, message_of, numbered
from tests.simulation.scenario.scene import (
    Scene,
    Words,
    cluster,
    liars,
    start,
    strangers,
    target,
)

NOTHING: Final = "nothing"
TIMERS: Final = ("patience", "pull", "deadline")
ROUNDS_IN_VAIN: Final = 3
"""How often patience runs out at everybody, and nobody moves, before `finish` gives up."""


def obey(scene: Scene, verb: str, words: Words) -> list[str]:
    """One command, and what is told of it."""
    if verb not in COMMANDS:
        raise ValueError(f"there is no command {verb!r}, only {', '.join(COMMANDS)}")
    command = COMMANDS[verb]
    if (command is cluster) == scene.is_set_up:
        raise ValueError("a scenario has one command cluster, and begins with it")
    if command in BEFORE_START and scene.has_started:
        raise ValueError("too late, it has started")
    if command not in (*BEFORE_START, *ANY_TIME) and not scene.has_started:
        raise ValueError("start comes first")
    if command in WORDLESS and words:
        raise ValueError("write nothing after it")
    told = command(scene, words)
    return [*scene.teller.told(), *told]


def quietly(scene: Scene, words: Words) -> list[str]:
    if not words:
        raise ValueError("write a command after it")
    obey(scene, words[0], words[1:])
    return []


# -- letters -------------------------------------------------------------------------------------


def say(scene: Scene, words: Words) -> list[str]:
    message, vector, rest = message_of(words)
    if vector:
        scene.fitting(vector)
    senders, receivers = scene.directory.link(rest)
    for sender in senders:
        if sender in scene.stage.honest:
            raise ValueError(f"{sender} is honest, and speaks for itself")
        to = [node for node in receivers if node != sender]
        scene.stage.letters += [Letter(sender, receiver, message) for receiver in to]
    return []


def deliver(scene: Scene, words: Words) -> list[str]:
    found = scene.stage.ready(scene.directory.address(words))
    lost = scene.stage.deliver(found)
    return [f"lost {lost}: nobody is there"] if lost else [] if found else [NOTHING]


def drop(scene: Scene, words: Words) -> list[str]:
    gone = scene.found(words)
    scene.stage.letters = [one for one in scene.stage.letters if one not in gone]
    return [f"lost {len(gone)}"]


def duplicate(scene: Scene, words: Words) -> list[str]:
    found = scene.found(words)
    scene.stage.letters += [replace(one) for one in found]
    return [f"twice {len(found)}"]


def hold(scene: Scene, words: Words) -> list[str]:
    scene.stage.holds.append(scene.directory.address(words))
    return []


def release(scene: Scene, words: Words) -> list[str]:
    address = scene.directory.address(words)
    if address not in scene.stage.holds:
        raise ValueError("nothing is held by these words")
    scene.stage.holds.remove(address)
    return []


def letters(scene: Scene, words: Words) -> list[str]:
    free = scene.stage.ready()
    held = [one for one in scene.stage.letters if one not in free]
    return listed(scene.found(words), held) or [NOTHING]


def until(scene: Scene, words: Words) -> list[str]:
    if len(words) != 1:
        raise ValueError("write one step after it")
    step, _ = numbered(words[0])
    while ready := [one for one in scene.stage.ready() if _leads_to(step, one)]:
        scene.stage.deliver(ready[:1])
    return scene.positions()


def _leads_to(step: int, letter: Letter) -> bool:
    """Models that servers show each other in a gather are of the step it leads to."""
    gathers = letter.receiver.role == "server" and isinstance(letter.message, Model)
    return letter.message.step < step + gathers


def finish(scene: Scene, words: Words) -> list[str]:
    stage, vain = scene.stage, 0
    stage.deliver_all()
    while not stage.done and vain < ROUNDS_IN_VAIN:
        before = telling.where(stage)
        for node, name in list(stage.timers):
            stage.run_out(node, name)
        stage.deliver_all()
        vain = vain + 1 if telling.where(stage) == before else 0
    return [*scene.positions(), *([] if stage.done else ["nobody gets any further"])]


# -- nodes ---------------------------------------------------------------------------------------


def slow(scene: Scene, words: Words) -> list[str]:
    scene.stage.slow += scene.nodes(words, scene.stage.honest, "is a liar")
    return []


def compute(scene: Scene, words: Words) -> list[str]:
    for node in scene.nodes(words, scene.stage.computing, "computes nothing"):
        scene.stage.compute(node)
    return []


def timer(scene: Scene, words: Words) -> list[str]:
    name, rest = (words[0], words[1:]) if words and words[0] in TIMERS else (TIMERS[0], words)
    having = [node for node, of in scene.stage.timers if of == name]
    for node in scene.nodes(rest, having, "has no timer"):
        scene.stage.run_out(node, name)
    return []


def crash(scene: Scene, words: Words) -> list[str]:
    for node in scene.nodes(words, scene.stage.up, "is not up"):
        scene.stage.crash(node)
    return []


def restart(scene: Scene, words: Words) -> list[str]:
    for node in scene.nodes(words, scene.stage.down, "is not down"):
        scene.stage.restart(node)
    return []


def show(scene: Scene, words: Words) -> list[str]:
    nodes = scene.nodes(words, scene.stage.machines, "is only a voice")
    return [telling.shown(scene.stage, node) for node in nodes]


def where(scene: Scene, words: Words) -> list[str]:
    return telling.where(scene.stage)


def spread(scene: Scene, words: Words) -> list[str]:
    return [telling.spread(scene.stage)]


def check(scene: Scene, words: Words) -> list[str]:
    return [line for word in words for line in scene.breaches.verdict(word)]


Does: TypeAlias = Callable[[Scene, Words], list[str]]

BEFORE_START: Final[tuple[Does, ...]] = (cluster, target, liars, strangers, start)
ANY_TIME: Final[tuple[Does, ...]] = (say, drop, duplicate, hold, release, letters, slow, quietly)
AFTER_START: Final[tuple[Does, ...]] = (
    deliver,
    until,
    finish,
    compute,
    timer,
    crash,
    restart,
    show,
    where,
    spread,
    check,
)
WORDLESS: Final[tuple[Does, ...]] = (start, finish, where, spread)
COMMANDS: Final = {
    command.__name__: command for command in (*BEFORE_START, *ANY_TIME, *AFTER_START)
}
