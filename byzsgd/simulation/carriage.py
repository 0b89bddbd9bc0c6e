"""Messages through the wire: what a receiver gets was encoded, cut, copied and put together again.

So what a vector loses on the wire it loses here too, and nobody shares memory with anybody: a
sender that went on writing to what it has said would be found out.
"""

from byzsgd.cluster import NodeId
from byzsgd.errors import WireError
from byzsgd.protocol import Malformed, Message, Pull, round_of, vector_of
from byzsgd.wire import (
    KINDS,
    Assembly,
    Credit,
    Layout,
    Part,
    bytes_of,
    decode,
    encode,
    frames_of,
)

_NO_CREDIT = Credit(0, 0, 0)


class Wire:
    """Carries messages of one layout; None for what a receiver would refuse."""

    def __init__(self, layout: Layout) -> None:
        self._layout = layout
        self._last: tuple[Message, list[tuple[bytes, memoryview]]] | None = None

    def __call__(self, sender: NodeId, receiver: NodeId, message: Message) -> Message | None:
        if isinstance(message, Pull | Malformed):
            return message  # of what is malformed it is the machine that refuses it
        assembly = Assembly(self._layout)
        heard: Message | None = None
        try:
            for head, body in self._frames(message):
                part = decode(head)
                assert isinstance(part, Part), part
                heard = assembly.feed(part, bytes_of(body))
        except WireError:
            return None
        return heard

    def _frames(self, message: Message) -> list[tuple[bytes, memoryview]]:
        """Encoded once for all receivers of one word, as a node does."""
        if self._last is None or self._last[0] is not message:
            bodies = frames_of(vector_of(message), self._layout)
            heads = [encode(_part(message, index)) for index in range(len(bodies))]
            self._last = (message, list(zip(heads, bodies, strict=True)))
        return self._last[1]


def _part(message: Message, index: int) -> Part:
    return Part(KINDS[type(message)], 0, message.step, round_of(message), index, _NO_CREDIT)
