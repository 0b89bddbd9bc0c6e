"""Who of the liars is in league with whom, and what each may know."""

from byzsgd.attacks import Knowledge, Plot, resolve
from byzsgd.cluster import NodeId
from byzsgd.errors import ConfigError
from byzsgd.experiment.config import Experiment
from byzsgd.experiment.lies import Lie


def plot_of(experiment: Experiment, me: NodeId, real: bool) -> Plot:
    """What the liar `me` has agreed upon with the others.

    In a `real` run the omniscient recompute what honest workers submit; in a simulation they are
    told.
    """
    lie = experiment.liars[me]
    recomputes = real and me.role == "worker" and lie.knowledge == "omniscient"
    return Plot(
        window=lie.window,
        fellows=tuple(
            node for node in _other_workers(experiment, me) if conspires(experiment, node)
        ),
        accomplices=frozenset(experiment.liars),
        listeners=listeners_of(experiment, me),
        recomputed=_honest_workers(experiment) if recomputes else (),
    )


def knowledge_of(experiment: Experiment, me: NodeId) -> Knowledge:
    """Empty at first. Who rushes waits for as many as leave room for all liars in a quorum.

    Who is told by others later than it could overhear waits for fewer: a lie that comes after the
    quorum is no use.
    """
    lie, cluster = experiment.liars[me], experiment.cluster
    liars = sum(node.role == me.role for node in experiment.liars)
    needed = (cluster.q_servers if me.role == "server" else cluster.q_workers) - liars
    if lie.knowledge == "colluders":
        needed = min(needed, cluster.f_workers + 1)
    return Knowledge(lie.rushing, max(1, needed))


def conspires(experiment: Experiment, node: NodeId) -> bool:
    """Whether the lies of this node are made of what others would say."""
    lie = experiment.liars.get(node)
    return lie is not None and resolve(lie.attack).conspires(lie.options)


def fellows_of(experiment: Experiment, me: NodeId) -> tuple[NodeId, ...]:
    """The lying workers with whom `me` has a link: one of the two makes lies of others' vectors."""
    return tuple(
        node
        for node in _other_workers(experiment, me)
        if conspires(experiment, node) or conspires(experiment, me)
    )


def listeners_of(experiment: Experiment, me: NodeId) -> tuple[NodeId, ...]:
    """The workers whom a lying server tells what the honest ones sent it."""
    if me.role != "server" or me not in experiment.liars:
        return ()
    return tuple(
        node
        for node, lie in experiment.liars.items()
        if node.role == "worker" and lie.knowledge == "colluders"
    )


def relays_of(experiment: Experiment, me: NodeId) -> dict[NodeId, int]:
    """How many whispers there is room for on links where one liar relays what workers say."""
    told_by = [node for node in experiment.liars if me in listeners_of(experiment, node)]
    relays = experiment.plan.window * experiment.cluster.workers
    return dict.fromkeys((*listeners_of(experiment, me), *told_by), relays)


def tapped(experiment: Experiment) -> tuple[NodeId, ...]:
    """The omniscient: in a simulation they are told what the honest nodes of their side say."""
    return tuple(node for node, lie in experiment.liars.items() if _omniscient(lie))


def check_real(experiment: Experiment) -> None:
    """Raises `ConfigError` for what a liar could know in a simulation only."""
    servers = [str(node) for node in tapped(experiment) if node.role == "server"]
    if servers:
        raise ConfigError(
            f'byzantine.{servers[0]}: knowledge = "omniscient" is for `byzsgd simulate`: no '
            "process sees the models of others before they are sent, and unlike gradients they do "
            "not follow from data and seeds; leave it out"
        )


def _other_workers(experiment: Experiment, me: NodeId) -> list[NodeId]:
    if me.role != "worker" or me not in experiment.liars:
        return []
    return [node for node in experiment.liars if node.role == "worker" and node != me]


def _honest_workers(experiment: Experiment) -> tuple[NodeId, ...]:
    return tuple(node for node in experiment.honest if node.role == "worker")


def _omniscient(lie: Lie) -> bool:
    return lie.knowledge == "omniscient"
