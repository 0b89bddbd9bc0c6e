"""What every transport does with its links, whatever carries them."""

from collections import Counter
from collections.abc import Callable, Mapping
from typing import Protocol

from byzsgd.cluster import NodeId


class AnyLink(Protocol):
    """Counts the bytes that it `moved`, and for how long the event loop was busy with it."""

    moved: Counter[str]
    busy_s: float

    def grant(self, floor: int, kept: int) -> None: ...


class Links:
    """A node's `links`, by peer."""

    links: Mapping[NodeId, AnyLink]

    def grant(self, floor: int, kept: Callable[[NodeId], int]) -> None:
        for peer, link in self.links.items():
            link.grant(floor, kept(peer))

    def busy_s(self) -> float:
        return sum(link.busy_s for link in self.links.values())

    def moved(self) -> dict[str, int]:
        """Bytes of headers and vectors sent and received over all links, before encryption."""
        total: Counter[str] = Counter()
        for link in self.links.values():
            total.update(link.moved)
        return {f"bytes_{direction}": total[direction] for direction in ("sent", "received")}

    def by_peer(self) -> dict[str, list[int]]:
        """Bytes sent to and received from each peer."""
        links = self.links.items()
        return {str(peer): [link.moved["sent"], link.moved["received"]] for peer, link in links}
