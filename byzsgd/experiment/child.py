"""What a process of a local run does once the zygote has forked it.

A child has a channel to the launcher and a log file. It leaves when the launcher says so or is
gone, whatever happens.
"""

import asyncio
import ctypes
import faulthandler
import os
import signal
import socket
import sys
import traceback
from dataclasses import replace
from pathlib import Path
from typing import Any

import uvloop
from torch import Tensor

from byzsgd.cluster import NodeId
from byzsgd.errors import ConfigError
from byzsgd.experiment.channel import Channel, Word
from byzsgd.experiment.config import Experiment
from byzsgd.experiment.evaluator import evaluator
from byzsgd.experiment.files import Lines, measures_path, model_path, save_model
from byzsgd.experiment.serve import Endpoints, Reporter, serve
from byzsgd.runtime.curve import KeyPair
from byzsgd.runtime.node import Node
from byzsgd.runtime.roster import Entry, Roster

PR_SET_PDEATHSIG = 1


def child(spec: Word, common: Word) -> int:
    """Run one node, or the evaluator. Returns the exit code."""
    _detach(Path(spec["log"]))
    channel = Channel(socket.socket(fileno=spec["fd"]))
    try:
        experiment = Experiment.from_dict(common["experiment"])
        if spec["name"] == "evaluator":
            evaluator(experiment, channel)
        else:
            uvloop.run(_node(experiment, spec, common, channel))
    except ConfigError as error:
        channel.say("failed", error=str(error), config=True)
        return 2
    except BaseException as error:
        traceback.print_exc()
        channel.say("failed", error=f"{type(error).__name__}: {error}", config=False)
        return 1
    return 0


async def _node(experiment: Experiment, spec: Word, common: Word, channel: Channel) -> None:
    me = NodeId.parse(spec["name"])
    record = Path(common["record"])

    def save(step: int, params: Tensor) -> None:
        save_model(model_path(record, me, step), step, params)

    def meet(node: Node, endpoints: Endpoints) -> Roster:
        """Tell the launcher our ports, hear everybody's, and stop at its next word or its end."""
        channel.say("listening", endpoints={str(peer): at for peer, at in endpoints.items()})
        word = channel.hear()
        if word is None or word["kind"] != "roster":
            node.stop()
            return roster
        asyncio.get_running_loop().add_reader(channel.fileno(), _leave, node, channel)
        return replace(roster, chosen=_chosen(word))

    roster = _roster(common, experiment)
    key = KeyPair(**common["keys"][spec["name"]])
    with Lines(measures_path(record, me)) as measures:
        await serve(
            experiment,
            me,
            key,
            roster,
            Reporter(measures, channel.say),
            save,
            meet,
            common["measure_stall"],
        )


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


def _detach(log: Path) -> None:
    """A process group of its own, output to the log, and death with the zygote."""
    os.setpgid(0, 0)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the launcher's to pass on
    if sys.platform.startswith("linux"):
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    log.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    for standard in (1, 2):
        os.dup2(descriptor, standard)
    sys.stdout = sys.stderr = _unbuffered()
    faulthandler.enable()


def _unbuffered() -> Any:
    return os.fdopen(2, "w", buffering=1, closefd=False)
