"""Lines of JSON between the launcher and each process it started, over a pair of sockets."""

import json
import socket
from typing import Any

Word = dict[str, Any]


class Channel:
    """The child's end: blocking, small, and silent when the launcher is gone."""

    def __init__(self, ours: socket.socket) -> None:
        self._socket = ours
        self._lines = ours.makefile("r", encoding="utf-8")

    def say(self, kind: str, **details: Any) -> None:
        try:
            self._socket.sendall(encoded(kind, **details))
        except OSError:
            return  # the launcher is gone, and with it this process in a moment

    def hear(self) -> Word | None:
        """The next word, or None when there will be no more."""
        line = self._lines.readline()
        return json.loads(line) if line else None

    def fileno(self) -> int:
        return self._socket.fileno()


def encoded(kind: str, **details: Any) -> bytes:
    return (json.dumps({"kind": kind, **details}, separators=(",", ":")) + "\n").encode()
