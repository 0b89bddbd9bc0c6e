"""What a server was asked for and cannot show yet."""

from byzsgd.cluster import REPEATED, NodeId


class Pulls:
    """For each worker the newest step that it asked for: one, whatever it asks.

    It is shown a model `REPEATED` times, since the first may be lost, and no more: a pull is short,
    and a model is not.
    """

    def __init__(self) -> None:
        self._wanted: dict[NodeId, int] = {}
        self._shown: dict[NodeId, tuple[int, int]] = {}

    def ask(self, worker: NodeId, step: int) -> None:
        self._wanted[worker] = max(step, self._wanted.get(worker, step))

    def due(self, step: int) -> tuple[NodeId, ...]:
        """Who is to be shown the model of `step` now; they are forgotten."""
        due = sorted(worker for worker, wanted in self._wanted.items() if wanted <= step)
        for worker in due:
            del self._wanted[worker]
        return tuple(worker for worker in due if self._may_see(worker, step))

    def _may_see(self, worker: NodeId, step: int) -> bool:
        shown, times = self._shown.get(worker, (step, 0))
        times = times + 1 if shown == step else 1
        self._shown[worker] = (step, times)
        return times <= REPEATED
