"""What a liar puts on its links instead of words: one wire message each, made to be refused.

Only lying nodes of an experiment make these, and nothing here is known to whoever receives them.
"""

import hashlib
from dataclasses import replace
from typing import Final

from byzsgd.protocol import Malformed
from byzsgd.runtime.parcel import Parcel
from byzsgd.wire import Buffer, Layout, Part, encode

SPENDING: Final = frozenset({"short", "long"})
"""Flaws that are found only once the receiver has taken credit for a vector."""
UNKNOWN_KIND: Final = 250
STEP_MAX: Final = 1 << 60
NO_MSGPACK: Final = b"\xc1"
"""A byte that begins nothing in msgpack."""
MISFIT_BYTES: Final = 4


def flawed(word: Malformed, kind: int, layout: Layout) -> Parcel:
    """What is shipped for it. A word that needs bytes at all has zeros."""
    return Parcel(kind, word.step, 0, _bodies(word.flaw, layout), word.flaw)


def head_of(flaw: str, part: Part) -> bytes:
    """The header of a flawed word that would otherwise be `part`."""
    match flaw:
        case "kind":
            return encode(replace(part, kind=UNKNOWN_KIND))
        case "step":
            return encode(replace(part, step=STEP_MAX if part.step % 2 else -1))
        case "order":
            return encode(replace(part, index=part.index + 1))
        case "header":
            return NO_MSGPACK + hashlib.blake2b(str(part.step).encode()).digest()
    return encode(part)


def _bodies(flaw: str, layout: Layout) -> list[Buffer]:
    """As a vector's: chunks that only one transport sends all of. The first has the flaw."""
    lengths = [layout.length(index) for index in range(layout.chunks)]
    match flaw:
        case "short":
            lengths[0] -= min(MISFIT_BYTES, lengths[0] - 1)
        case "long":
            lengths[0] += MISFIT_BYTES
        case "order":
            pass
        case _:
            return []
    return [memoryview(bytes(length)) for length in lengths]
