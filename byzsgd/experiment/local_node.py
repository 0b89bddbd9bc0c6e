"""One node of a local run: what it hears from the launcher, and what it writes to the record."""

import asyncio
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from functools import partial
from pathlib import Path

from byzsgd.cluster import NodeId
from byzsgd.experiment.build import Saved
from byzsgd.experiment.channel import Channel, Word
from byzsgd.experiment.config import Experiment
from byzsgd.experiment.deliveries import Deliveries, deliveries_path
from byzsgd.experiment.files import (
    Lines,
    load_memory,
    load_model,
    measures_path,
    model_path,
    save_checkpoint,
    saved_steps,
    without_cut_line,
)
from byzsgd.experiment.serve import Clock, Endpoints, Extras, Reporter, serve
from byzsgd.runtime.curve import KeyPair
from byzsgd.runtime.node import Node
from byzsgd.runtime.roster import Entry, Roster


async def local_node(
    experiment: Experiment, spec: Word, common: Word, channel: Channel, word: Word | None = None
) -> None:
    """Run the node until the launcher says so or is gone.

    With the `word` that tells where everybody listens, the node comes back after a crash: it goes
    on from what it saved last, and its ports are those that it had.
    """
    me, record = NodeId.parse(spec["name"]), Path(common["record"])
    roster, clock = _roster(common, experiment), Clock()
    saved = _checkpoint(record, me) if word else None
    without_cut_line(measures_path(record, me))

    def begin(word: Word) -> Roster:
        clock.began_s = word["began_s"]
        return replace(roster, chosen=_chosen(word))

    def meet(node: Node, endpoints: Endpoints) -> Roster:
        """Tell the launcher our ports, hear everybody's, and stop at its next word or its end."""
        channel.say("listening", endpoints={str(peer): at for peer, at in endpoints.items()})
        word = channel.hear()
        if word is None or word["kind"] != "roster":
            node.stop()
            return roster
        _leave_when_told(node, channel)
        return begin(word)

    def return_(node: Node, _: Endpoints) -> Roster:
        _leave_when_told(node, channel)
        channel.say("restarted", step=saved.step if saved else 0)
        return known

    known = begin(word) if word else roster
    with (
        Lines(measures_path(record, me)) as measures,
        _deliveries(record, me, common, restarted=word is not None) as deliveries,
    ):
        await serve(
            experiment,
            me,
            KeyPair(**common["keys"][spec["name"]]),
            known,
            Reporter(measures, channel.say),
            partial(save_checkpoint, record, me),
            return_ if word else meet,
            Extras(saved, clock, deliveries, common["measure_stall"], common["measure_cpu"]),
        )


def _checkpoint(record: Path, me: NodeId) -> Saved | None:
    """The newest model that it saved; None for a worker, and where there is none."""
    steps = saved_steps(record, me)
    if not steps:
        return None
    path = model_path(record, me, steps[-1])
    return Saved(steps[-1], load_model(path), load_memory(path))


def _deliveries(
    record: Path, me: NodeId, common: Word, restarted: bool
) -> AbstractContextManager[Deliveries | None]:
    wanted = common["deliveries"]
    return Deliveries(deliveries_path(record, me), restarted) if wanted else nullcontext()


def _leave_when_told(node: Node, channel: Channel) -> None:
    asyncio.get_running_loop().add_reader(channel.fileno(), _leave, node, channel)


def _leave(node: Node, channel: Channel) -> None:
    asyncio.get_running_loop().remove_reader(channel.fileno())
    node.stop()


def _roster(common: Word, experiment: Experiment) -> Roster:
    entries = {
        NodeId.parse(name): Entry(common["addresses"][name], key["public"])
        for name, key in common["keys"].items()
    }
    return Roster(experiment.digest, entries, common["encryption"])


def _chosen(word: Word) -> dict[tuple[NodeId, NodeId], str]:
    return {
        (NodeId.parse(listener), NodeId.parse(peer)): endpoint
        for listener, peers in word["endpoints"].items()
        for peer, endpoint in peers.items()
    }
