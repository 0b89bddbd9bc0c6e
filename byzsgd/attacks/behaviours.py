"""Lies that are no vectors: when to speak, to whom, and about what.

Each turns one honest `Send` into those that are sent instead. The vectors stay as they are.
"""

from dataclasses import replace
from typing import Final

from byzsgd.errors import ConfigError
from byzsgd.protocol import Gradient, Model, Send

COPIES_MAX: Final = 1000
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
    if type(copies) is not int or not 1 <= copies <= COPIES_MAX:
        raise ConfigError(f"copies = {copies!r}: must be a whole number from 1 to {COPIES_MAX}")
    message = send.message
    vector = message.params if isinstance(message, Model) else message.vector
    noise = [
        Send(send.to, other)
        for ahead in FLOODED
        for other in (replace(message, step=message.step + ahead), _other(message.step, vector))
    ]
    return [send, *noise * copies]


def _other(step: int, vector: object) -> Gradient:
    """What a server never says, and a worker has just said."""
    return Gradient(step, vector)
