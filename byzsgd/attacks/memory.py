"""What a liar had to say at earlier steps: some lies are old truths."""

from typing import TypeAlias

from byzsgd.cluster import REPEATED
from byzsgd.protocol import Message, Vector, vector_of

Kind: TypeAlias = type[Message]


class Memory:
    """Of each kind of word the vector of each step, as far back as anybody asks.

    Of a step with several words, such as the rounds of a gather, it is the last.
    """

    def __init__(self) -> None:
        self._words: dict[Kind, dict[int, Vector]] = {}

    def note(self, message: Message) -> None:
        """Remember an honest word."""
        self._words.setdefault(type(message), {})[message.step] = vector_of(message)

    def ago(self, message: Message, lag: int) -> Vector:
        """What was said `lag` steps before this one, or the oldest word there is.

        Where nothing was said at just that step it is the newest word before it. What nobody can
        ask for again with this `lag` is forgotten.
        """
        words, wanted = self._words[type(message)], message.step - lag
        for old in sorted(step for step in words if step <= wanted - REPEATED)[:-1]:
            del words[old]
        return words[max((step for step in words if step <= wanted), default=min(words))]
