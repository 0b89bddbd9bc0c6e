"""Lies that are no vectors: when to speak, to whom, and about what.

Each turns one honest `Send` into those that are sent instead, a pull as well. No vector is changed;
one that `remembers` may say an old one.
"""

from dataclasses import replace
from typing import Final

from byzsgd.attacks.memory import Memory
from byzsgd.errors import ConfigError
from byzsgd.protocol import Gradient, Message, Pull, Send, vector_of, with_vector

COPIES_MAX: Final = 1000
LAG_MAX: Final = 1000
FLOODED: Final = (-1, 1, 2, 3, 5, 8, 10**9)
"""How many steps before or after its own a flooder speaks of as well."""


def crash(send: Send, *, step: int = 10) -> list[Send]:
    """Helps, and is silent from `step` on: those that it helped may be ahead of all others."""
    return [send] if send.message.step < step else []


def desert(send: Send, *, step: int = 5, stagger: int = 2) -> list[Send]:
    """Helps receiver k until `step` + k·`stagger`, and so leaves some behind that others need."""
    to = tuple(node for node in send.to if send.message.step < step + node.index * stagger)
    return [Send(to, send.message)] if to else []


def flood(send: Send, *, copies: int = 2) -> list[Send]:
    """Fills every buffer it can: at past and future steps, both kinds, `copies` times each."""
    _check("copies", copies, COPIES_MAX)
    message = send.message
    noise = [
        Send(send.to, other)
        for ahead in FLOODED
        for other in (replace(message, step=message.step + ahead), _other(message))
    ]
    return [send, *noise * copies]


def stale(send: Send, memory: Memory, *, lag: int = 10) -> list[Send]:
    """Says what it would have said `lag` steps ago, as though it were of this step."""
    _check("lag", lag, LAG_MAX)
    message = send.message
    if isinstance(message, Pull):
        return [send]
    memory.note(message)
    return [Send(send.to, with_vector(message, memory.ago(message, lag)))]


def _other(message: Message) -> Message:
    """What a server never says, and a worker has just said."""
    return message if isinstance(message, Pull) else Gradient(message.step, vector_of(message))


def _check(name: str, value: object, most: int) -> None:
    if type(value) is not int or not 1 <= value <= most:
        raise ConfigError(f"{name} = {value!r}: must be a whole number from 1 to {most}")
