"""What a node asks of its links, whatever carries them."""

from collections.abc import Callable, Iterable
from typing import Protocol

from byzsgd.cluster import NodeId
from byzsgd.errors import WireError
from byzsgd.protocol import Message
from byzsgd.runtime.parcel import Parcel


class Transport(Protocol):
    """Links to authenticated peers. Nothing here blocks and nothing raises for a peer's fault."""

    def send(self, to: Iterable[NodeId], parcel: Parcel) -> None:
        """Queue a vector for each receiver; a slow one delays nobody.

        The vector's memory is sent as it is, later and without a copy: it must not change any more.
        """

    def grant(self, floor: int, kept: Callable[[NodeId], int]) -> None:
        """The node is at step `floor`: let every peer send as much as there is room for."""

    def busy_s(self) -> float:
        """Seconds that the event loop has spent on links so far, and on what was heard there."""

    def close(self) -> None:
        """Leave no socket and no port behind."""


class Listener(Protocol):
    """What a transport tells its node."""

    def received(self, sender: NodeId, message: Message) -> None: ...
    def refused(self, sender: NodeId, error: WireError) -> None: ...
    def linked(self, peer: NodeId, up: bool) -> None: ...
