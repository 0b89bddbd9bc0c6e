"""Lies that are old truths, told as though they were new.

Each turns one honest `Send` into those that are sent instead. A wish, which says nothing, passes.
"""

from typing import Final

from byzsgd.attacks import values
from byzsgd.attacks.memory import Memory
from byzsgd.protocol import Pull, Send, with_vector

LAG_MAX: Final = 100_000


def stale(send: Send, memory: Memory, *, lag: int = 10) -> list[Send]:
    """Says what it would have said `lag` steps ago, as though it were of this step.

    Until then it says its first word. With a `lag` above 60 only some steps are remembered, see
    `memory`, and what is said may be up to lag/60 steps older.
    """
    _check_lag("stale", lag)
    return _of_the_past(send, memory, lag)


def delayed(send: Send, memory: Memory, *, lag: int = 1000) -> list[Send]:
    """The delayed gradient: `stale` by 1,000 steps (SafeguardSGD, arXiv 2012.14368, section 5).

    The paper does not say what is sent before there is so old a gradient; here it is the oldest.
    """
    _check_lag("delayed", lag)
    return _of_the_past(send, memory, lag)


def rollback(send: Send, memory: Memory, *, step: int = 0) -> list[Send]:
    """Says its word of `step` for ever: a server that was restored from an old backup.

    Up to `step` it says the truth. Where it said nothing at that step its backup is the newest word
    before it, or else its first word.
    """
    values.index("rollback", "step", step)
    message = send.message
    if isinstance(message, Pull):
        return [send]
    vector = memory.backup(message, step)
    return [send if message.step <= step else Send(send.to, with_vector(message, vector))]


def _of_the_past(send: Send, memory: Memory, lag: int) -> list[Send]:
    message = send.message
    if isinstance(message, Pull):
        return [send]
    return [Send(send.to, with_vector(message, memory.ago(message, lag)))]


def _check_lag(attack: str, lag: object) -> None:
    if type(lag) is not int or not 1 <= lag <= LAG_MAX:
        allowed = f"a whole number of steps from 1 to {LAG_MAX}"
        raise values.refusal(attack, "lag", lag, allowed)
