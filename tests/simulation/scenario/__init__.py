"""Scenarios: real machines, driven by a text file that says what is delivered and when.

    cluster servers=5 workers=4 …   numbers of `Cluster` and of `Plan`, and of the descent on
                                    |x − target|² / 2: rate=0.5, and initial=8 or initial=8,1
    target (NUMBERS) NODES          where the gradients of these workers lead; else to 0
    liars NODES [ATTACK OPTION=…]   without an attack they say what `say` says, and nothing else
    strangers NODES                 nodes of another cluster, that `say` may speak for
    start                           everybody, at once
    say KIND STEP (NUMBERS) LINK    a liar's own words, in flight like any others
    deliver | drop | duplicate | hold | release [KIND [STEP]] [LINK]
    until STEP                      deliver what leads to that step, and nothing beyond
    finish                          deliver all, and let patience run out, until nobody moves
    slow | compute NODES            the slow compute only when told to
    timer [patience | pull | deadline] NODES
    crash | restart | show NODES
    letters [KIND [STEP]] [LINK]    what is under way
    quietly COMMAND                 the same, and nothing is told of it
    where | spread                  who is at which step; how far models are apart
    check box | mda                 what the theory promises, of all that was computed so far

In mode=sync a KIND is a pull, too: `say pull STEP LINK`.

A LINK is `s0-1 w2 -> servers`, and a STEP 2, or 2.1 for round 1 of a gather. `deliver` takes what
is under way now, in the order in which it was said, and tells what it did and what was refused;
what was only kept is counted. `hold` also holds what is said later.
"""

from byzsgd.errors import ConfigError
from tests.simulation.scenario.commands import COMMANDS, obey
from tests.simulation.scenario.scene import Scene
from tests.simulation.scenario.script import (
    Command,
    Script,
    ScriptError,
    difference,
    read,
    rewritten,
)

__all__ = ["COMMANDS", "ScriptError", "difference", "play", "read", "rewritten"]


def play(script: Script) -> list[list[str]]:
    """What comes of each block. Raises `ScriptError` for what cannot be played."""
    scene = Scene()
    return [
        [line for command in block.commands for line in _told(scene, script, command)]
        for block in script.blocks
    ]


def _told(scene: Scene, script: Script, command: Command) -> list[str]:
    verb, *words = command.words
    place = f"{script.path}:{command.line}: {command}"
    try:
        return obey(scene, verb, words)
    except (ValueError, ConfigError) as error:
        raise ScriptError(f"{place}: {error}") from error
    except AssertionError as error:
        error.add_note(f"at {place}")
        raise
