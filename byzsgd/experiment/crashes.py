"""Crashes by plan: kills processes of a local run, and has spares take their places."""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from byzsgd.experiment.ports import Ports
from byzsgd.experiment.processes import Processes
from byzsgd.faults import Crash

Endpoints = Mapping[str, Mapping[str, str]]
"""Of each node where it listens, and for whom."""


class Audience(Protocol):
    """Who decides what it means."""

    def counts(self, name: str) -> bool:
        """Whether the node is still part of the run."""

    def crashed(self, name: str, returns: bool) -> None: ...
    def stays_away(self, name: str) -> None: ...


class Crashes:
    """A node comes back once its time has come and its process has gone, ports and all."""

    def __init__(self, crashes: Sequence[Crash], processes: Processes, audience: Audience) -> None:
        self._crashes = crashes
        self._processes = processes
        self._audience = audience
        self._roster: Mapping[str, Any] = {}
        self._timers: list[asyncio.TimerHandle] = []
        self._awaited: dict[str, set[str]] = {}
        self._ports = Ports()

    def begin(self, loop: asyncio.AbstractEventLoop, began_s: float, endpoints: Endpoints) -> None:
        """Training began, at `began_s` by the loop's clock, with everybody where they listen."""
        self._roster = {"endpoints": endpoints, "began_s": began_s}
        for crash in self._crashes:
            self._timers.append(loop.call_at(began_s + crash.at_s, self._crash, crash))
            if crash.until_s is not None:
                name = str(crash.node)
                timer = loop.call_at(began_s + crash.until_s, self._came, name, "time")
                self._timers.append(timer)

    def close(self) -> None:
        """Nothing more happens."""
        for timer in self._timers:
            timer.cancel()
        self._timers.clear()
        self._ports.close()

    def exited(self, name: str) -> bool:
        """A process ended: whether that was planned."""
        if name not in self._awaited:
            return False
        if self._audience.counts(name):
            self._ports.hold(name, self._roster["endpoints"][name].values())
        self._came(name, "exit")
        return True

    def restarted(self, name: str) -> None:
        """It listens again."""
        self._ports.release(name)

    def _crash(self, crash: Crash) -> None:
        name, returns = str(crash.node), crash.until_s is not None
        if self._audience.counts(name):
            self._awaited[name] = {"exit", "time" if returns else "never"}
            self._processes.kill(name)
            self._audience.crashed(name, returns)

    def _came(self, name: str, what: str) -> None:
        """One of two that must be there before a node can come back."""
        awaited = self._awaited.get(name, set())
        awaited.discard(what)
        if name in self._awaited and not awaited:
            del self._awaited[name]
            self._bring_back(name)

    def _bring_back(self, name: str) -> None:
        """Unless the others have finished without it."""
        if not self._audience.counts(name):
            return
        if not self._processes.restart(name, "roster", **self._roster):
            self._audience.stays_away(name)
