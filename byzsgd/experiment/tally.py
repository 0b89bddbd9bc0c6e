"""What the states of a run's nodes add up to. Who is dead counts nowhere."""

from collections.abc import Mapping
from statistics import fmean, median_low

from byzsgd.cluster import NodeId, Role
from byzsgd.experiment.config import Experiment
from byzsgd.experiment.progress import NodeProgress


class Tally:
    """Of the `nodes` as they are whenever it is asked."""

    def __init__(self, experiment: Experiment, nodes: Mapping[str, NodeProgress]) -> None:
        self._experiment = experiment
        self._nodes = nodes

    def honest(self, role: Role | None = None) -> list[NodeProgress]:
        """The honest nodes that live, of one side or of both."""
        return [
            self._nodes[str(node)]
            for node in self._experiment.honest
            if role in (None, node.role) and self._nodes[str(node)].state != "dead"
        ]

    def step(self) -> int:
        """Of the honest servers in the middle; 0 where there are none."""
        steps = [server.step for server in self.honest("server")]
        return median_low(steps) if steps else 0

    def loss(self) -> float | None:
        losses = [worker.loss for worker in self.honest("worker") if worker.loss is not None]
        return fmean(losses) if losses else None

    def all_done(self) -> bool:
        """Whether every honest node that lives has done its last step."""
        honest = self.honest()
        return bool(honest) and all(node.state == "done" for node in honest)

    def stands(self) -> bool:
        """Whether so many servers are done that a liar among them could not have the last word.

        Without an honest server there is no result that could stand.
        """
        servers = self.honest("server")
        done = sum(server.state == "done" for server in servers)
        return 0 < min(self._experiment.cluster.rejoin_quorum, len(servers)) <= done

    def missing(self) -> str | None:
        """Of which side too few live, liars and all, for anybody to go on."""
        cluster = self._experiment.cluster
        for role, least in (("server", cluster.q_servers), ("worker", cluster.q_workers)):
            left = sum(
                node.state != "dead" and NodeId.parse(name).role == role
                for name, node in self._nodes.items()
            )
            if left < least:
                return f"{least} {role}s are needed: {left} are left"
        return None

    def dead(self) -> list[str]:
        return [name for name, node in self._nodes.items() if node.state == "dead"]
