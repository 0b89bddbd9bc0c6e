"""A lane of a slow machine: its work takes as long as it does, and its answers longer."""

import asyncio
import math
import time
from collections import deque
from collections.abc import Callable
from functools import partial

from byzsgd.runtime.lane import Lane, Result


class SlowLane(Lane):
    """Answers come `stretch()` times as late as the work took. Nobody sleeps for that.

    As on a slow machine work waits for the work before it, so the answers keep their order.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        failed: Callable[[BaseException], None],
        stretch: Callable[[], float],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        super().__init__(loop, failed)
        self._stretch = stretch
        self._clock = clock
        self._free_s = -math.inf
        self._answers: deque[tuple[asyncio.TimerHandle, Callable[[], None]]] = deque()

    def submit(self, work: Callable[[], Result], then: Callable[[Result], None]) -> None:
        stretch = self._stretch()

        def timed() -> tuple[Result, float, float]:
            began_s = self._clock()
            return work(), began_s, self._clock()

        def landed(outcome: tuple[Result, float, float]) -> None:
            result, began_s, ended_s = outcome
            took_s = stretch * (ended_s - began_s)
            self._free_s = max(self._free_s, began_s) + took_s
            self._answer(self._free_s - self._clock(), partial(then, result))

        super().submit(timed, landed)

    def close(self) -> None:
        super().close()
        for timer, _ in self._answers:
            timer.cancel()
        self._answers.clear()

    def _answer(self, rest_s: float, answer: Callable[[], None]) -> None:
        if rest_s <= 0 and not self._answers:
            answer()
        else:
            timer = self._loop.call_later(max(0.0, rest_s), self._due)
            self._answers.append((timer, answer))

    def _due(self) -> None:
        """One of the timers: whichever it was, the first answer is next."""
        _, answer = self._answers.popleft()
        answer()
