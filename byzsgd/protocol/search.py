"""Which server a worker pulls from: one after the other until one is believed."""

from byzsgd.cluster import Cluster, NodeId, Plan
from byzsgd.protocol.filters import pull_share
from byzsgd.protocol.messages import Vector
from byzsgd.protocol.quorum import Quorum


class Search:
    """The servers that one worker asks for their model of one step.

    It begins with server (r + step) mod n_ps, one further for each that was of no use; r is the
    worker's index, which deals the workers out evenly. Among f_ps + 1 one is correct.

    The first of a step is asked before its round is over, and all rounds last until their deadline
    where one worker is silent. So it is waited for as long as it took to answer the last time, and
    a share of the deadline; who did not answer then, or is asked later, for that share.
    """

    def __init__(self, me: NodeId, cluster: Cluster, plan: Plan) -> None:
        self._servers = cluster.server_ids
        self._tries_max = cluster.f_servers + 1
        self._deadline_s = plan.deadline_s
        self._share_s = pull_share(cluster) * plan.deadline_s
        self._first = me.index
        self._step = 0
        self._dismissed: set[NodeId] = set()
        self._since: dict[NodeId, tuple[int, float]] = {}
        self._took_s: dict[NodeId, float] = {}
        self.asked: list[NodeId] = []

    @property
    def last(self) -> NodeId:
        """Who was asked last."""
        return self.asked[-1]

    def begin(self, step: int) -> None:
        self._step = step
        self.asked.clear()
        self._dismissed.clear()

    def next(self, now: float) -> tuple[NodeId, float] | None:
        """The next to ask, and until when; None when a quorum has to decide."""
        tries = len(self.asked)
        if tries == self._tries_max:
            return None
        server = self._servers[(self._first + self._step + tries) % len(self._servers)]
        self.asked.append(server)
        if tries:
            return server, now + self._share_s
        self._since[server] = (self._step, now)
        return server, now + self._took_s.get(server, 0.0) + self._share_s

    def heard(self, server: NodeId, step: int, now: float) -> None:
        """Remember how long it took to answer; of a late answer as well."""
        asked_for, since = self._since.get(server, (step + 1, now))
        if asked_for <= step:
            self._took_s[server] = min(now - since, self._deadline_s)
            del self._since[server]

    def gave_up(self, server: NodeId) -> None:
        """It has not answered in time: until it does it is not waited for longer than others.

        Of who was asked later it says nothing, since that one was given less time.
        """
        if server == self.asked[0]:
            self._took_s.pop(server, None)

    def dismiss(self, server: NodeId) -> None:
        self._dismissed.add(server)

    def found(self, models: Quorum[int]) -> tuple[NodeId, Vector] | None:
        """The first asked that has answered and was not dismissed; a late answer is as good."""
        for server in self.asked:
            vector = models.of(server, self._step)
            if vector is not None and server not in self._dismissed:
                return server, vector
        return None
