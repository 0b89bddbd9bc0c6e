"""What waits to be sent to one peer: vectors, which go chunk by chunk, and a wish."""

from collections import Counter, deque
from typing import Final

from byzsgd.protocol import Whisper
from byzsgd.runtime.parcel import Parcel
from byzsgd.wire import KINDS

WHISPER: Final = KINDS[Whisper]


class Outbox:
    """Room for `window` vectors, and beside them for `relays` whispers of a lying server.

    A full one loses its oldest: a peer so far behind cannot use it. What was lost counts in
    `dropped`. Of whispers a server relays one for each gradient that it gets, so they have a room
    of their own and go last: else they would displace its models.
    """

    def __init__(self, window: int, relays: int, dropped: Counter[str]) -> None:
        self._window = window
        self._relays = relays
        self._dropped = dropped
        self._words: deque[Parcel] = deque()
        self._relayed: deque[Parcel] = deque()
        self._pull: Parcel | None = None
        self._begun: deque[Parcel] | None = None
        self._index = 0

    @property
    def under_way(self) -> bool:
        """Whether some of a vector's chunks are sent, and not all."""
        return self._begun is not None

    def put(self, parcel: Parcel) -> None:
        """Queue a vector; what still waits to be sent is not queued twice.

        A pull takes no room and is never stale: whoever is far ahead answers with what it has.
        """
        if not parcel.bodies:
            self._pull = parcel  # an older wish is of no use any more
            return
        relayed = self._relays > 0 and parcel.kind == WHISPER
        queue, room = (self._relayed, self._relays) if relayed else (self._words, self._window)
        if any(parcel.key == waiting.key for waiting in queue):
            return
        queue.append(parcel)
        begun = int(queue is self._begun)
        if len(queue) > begun + room:
            del queue[begun]
            self._dropped["overflow"] += 1

    def next(self, floor: int, credit: int) -> tuple[Parcel, int] | None:
        """What goes now, a pull or the chunk of a vector, to a peer at step `floor`.

        It may be sent `credit` more. What this returns counts as sent.
        """
        if self._begun is None:
            self._drop_stale(floor)
            if credit > 0 and self._pull:
                pull, self._pull = self._pull, None
                return pull, 0
            self._begun = self._following(credit)
        return self._chunk(self._begun) if self._begun is not None else None

    def start_over(self) -> None:
        """The vector that has begun, if one has, goes from its first chunk on."""
        self._begun = None
        self._index = 0

    def _following(self, credit: int) -> deque[Parcel] | None:
        """The queue whose turn it is. Relays leave credit for a window of words."""
        if self._words and credit > 0:
            return self._words
        return self._relayed if self._relayed and credit > self._window else None

    def _chunk(self, queue: deque[Parcel]) -> tuple[Parcel, int]:
        parcel, index = queue[0], self._index
        self._index += 1
        if self._index == len(parcel.bodies):
            queue.popleft()
            self.start_over()
        return parcel, index

    def _drop_stale(self, floor: int) -> None:
        """Words that come too late; relays do not, liars lie with what was said the step before."""
        while self._words and self._words[0].step < floor:
            self._words.popleft()
            self._dropped["stale"] += 1
