"""One number for a whole history: equal for two worlds in which the same happened."""

from collections.abc import Callable, Sequence
from hashlib import blake2b
from struct import pack
from typing import Final

from byzsgd.cluster import NodeId
from byzsgd.protocol import Effect, Event, Received, Vector, round_of
from byzsgd.simulation.parts import Rest
from byzsgd.simulation.trace import told
from byzsgd.simulation.watch import Watcher
from byzsgd.simulation.world import World

RECORD: Final = "<dhhhqq"
KINDS: Final = {"Model": 1, "Gradient": 2, "Whisper": 3, "Pull": 6, "Malformed": 7}


class Digest(Watcher):
    """Hashes every event that a machine took in, with its time, and the final models.

    `raw` gives the bytes of a vector.
    """

    def __init__(self, raw: Callable[[Vector], bytes]) -> None:
        self._raw = raw
        self._hash = blake2b(digest_size=32)
        self._number: dict[NodeId, int] = {}

    def handled(self, now: float, node: NodeId, event: Event, effects: Sequence[Effect]) -> None:
        """The time, who, and what; of a message its sender, kind, step and round."""
        if type(event) is Received:
            message = event.message
            kind = KINDS[type(message).__name__]
            round_ = round_of(message)
            who, sender = self._of(node), self._of(event.sender)
            self._hash.update(pack(RECORD, now, who, sender, kind, message.step, round_))
        else:
            self._hash.update(pack("<dh", now, self._of(node)) + told(event).encode())

    def crashed(self, now: float, node: NodeId) -> None:
        self._hash.update(pack("<dh", now, self._of(node)) + b"crashed")

    def ended(self, world: World, rest: Rest) -> None:
        for node in sorted(world.done):
            if node.role == "server":
                self._hash.update(str(node).encode() + self._raw(world.done[node]))

    def hexdigest(self) -> str:
        return self._hash.hexdigest()

    def _of(self, node: NodeId) -> int:
        """A node's number, in the order in which they are met."""
        return self._number.setdefault(node, len(self._number))
