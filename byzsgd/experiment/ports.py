"""The ports of a node that is down, kept for it: nobody else is given them meanwhile."""

import socket
from collections.abc import Iterable
from contextlib import suppress


class Ports:
    """Holds ports without listening, which whoever reuses addresses, as libzmq does, may then do.

    Between a process and this, somebody may be quicker: then the node cannot come back.
    """

    def __init__(self) -> None:
        self._held: dict[str, list[socket.socket]] = {}

    def hold(self, name: str, endpoints: Iterable[str]) -> None:
        """Keep these `tcp://HOST:PORT` for the node `name`."""
        for endpoint in endpoints:
            host, _, port = endpoint.removeprefix("tcp://").rpartition(":")
            held = socket.socket()
            self._held.setdefault(name, []).append(held)
            held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            with suppress(OSError):
                held.bind((host, int(port)))

    def release(self, name: str) -> None:
        for held in self._held.pop(name, []):
            held.close()

    def close(self) -> None:
        for name in list(self._held):
            self.release(name)
