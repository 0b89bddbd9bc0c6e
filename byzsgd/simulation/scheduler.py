"""Who decides the order of delivery. In an asynchronous network that is the adversary.

A letter arrives when the network says so, unless a scheduler holds it back: it is asked when the
letter is due, and again after the time that it said. Nobody else's letters wait for that one.
"""

from typing import TYPE_CHECKING, Protocol

from byzsgd.cluster import NodeId
from byzsgd.protocol import Message

if TYPE_CHECKING:
    from byzsgd.simulation.world import World


class Letter:
    """One message on its way to one receiver.

    It left its sender at `left_s`; `postponed` is how often it was held back. Once it is `taken_in`
    the receiver is busy with it.
    """

    __slots__ = ("left_s", "message", "postponed", "receiver", "sender", "taken_in")

    def __init__(
        self, sender: NodeId, receiver: NodeId, message: Message, left_s: float = 0.0
    ) -> None:
        self.sender, self.receiver, self.message = sender, receiver, message
        self.left_s = left_s
        self.postponed = 0
        self.taken_in = False


class Scheduler(Protocol):
    def postpone(self, letter: Letter, world: "World") -> float:
        """Seconds to hold the letter back, 0 to deliver it now.

        It may look at everything in the world. It must let every letter go in the end: the
        adversary cannot block a link for ever.
        """
