"""How a file names nodes: one, `server-0`, or several, `"worker-0..2"`, both ends included."""

import re
from collections.abc import Iterable, Sequence
from typing import Final

from byzsgd.cluster import Cluster, NodeId, Role
from byzsgd.errors import ConfigError

_NODES: Final = re.compile(
    r"(?P<role>server|worker)-(?P<first>\d{1,9})(?:\.\.(?P<last>\d{1,9}))?", re.ASCII
)


def nodes_of(pattern: str, cluster: Cluster) -> list[NodeId]:
    """The nodes of one pattern. Raises `ConfigError`, whose text follows the pattern."""
    match = _NODES.fullmatch(pattern)
    if not match:
        raise ConfigError('is no node: write server-0, worker-3 or, for several, "worker-0..1"')
    role: Role = "server" if match["role"] == "server" else "worker"
    first, last = int(match["first"]), int(match["last"] or match["first"])
    if last < first:
        raise ConfigError(
            f"is an empty range: write the lower number first, {role}-{last}..{first}"
        )
    count = cluster.servers if role == "server" else cluster.workers
    if last >= count:
        raise ConfigError(f"is not in the cluster, which has {role}-0 to {role}-{count - 1}")
    return [NodeId(role, index) for index in range(first, last + 1)]


def all_of(patterns: Sequence[str], cluster: Cluster) -> tuple[NodeId, ...]:
    """The nodes of several patterns, of which each may be a whole side, or "all", too."""
    found: dict[NodeId, None] = {}
    for pattern in patterns:
        try:
            found |= dict.fromkeys(_side_or_nodes(pattern, cluster))
        except ConfigError as error:
            where = f'"{pattern}" ' if len(patterns) > 1 else ""
            raise ConfigError(f"{where}{error}") from None
    return tuple(found)


def patterns_of(nodes: Iterable[NodeId]) -> tuple[str, ...]:
    """As few patterns as can be for these nodes, one list for one set of them."""
    runs: list[list[NodeId]] = []
    for node in sorted(nodes):
        if runs and node == (runs[-1][-1].role, runs[-1][-1].index + 1):
            runs[-1].append(node)
        else:
            runs.append([node])
    return tuple(str(run[0]) if len(run) == 1 else f"{run[0]}..{run[-1].index}" for run in runs)


def _side_or_nodes(pattern: str, cluster: Cluster) -> Sequence[NodeId]:
    sides = {"servers": cluster.server_ids, "workers": cluster.worker_ids, "all": cluster.nodes}
    if pattern in sides:
        return sides[pattern]
    if not _NODES.fullmatch(pattern):
        raise ConfigError('is no node: write server-0, "worker-0..2", servers, workers or all')
    return nodes_of(pattern, cluster)
