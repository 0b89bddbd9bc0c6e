"""Whether a worker believes the one model that it pulled (arXiv 1905.03853, synchronous variant).

Two filters, on three scalars. Lipschitz: the gradient changes no faster with the model than it
mostly did. Outliers: the model is no farther from the worker's own guess than an honest one can be.
The first alone would believe a model that was scaled, the second one that is a little off.

No public code runs these filters as published, and of their constants only the formulas are known:
what is ours is named here, and nowhere else.
"""

import math
from collections import deque
from typing import Final, Literal

from byzsgd.cluster import Cluster, Plan
from byzsgd.protocol.events import Change

PAST_MAX: Final = 200
"""Ours: so many of the newest coefficients are looked back at. The paper keeps all."""
PAST_LEAST: Final = 10
"""Ours: with fewer a quantile says nothing, and every model passes the Lipschitz filter."""
PULLS_SPARE: Final = 2
"""Ours: a worker has time to ask so many servers more than f_ps + 1 before a round is over.

So a share 1 / (f_ps + 3) of the deadline is what it waits for one before it asks another: it may
meet f_ps that are silent, and still compute its gradient in time.
"""

Verdict = Literal["accepted", "lipschitz", "outlier", "not finite"]


class Filters:
    """The filters of one worker, which remember."""

    def __init__(self, cluster: Cluster, plan: Plan) -> None:
        self._cluster = cluster
        self._period = plan.gather_every
        self._past: deque[float] = deque(maxlen=PAST_MAX)
        self._reach = math.inf

    def judge(self, step: int, change: Change, after_quorum: bool) -> Verdict:
        """What to make of a model of `step`, pulled from one server.

        `after_quorum` says that the step before was computed at a quorum's median: its stride
        η_G ‖g_G‖ is what distances are measured by until the next one. With f_ps = 0 every server
        is trusted. Every coefficient is remembered, also a rejected one's: with those that were
        accepted only, the threshold would sink with every honest model that is rejected.
        """
        if not all(map(math.isfinite, (change.model, change.gradient, change.stride))):
            return "not finite"
        if after_quorum:
            self._reach = change.stride
        if self._cluster.f_servers == 0:
            return "accepted"
        threshold, coefficient = self._threshold(), lipschitz(change)
        self._past.append(coefficient)
        if coefficient > threshold:
            return "lipschitz"
        limit = spread(self._cluster, self._period, step)
        far = limit < math.inf and change.model > self._reach * limit
        return "outlier" if far else "accepted"

    def _threshold(self) -> float:
        """The (n_ps − f_ps) / n_ps quantile of the past coefficients."""
        if len(self._past) < PAST_LEAST:
            return math.inf
        n, f = self._cluster.servers, self._cluster.f_servers
        return sorted(self._past)[math.ceil(len(self._past) * (n - f) / n) - 1]


def pull_share(cluster: Cluster) -> float:
    """The part of a round's deadline that a worker waits for one server."""
    return 1 / (cluster.f_servers + 1 + PULLS_SPARE)


def lipschitz(change: Change) -> float:
    """K = ‖g − g′‖ / ‖θˡ − θ′‖. Where nothing was to move, any other gradient is infinitely off."""
    if change.stride == 0:
        return 0.0 if change.gradient == 0 else math.inf
    return change.gradient / change.stride


def spread(cluster: Cluster, period: int, step: int) -> float:
    """How far from a worker's guess an honest model can be, in strides of the last gather.

    (3T + 2)(n_w − f_w) / (4 f_w) + 2 ((t − 1) mod T). The paper counts steps from 1: t is the one
    whose update made this model, our `step`. So the room is least right after a gather, when the
    replicas are closest, and grows until the next. With f_w = 0 the paper has no bound, and there
    is none.
    """
    n, f = cluster.workers, cluster.f_workers
    if f == 0:
        return math.inf
    return (3 * period + 2) * (n - f) / (4 * f) + 2 * ((step - 1) % period)
