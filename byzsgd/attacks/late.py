"""Words that are said some seconds late, in their order."""

from collections import deque
from typing import Final

from byzsgd.protocol import Effect, Send, SetTimer

HELD: Final = "held"
"""The timer of what is next."""
LATE_MAX: Final = 64
"""So many are held at most, and what there is no room for is never said."""


class Late:
    """One timer, for the first that is due: all are held equally long."""

    def __init__(self) -> None:
        self._words: deque[tuple[float, Send]] = deque()

    def hold(self, send: Send, due: float) -> list[Effect]:
        """To be said at `due`."""
        if len(self._words) == LATE_MAX:
            return []
        self._words.append((due, send))
        return self._timer() if len(self._words) == 1 else []

    def release(self, now: float) -> list[Effect]:
        """The timer has run out: at least one is due."""
        said: list[Effect] = [self._words.popleft()[1]] if self._words else []
        while self._words and self._words[0][0] <= now:
            said.append(self._words.popleft()[1])
        return [*said, *self._timer()]

    def _timer(self) -> list[Effect]:
        if not self._words:
            return []
        due, send = self._words[0]
        return [SetTimer(HELD, send.message.step, due)]
