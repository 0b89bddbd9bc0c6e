"""Nodes on hosts of their own, each started by its owner.

Everybody has the same experiment file and the same roster; each has the key of its own node.
"""

import asyncio
import signal
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import uvloop

from byzsgd.cluster import NodeId
from byzsgd.errors import ConfigError
from byzsgd.experiment.config import Experiment
from byzsgd.experiment.files import Lines, drop_old_memory, measures_path, save_checkpoint
from byzsgd.experiment.plots import check_real
from byzsgd.experiment.serve import Endpoints, Reporter, serve
from byzsgd.experiment.warm import warm
from byzsgd.protocol import Save
from byzsgd.runtime.curve import KeyPair
from byzsgd.runtime.node import Node
from byzsgd.runtime.roster import Entry, Roster, read_roster

PORT: Final = 7000
INTERRUPTED: Final = 130


def keygen(experiment: Experiment, out: Path, addresses: Mapping[str, str]) -> None:
    """Write `out/roster.toml` and a key file for every node, `out/server-0.key`.

    `addresses` says where nodes listen; the others get ports of this machine. Whoever does not
    trust the one who ran this makes a key of its own with `keygen_node` and hands over its public
    half. Raises `ConfigError` and overwrites nothing.
    """
    nodes = experiment.cluster.nodes
    for name in addresses:
        experiment.node(name)
    roster_path = out / "roster.toml"
    paths = [roster_path, *(out / f"{node}.key" for node in nodes)]
    if there := [path for path in paths if path.exists()]:
        raise ConfigError(f"{there[0]} exists; nothing was written: choose an empty folder")
    keys = {node: KeyPair.generate() for node in nodes}
    entries = {
        node: Entry(addresses.get(str(node), _default_address(nodes, node)), key.public)
        for node, key in keys.items()
    }
    roster = Roster(experiment.digest, entries)
    out.mkdir(parents=True, exist_ok=True)
    for node, key in keys.items():
        key.write(out / f"{node}.key")
    roster_path.write_text(roster.to_toml())


def keygen_node(experiment: Experiment, name: str, out: Path) -> tuple[Path, str]:
    """Write a new key file for one node; returns its path and the public key for the roster."""
    path = out / f"{experiment.node(name)}.key"
    key = KeyPair.generate()
    out.mkdir(parents=True, exist_ok=True)
    key.write(path)
    return path, key.public


def run_node(experiment: Experiment, roster: Path, node: str, key: Path, out: Path) -> int:
    """Run one node of a roster until it is stopped by SIGINT or SIGTERM.

    A node that has done its last step keeps answering, since nobody knows who still needs it.
    Returns 0 if it had done its last step when it was stopped, else 130. Its measures, and models
    of a server, go to `out`. Faults of the network and slowness are as planned, by the seconds
    since this node's own start: hosts have no common clock. Raises `ConfigError` for what its owner
    can mend.
    """
    me = experiment.node(node)
    _check_crashes(experiment)
    check_real(experiment)
    members = read_roster(roster)
    members.entry(me)
    if members.experiment != experiment.digest:
        raise ConfigError(
            f"{roster} was made for another experiment (digest {members.experiment:.12}…, the file "
            f"given has {experiment.digest:.12}…): take the same experiment file as the others"
        )
    missing = [str(other) for other in experiment.cluster.nodes if other not in members.nodes]
    if missing:
        raise ConfigError(f"{roster} has no {', '.join(missing)}: every node needs an entry")
    warm(experiment)
    try:
        return uvloop.run(_run(experiment, members, me, KeyPair.read(key), out))
    except KeyboardInterrupt:  # before the node was up
        return INTERRUPTED


def _check_crashes(experiment: Experiment) -> None:
    """Nobody but its owner is to end a node, or could start it again."""
    if experiment.faults.crash:
        raise ConfigError(
            "crashes by plan are for `byzsgd run` and `byzsgd simulate`: leave `crash` out of "
            "[faults] in everybody's experiment file and make the roster again; whoever runs a "
            "node on a host kills it himself"
        )


async def _run(experiment: Experiment, roster: Roster, me: NodeId, key: KeyPair, out: Path) -> int:
    done = asyncio.Event()
    narrator = _Narrator(me, done)

    def meet(node: Node, endpoints: Endpoints) -> Roster:
        asyncio.get_running_loop().add_signal_handler(signal.SIGINT, node.stop)
        narrator.say("listening", at=", ".join(endpoints.values()) or "nowhere, it only connects")
        return roster

    def save(saved: Save) -> None:
        save_checkpoint(out, me, saved)
        drop_old_memory(out, me)

    with Lines(measures_path(out, me)) as measures:
        reporter = Reporter(measures, narrator.say)
        await serve(experiment, me, key, roster, reporter, save, meet)
    return 0 if done.is_set() else INTERRUPTED


class _Narrator:
    """Tells the owner of a node, on standard error, how it is doing."""

    def __init__(self, me: NodeId, done: asyncio.Event) -> None:
        self._me = me
        self._done = done
        self._start = time.monotonic()
        self._told = -float("inf")

    def say(self, kind: str, **details: Any) -> None:
        now = time.monotonic()
        if kind == "step":
            if now - self._told < 1:
                return
            self._told = now
        if kind == "done":
            self._done.set()
            kind = "done; it keeps answering until it is stopped (Ctrl-C)"
        words = " ".join(f"{name}={value}" for name, value in details.items() if value is not None)
        print(f"{now - self._start:9.2f} {self._me} {kind} {words}".rstrip(), file=sys.stderr)


def _default_address(nodes: tuple[NodeId, ...], node: NodeId) -> str:
    """A stretch of ports of its own for every node on this machine."""
    return f"tcp://127.0.0.1:{PORT + nodes.index(node) * len(nodes)}"
