"""What ZeroMQ says of a socket, in plain numbers.

pyzmq's flags are enumerations, and operating on them costs more than the calls they steer.
"""

from typing import Any, Final

import zmq

READABLE: Final = int(zmq.POLLIN)
WRITABLE: Final = int(zmq.POLLOUT)
NOBLOCK: Final = int(zmq.NOBLOCK)
MORE: Final = int(zmq.NOBLOCK | zmq.SNDMORE)
_EVENTS: Final = int(zmq.EVENTS)


def pending(socket: "zmq.Socket[Any]") -> int:
    """What can be done now. Asking also re-arms the file descriptor."""
    return int(socket.get(_EVENTS))
