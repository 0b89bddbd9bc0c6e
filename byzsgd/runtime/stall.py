"""How long the event loop was away, at worst."""

import asyncio
from typing import Final

TICK_S: Final = 0.002


class StallMeter:
    """A ticker; `longest_s` is the longest time that a tick came late."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.longest_s = 0.0
        self._loop = loop
        self._due = loop.time() + TICK_S
        self._handle = loop.call_at(self._due, self._tick)

    def stop(self) -> None:
        self._handle.cancel()

    def _tick(self) -> None:
        now = self._loop.time()
        self.longest_s = max(self.longest_s, now - self._due)
        self._due = now + TICK_S
        self._handle = self._loop.call_at(self._due, self._tick)
