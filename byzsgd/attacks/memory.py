"""What a liar had to say at earlier steps: some lies are old truths."""

import math
from typing import Final, TypeAlias

from byzsgd.cluster import REPEATED
from byzsgd.protocol import Message, Vector, vector_of

Kind: TypeAlias = type[Message]

WORDS_MAX: Final = 64
"""So many vectors of a kind are held at most: a thousand of a large model fill any memory."""


class Memory:
    """Of each kind of word the vectors of some steps, as far back as anybody asks.

    Of a step with several words, such as the rounds of a gather, it is the last.
    """

    def __init__(self) -> None:
        self._words: dict[Kind, dict[int, Vector]] = {}

    def ago(self, message: Message, lag: int) -> Vector:
        """Remember this word; what was said `lag` steps before it, or the oldest word there is.

        Where nothing is known of just that step it is the newest word before it: of k steps, with
        k = `stride_of(lag)`, one is remembered, so it is at most k − 1 steps older. What nobody can
        ask for again with this `lag` is forgotten.
        """
        words, wanted = self._of_kind(message), message.step - lag
        newest = max(words, default=None)
        if newest is None or message.step == newest or message.step >= newest + stride_of(lag):
            words[message.step] = vector_of(message)
        for old in sorted(step for step in words if step <= wanted - REPEATED)[:-1]:
            del words[old]
        return words[max((step for step in words if step <= wanted), default=min(words))]

    def backup(self, message: Message, step: int) -> Vector:
        """Remember this word if it is of `step`, or before it and newer than the one remembered.

        Returns the one that is remembered: a single one, of a later step only where there is none
        before.
        """
        words = self._of_kind(message)
        if not words or max(words) <= message.step <= step:
            words.clear()
            words[message.step] = vector_of(message)
        [vector] = words.values()
        return vector

    def _of_kind(self, message: Message) -> dict[int, Vector]:
        return self._words.setdefault(type(message), {})


def stride_of(lag: int) -> int:
    """Of how many steps one is remembered for words `lag` steps old: 1 up to a lag of 60."""
    return math.ceil(lag / (WORDS_MAX - 4))
