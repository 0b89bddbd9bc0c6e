"""Quorums as different as they can be without a look at what is in the letters.

The honest of each side stand in a line, and each half of it is a camp: servers and workers of one
camp hear each other, and the far end of the other camp comes late. Whom one camp never hears is
always the same, so what the camps come to differ in has no way back: with the one or the other end
left out in turn, each would now and then hear the whole of the other camp.
"""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

from byzsgd.cluster import Cluster, NodeId
from byzsgd.simulation.scheduler import Letter
from byzsgd.simulation.schedulers.holding import Held

if TYPE_CHECKING:
    from byzsgd.simulation.world import World

STRETCHES: Final = (4, 4, 8)
UNITS_MAX: Final = sum(STRETCHES)


class Split:
    """Of every quorum the lies are part, and as many of the other camp as must be."""

    def __init__(
        self, seed: int, cluster: Cluster, liars: frozenset[NodeId], unit_s: float
    ) -> None:
        self._held = Held(unit_s, *STRETCHES)
        self._cut = frozenset(cut_links(cluster, liars))

    def postpone(self, letter: Letter, world: "World") -> float:
        if (letter.sender, letter.receiver) not in self._cut:
            return 0.0
        return self._held.longer_s(letter, world)


def cut_links(cluster: Cluster, liars: frozenset[NodeId]) -> Iterator[tuple[NodeId, NodeId]]:
    """Sender and receiver of each link over which nothing is to arrive in time."""
    servers = [node for node in cluster.server_ids if node not in liars]
    workers = [node for node in cluster.worker_ids if node not in liars]
    spare_servers = cluster.servers - cluster.q_servers
    spare_workers = cluster.workers - cluster.q_workers
    for receiver in servers:
        yield from _cut(receiver, servers, servers, spare_servers)
        yield from _cut(receiver, servers, workers, spare_workers)
    for receiver in workers:
        yield from _cut(receiver, workers, servers, spare_servers)


def _cut(
    receiver: NodeId, side: list[NodeId], senders: list[NodeId], spare: int
) -> Iterator[tuple[NodeId, NodeId]]:
    """Without the `spare` senders that are farthest along the line from this receiver's camp."""
    others = [sender for sender in senders if sender != receiver]
    far = others[::-1] if camp(receiver, side) == 0 else others
    for sender in far[:spare]:
        yield sender, receiver


def camp(node: NodeId, side: list[NodeId]) -> int:
    """0 or 1: the first or the second half of a side."""
    return int(2 * side.index(node) >= len(side))
