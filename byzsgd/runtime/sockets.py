"""What ZeroMQ says of a socket."""

from typing import Any

import zmq


def pending(socket: "zmq.Socket[Any]") -> int:
    """What can be done now, POLLIN and POLLOUT. Asking also re-arms the file descriptor."""
    return int(socket.getsockopt(zmq.EVENTS))
