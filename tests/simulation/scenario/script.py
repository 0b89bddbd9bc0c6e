"""Scenarios as text: commands, a line `----`, and what must come of them up to a blank line.

Comments begin with `#` and stand before commands; they and all else but what is expected stay as
they are when a file is rewritten.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from difflib import ndiff
from itertools import takewhile
from pathlib import Path
from typing import Final

RULE: Final = "----"
HOW_TO_REWRITE: Final = (
    "If the new output is what the specification says, write it into the files:\n"
    "    pytest tests/simulation/test_scenarios.py --rewrite"
)


class ScriptError(Exception):
    """A scenario that cannot be played: its author's fault. Names the file and the line."""


@dataclass(frozen=True)
class Command:
    line: int
    words: tuple[str, ...]

    def __str__(self) -> str:
        return " ".join(self.words)


@dataclass(frozen=True)
class Block:
    """`head` are the lines as they stand before the rule, commands among them."""

    head: tuple[str, ...]
    commands: tuple[Command, ...]
    expected: tuple[str, ...]


@dataclass(frozen=True)
class Script:
    path: Path
    blocks: tuple[Block, ...]

    @property
    def story(self) -> str:
        """The comment at the top: what happens, and why it matters."""
        lines = takewhile(lambda line: line.startswith("#"), self.blocks[0].head)
        return " ".join(line.removeprefix("#").strip() for line in lines)


def read(path: Path) -> Script:
    """Raises `ScriptError` for commands that no rule follows."""
    blocks: list[Block] = []
    head: list[tuple[int, str]] = []
    lines = enumerate(path.read_text().splitlines(), start=1)
    for number, line in lines:
        if line == RULE:
            expected = tuple(line for _, line in takewhile(lambda pair: pair[1], lines))
            blocks.append(Block(tuple(line for _, line in head), _commands(head), expected))
            head = []
        else:
            head.append((number, line))
    if not blocks or any(line for _, line in head):
        number = head[0][0] if head else 1
        raise ScriptError(f"{path}:{number}: no line {RULE} follows: what is to come of this?")
    return Script(path, tuple(blocks))


def _commands(head: Iterable[tuple[int, str]]) -> tuple[Command, ...]:
    told = ((number, line) for number, line in head if line and not line.startswith("#"))
    return tuple(Command(number, tuple(line.split())) for number, line in told)


def difference(script: Script, outputs: Sequence[Sequence[str]]) -> str:
    """What is not as it was told, block by block, for people; nothing where all is."""
    told = [
        f"{script.path}:{block.commands[0].line}: something else came of this:\n"
        + "\n".join(f"    {command}" for command in block.commands)
        + f"\n{RULE}\n"
        + "\n".join(line.rstrip() for line in ndiff(block.expected, output) if line[0] != "?")
        for block, output in zip(script.blocks, outputs, strict=True)
        if list(block.expected) != list(output)
    ]
    return "\n\n".join([*told, HOW_TO_REWRITE]) if told else ""


def rewritten(script: Script, outputs: Sequence[Sequence[str]]) -> str:
    """The whole file, with what has come of its commands."""
    blocks = zip(script.blocks, outputs, strict=True)
    return "\n".join(
        "".join(f"{line}\n" for line in (*block.head, RULE, *output)) for block, output in blocks
    )
