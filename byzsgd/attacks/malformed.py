"""Words that are no words: what is wrong with each is made where its frames are."""

from typing import Final

from byzsgd.attacks import values
from byzsgd.protocol import FLAWS, Malformed, Pull, Send

KINDS: Final = ("all", *FLAWS)


def malformed(send: Send, *, kind: str = "all") -> list[Send]:
    """Instead of every vector something that its receivers can only refuse and count.

    `kind` is one of `FLAWS`, or "all": one after the other, another at every step. Wishes pass, or
    a lying worker would soon have no model to be malformed about.
    """
    values.one_of("malformed", "kind", kind, KINDS)
    message = send.message
    if isinstance(message, Pull):
        return [send]
    flaw = FLAWS[message.step % len(FLAWS)] if kind == "all" else kind
    return [Send(send.to, Malformed(message.step, flaw))]
