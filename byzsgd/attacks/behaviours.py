"""Lies that are no vectors: when to speak, to whom, and about what.

Each turns one honest `Send` into those that are sent instead, a pull as well. No vector is changed;
those that say an old one are in `past`.
"""

from dataclasses import replace
from typing import Final

from byzsgd.attacks import values
from byzsgd.errors import ConfigError
from byzsgd.protocol import Gradient, Message, Pull, Send, vector_of

COPIES_MAX: Final = 1000
DELAY_S_MAX: Final = 3600.0
FLOODED: Final = (-1, 1, 2, 3, 5, 8, 10**9)
"""How many steps before or after its own a flooder speaks of as well."""


def crash(send: Send, *, step: int = 10) -> list[Send]:
    """Helps, and is silent from `step` on: those that it helped may be ahead of all others."""
    values.index("crash", "step", step)
    return [send] if send.message.step < step else []


def desert(send: Send, *, step: int = 5, stagger: int = 2) -> list[Send]:
    """Helps receiver k until `step` + k·`stagger`, and so leaves some behind that others need."""
    values.index("desert", "step", step)
    values.index("desert", "stagger", stagger)
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


def slow(send: Send, *, delay_s: float = 1.0) -> float:
    """Says everything, wishes as well, `delay_s` seconds late: returns how late this word is."""
    values.number("slow", "delay_s", delay_s, least=0)
    if delay_s > DELAY_S_MAX:
        raise values.refusal("slow", "delay_s", delay_s, f"0 to {DELAY_S_MAX:g} seconds")
    return float(delay_s)


def _other(message: Message) -> Message:
    """What a server never says, and a worker has just said."""
    return message if isinstance(message, Pull) else Gradient(message.step, vector_of(message))


def _check(name: str, value: object, most: int) -> None:
    if type(value) is not int or not 1 <= value <= most:
        raise ConfigError(f"{name} = {value!r}: must be a whole number from 1 to {most}")
