"""What an experiment asks of the network and of its machines, before anything is started."""

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any, Final

from byzsgd.cluster import REPEATED, Cluster, Plan, Role
from byzsgd.errors import ConfigError
from byzsgd.experiment.config import Experiment

PROCESS_RSS_BYTES: Final = 260_000_000
"""What a process with Python, torch and numba takes before it holds a vector, as `ps` shows it."""
PROCESS_PRIVATE_BYTES: Final = 35_000_000
"""Of that, what is not shared with the other nodes on one machine."""
SPARE_ROWS: Final = 4
"""Rows of float32 that a node works with besides its quorum: model, gradient, result, spare."""


@dataclass(frozen=True)
class SidePlan:
    """The servers' or the workers' numbers, with what would be allowed for this many nodes."""

    role: Role
    nodes: int
    f: int
    f_max: int
    quorum: int
    quorum_min: int
    quorum_max: int
    liars: dict[str, str]


@dataclass(frozen=True)
class MemoryPlan:
    """The most one node can be made to hold, in bytes, whatever its peers do."""

    role: Role
    links: int
    held: int
    outboxes: int
    workspace: int

    @property
    def vectors(self) -> int:
        return self.held + self.outboxes + self.workspace

    @property
    def total(self) -> int:
        return self.vectors + PROCESS_RSS_BYTES


@dataclass(frozen=True)
class PlanReport:
    """One experiment's sizes. Vectors and bytes are those of a step, all nodes together."""

    name: str
    digest: str
    steps: int
    dimension: int
    sides: tuple[SidePlan, SidePlan]
    gather_every: int
    lipschitz_max: float
    links: int
    vectors: float
    vectors_plain: int
    vector_bytes: int
    memory: tuple[MemoryPlan, MemoryPlan]
    warnings: tuple[str, ...]

    @property
    def step_bytes(self) -> float:
        return self.vectors * self.vector_bytes

    def to_dict(self) -> dict[str, Any]:
        totals = {f"{memory.role}_bytes": memory.total for memory in self.memory}
        return {**asdict(self), "step_bytes": self.step_bytes, **totals}


def describe(experiment: Experiment, dimension: int) -> PlanReport:
    """The plan of an experiment whose model has `dimension` parameters."""
    from byzsgd.wire import Layout

    cluster, plan = experiment.cluster, experiment.plan
    servers, workers = cluster.servers, cluster.workers
    nbytes = Layout(dimension, experiment.network.dtype).nbytes
    return PlanReport(
        name=experiment.name,
        digest=experiment.digest,
        steps=plan.steps,
        dimension=dimension,
        sides=(_side(experiment, "server"), _side(experiment, "worker")),
        gather_every=plan.gather_every,
        lipschitz_max=1 / (3 * plan.gather_every * experiment.schedule.at(0)),
        links=servers * workers + servers * (servers - 1) // 2,
        vectors=_vectors(cluster, plan),
        vectors_plain=2 * workers,
        vector_bytes=nbytes,
        memory=(
            _memory(experiment, "server", dimension, nbytes),
            _memory(experiment, "worker", dimension, nbytes),
        ),
        warnings=(*experiment.warnings, *_may_not_return(cluster), *_short_window(plan)),
    )


def _vectors(cluster: Cluster, plan: Plan) -> float:
    """Sent by all nodes in a step, over a whole period, if no model that is pulled is rejected."""
    servers, workers, share = cluster.servers, cluster.workers, 1 / plan.gather_every
    gathered = servers * (servers - 1) * plan.gather_rounds * share
    shown: float = workers * servers
    if plan.mode == "sync":
        shown = workers * servers * share + workers * (1 - share)
    return workers * servers + shown + gathered


def dimension_of(experiment: Experiment) -> int:
    """How many parameters the model has: it is built for that, and its data are loaded."""
    from byzsgd.training import load_task
    from byzsgd.training.flat import flat_model

    training = experiment.training
    return flat_model(load_task(training.task, model=training.model).model).dimension


def _memory(experiment: Experiment, role: Role, dimension: int, nbytes: int) -> MemoryPlan:
    cluster, window = experiment.cluster, experiment.plan.window
    peers = cluster.workers + cluster.servers - 1 if role == "server" else cluster.servers
    # a server keeps the rows of a gather apart from those of the gradients that are coming in
    gradients = cluster.gradients_awaited(experiment.plan.mode)
    rows = cluster.q_servers + (gradients if role == "server" else 0)
    return MemoryPlan(
        role=role,
        links=peers,
        # of each peer the machine keeps a window, and what is said again may be arriving
        held=peers * (window + REPEATED) * nbytes,
        outboxes=_waiting(experiment.plan, peers) * nbytes,
        workspace=(rows + SPARE_ROWS + _remembered_rows(experiment, role)) * 4 * dimension,
    )


def _remembered_rows(experiment: Experiment, role: Role) -> int:
    """What a server keeps from one update to the next, once more while the next one is made."""
    if role == "worker":
        return 0
    safeguard = experiment.aggregation.safeguard()
    sums = len(safeguard.windows) * experiment.cluster.workers if safeguard else 0
    return 2 * (sums + (experiment.training.momentum_at == "server"))


def _waiting(plan: Plan, peers: int) -> int:
    """Vectors that wait to be sent, if no peer reads any more.

    Outboxes share one copy of the newest window of one's own vectors; besides, each peer holds on
    to the one that it was being sent. Models that are pulled go to few at a time, and in the worst
    case no two outboxes have one in common.
    """
    return plan.window + peers if plan.mode == "async" else (plan.window + 1) * peers


def _side(experiment: Experiment, role: Role) -> SidePlan:
    cluster = experiment.cluster
    nodes = cluster.servers if role == "server" else cluster.workers
    f = cluster.f_servers if role == "server" else cluster.f_workers
    quorums = [q for q in range(1, nodes + 1) if _legal(role, nodes, f, q)]
    return SidePlan(
        role=role,
        nodes=nodes,
        f=f,
        f_max=max(f for f in range(nodes) if _legal(role, nodes, f)),
        quorum=cluster.q_servers if role == "server" else cluster.q_workers,
        quorum_min=min(quorums),
        quorum_max=max(quorums),
        liars={
            str(node): lie.attack for node, lie in experiment.liars.items() if node.role == role
        },
    )


def _legal(role: Role, nodes: int, f: int, q: int = 0) -> bool:
    """Asked of `Cluster`, which alone knows the bounds; the other side is one honest node."""
    other = "workers" if role == "server" else "servers"
    numbers = {f"{role}s": nodes, f"f_{role}s": f, f"q_{role}s": q, other: 1}
    try:
        Cluster(**numbers)
    except ConfigError:
        return False
    return True


def _may_not_return(cluster: Cluster) -> Iterator[str]:
    """Catching up takes 2 f + 1 peers at one gather; with f liars silent and this one behind…"""
    f, needed = cluster.f_servers, 4 * cluster.f_servers + 1
    if cluster.servers < needed:
        yield (
            f"servers = {cluster.servers} is below 4 f_servers + 1 = {needed}: while {f} servers "
            f"lie, a server that fell far behind may never find {cluster.rejoin_quorum} models of "
            f"one step, and so never return"
        )


def _short_window(plan: Plan) -> Iterator[str]:
    """Of what is said again a node must be able to keep all, and what it waits for besides."""
    if plan.catch_up and plan.window < REPEATED + 1:
        yield (
            f"window = {plan.window} is below {REPEATED + 1}: a server that fell behind may have "
            "no room for the models that it could go on with, and so never return"
        )
