"""Why a world may stall though nothing is broken: what the theory needs is not there.

Each function looks at one reason and gives it in words, or None.
"""

import math
from collections.abc import Iterator

from byzsgd.cluster import REPEATED, NodeId
from byzsgd.faults import FaultPlan
from byzsgd.simulation.checkers.law import ROLES, Law
from byzsgd.simulation.checkers.ledger import Ledger
from byzsgd.simulation.world import World


def explanation(law: Law, ledger: Ledger, world: World) -> str | None:
    """The first reason that there is."""
    reasons = (
        too_many_gone(law, world),
        nobody_hears_a_quorum(law, world),
        cannot_return(law, ledger, world),
        lost_for_good(law, world),
    )
    return next(filter(None, reasons), None)


def too_many_gone(law: Law, world: World) -> str | None:
    """More than f of a side lie or are down for ever."""
    for role in ROLES:
        side = [node for node in world.machines if node.role == role]
        gone = [node for node in side if node in law.liars or is_down(world, node)]
        if len(gone) > law.f(role):
            return f"{len(gone)} {role}s lie or are down, f_{role}s is {law.f(role)}"
    return None


def nobody_hears_a_quorum(law: Law, world: World) -> str | None:
    """Of those that are not done, nobody is left who could go on by what still reaches him."""
    working = [node for node in world.honest if not is_down(world, node)]
    while True:
        left = [node for node in working if _hears_enough(law, world, node, working)]
        if left == working:
            break
        working = left
    waiting = [node for node in unfinished(world) if node in working]
    return None if waiting else "links that are cut for ever leave no quorum to those that wait"


def cannot_return(law: Law, ledger: Ledger, world: World) -> str | None:
    """A server is left behind, and fewer than 2 f + 1 honest ones are ahead of it to go on from.

    With 4 f + 1 servers there always are, but where some came back with less than they had said.
    And in rounds: a few may have gone on with workers that pulled from them alone, farther than
    those show again what the others have lost.
    """
    cluster = law.cluster
    up = [node for node in world.honest if node.role == "server" and not is_down(world, node)]
    for node in up:
        if node in world.done:
            continue
        stands = ledger.of(node).stands
        ahead = [other for other in up if ledger.of(other).stands > stands]
        returned = any(ledger.of(other).incarnation for other in up if other not in ahead)
        few = len(ahead) < cluster.rejoin_quorum
        gone = _workers_have_gone(law, world, node)
        certain = cluster.servers >= 4 * cluster.f_servers + 1 and not returned
        alone = law.plan.mode == "sync" and gone
        if few and (bool(ahead) or gone) and (alone or not certain):
            return (
                f"{node} is behind, to return takes {cluster.rejoin_quorum} honest servers that "
                f"are ahead of it, and there are {len(ahead)}"
            )
    return None


def _workers_have_gone(law: Law, world: World, server: NodeId) -> bool:
    """Whether too few workers are left who will show gradients of the step of this server."""
    latest = world.machines[server].step + law.plan.gradients_repeated
    left = [
        node
        for node in world.honest
        if node.role == "worker" and world.machines[node].step <= latest
    ]
    return len(left) < law.cluster.q_workers


def lost_for_good(law: Law, world: World) -> str | None:
    """Somebody missed a message, and whoever did not, has no way of making up for it.

    Those who wait in vain show their latest slots again, `REPEATED` of them, and a receiver must
    have room for as many beside the old ones that it holds: the newer half of its window.
    """
    plan, faults = law.plan, world.conditions.faults
    missed = loses(faults) or any(_turned_away(world, node) for node in unfinished(world))
    if missed and not plan.catch_up:
        return "messages are missed, and without catch_up nobody makes up for them"
    if missed and plan.window - plan.window // 2 < REPEATED:
        return f"messages are missed, and a window of {plan.window} is too short to catch up with"
    return None


def unfinished(world: World) -> list[NodeId]:
    """Honest nodes that are still waited for."""
    return [node for node in world.honest if node not in world.done and not is_down(world, node)]


def is_down(world: World, node: NodeId) -> bool:
    """For ever: whoever is to come back is waited for."""
    return world.down.get(node) == math.inf


def loses(faults: FaultPlan) -> bool:
    """Whether messages may be lost, also by their receiver's being down."""
    cuts = any(cut.kind == "lose" or cut.until_s == math.inf for cut in faults.partitions)
    return bool(faults.losses or faults.crashes) or cuts


def _hears_enough(law: Law, world: World, node: NodeId, working: list[NodeId]) -> bool:
    """A quorum of each side that it needs, of those who work; its own model counts."""
    heard = [one for one in working if one == node or not _is_cut(world, one, node)]
    servers = sum(one.role == "server" for one in heard)
    enough = servers >= law.cluster.q_servers
    if node.role == "server":
        return enough and len(heard) - servers >= law.cluster.q_workers
    return enough


def _is_cut(world: World, sender: NodeId, receiver: NodeId) -> bool:
    """Whether nothing will ever get through: by a partition without an end, or certain loss."""
    faults = world.conditions.faults
    cut = any(
        part.until_s == math.inf and part.from_s <= world.now and part.cuts(sender, receiver)
        for part in faults.partitions
    )
    return cut or any(certain for certain in _certain_losses(faults, sender, receiver))


def _certain_losses(faults: FaultPlan, sender: NodeId, receiver: NodeId) -> Iterator[bool]:
    for loss in faults.losses:
        if loss.until_s == math.inf and loss.covers(sender, receiver):
            yield loss.probability == 1


def _turned_away(world: World, node: NodeId) -> bool:
    """Whether it had no room for an honest word: it came too early."""
    refused = world.machines[node].refused
    return any(refused[sender, "early"] for sender in world.honest)
