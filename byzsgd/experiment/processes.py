"""The processes of a local run: started through the zygote, spoken to over channels, and ended."""

import asyncio
import json
import os
import secrets
import signal
import socket
from collections.abc import Coroutine, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Protocol

from byzsgd.experiment.channel import Word, encoded
from byzsgd.experiment.children import EVALUATOR, Child, children_of, pss_bytes
from byzsgd.experiment.config import Experiment
from byzsgd.experiment.files import log_path
from byzsgd.experiment.zygote import Zygote
from byzsgd.runtime.curve import KeyPair
from byzsgd.runtime.roster import Encryption

STOP_S: Final = 5.0
"""How long processes have to end themselves."""
ADDRESS: Final = "tcp://127.0.0.1:0"


@dataclass(frozen=True)
class Links:
    """How the processes of this machine are linked: CURVE, or by name nothing, on the loopback.

    With `shared_memory` they read vectors from each other's memory, which encrypts nothing.

    And what they record besides: how long an event loop was away, what each machine was told; and
    whether the parts of a step are seconds of CPU instead of the clock's.
    """

    encryption: Encryption = "curve"
    measure_stall: bool = False
    deliveries: bool = False
    measure_cpu: bool = False
    shared_memory: bool = False


class Audience(Protocol):
    """Who hears what the processes say. `name` is a node's, or `evaluator`."""

    def heard(self, name: str, word: Word) -> None: ...
    def exited(self, name: str, code: int) -> None: ...
    def broke(self, error: BaseException) -> None:
        """Hears no more, since one of the other two failed: a bug, or a view's fault."""


class Processes:
    """The zygote, one process for each node, a spare for each restart, and the evaluator."""

    def __init__(self, experiment: Experiment, record: Path, links: "Links") -> None:
        self._experiment = experiment
        self._record = record.absolute()
        self._links = links
        self._all = children_of(experiment)
        self._acting = {one.name: one for one in self._all if not one.spare}
        self._tasks: list[asyncio.Task[None]] = []
        self._zygote: Zygote | None = None
        self._account: asyncio.Task[None] | None = None

    @property
    def pids(self) -> dict[str, int]:
        """Of those that live and act."""
        return {name: one.pid for name, one in self._acting.items() if one.pid is not None}

    async def start(self, audience: Audience) -> None:
        """Have all processes forked; from then on the audience hears them."""
        pairs = [socket.socketpair() for _ in self._all]
        theirs = [pair[1].fileno() for pair in pairs]
        self._zygote = Zygote.start(theirs)
        self._zygote.tell(self._brief(theirs))
        for one, (ours, child_end) in zip(self._all, pairs, strict=True):
            child_end.close()
            reader, one.writer = await asyncio.open_unix_connection(sock=ours)
            self._follow(self._listen(one, reader, audience), audience)
        self._account = self._follow(self._watch(self._zygote, audience), audience)

    def say(self, name: str, kind: str, **details: Any) -> None:
        """Tell one process something; one that is gone does not hear it."""
        if writer := self._acting[name].writer:
            writer.write(encoded(kind, **details))

    def kill(self, name: str) -> None:
        """Kill a node's process: it is heard no more, and only its exit will be told."""
        one = self._acting[name]
        one.killed = True
        one.kill()

    def restart(self, name: str, kind: str, **details: Any) -> bool:
        """Let a spare take the place of a process that has gone, and tell it so; False: none."""
        spares = [one for one in self._all if one.name == name and one.spare and one.pid]
        if spares:
            self._acting[name] = spares[0]
            spares[0].spare = False
            self.say(name, kind, **details)
        return bool(spares)

    def pss_bytes(self) -> dict[str, int]:
        """The memory of the nodes, and of everything, shared pages counted once.

        Empty where the system does not tell.
        """
        sizes = {name: pss_bytes(pid) for name, pid in self.pids.items()}
        nodes = sum(size for name, size in sizes.items() if name != EVALUATOR)
        spares = [one.pid for one in self._all if one.spare and one.pid is not None]
        rest = [os.getpid(), *spares, *([self._zygote.pid] if self._zygote else [])]
        everything = sum(sizes.values()) + sum(map(pss_bytes, rest))
        return {"nodes_pss_bytes": nodes, "all_pss_bytes": everything} if everything else {}

    async def stop(self) -> None:
        """Have everybody leave, kill who does not, and wait until nobody is left."""
        if self._zygote is None:
            return
        writers = [one.writer for one in self._all if one.writer]
        for writer in writers:
            writer.write(encoded("stop"))
        done = self._account and (await asyncio.wait([self._account], timeout=STOP_S))[0]
        if not done:
            self._kill_all(self._zygote)
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._zygote.reap()
        for writer in writers:
            writer.close()

    def _kill_all(self, zygote: Zygote) -> None:
        for one in self._all:
            one.kill()
        zygote.kill()

    def _brief(self, sockets: Sequence[int]) -> Word:
        """All that the zygote needs. Keys go this way, never on a command line."""
        keys = {str(node): KeyPair.generate() for node in self._experiment.cluster.nodes}
        return {
            "experiment": self._experiment.to_dict(),
            "record": str(self._record),
            "encryption": self._links.encryption,
            "measure_stall": self._links.measure_stall,
            "deliveries": self._links.deliveries,
            "measure_cpu": self._links.measure_cpu,
            "addresses": self._addresses(keys),
            "keys": {n: {"public": k.public, "secret": k.secret} for n, k in keys.items()},
            "children": [
                {
                    "name": one.name,
                    "spare": one.spare,
                    "fd": fd,
                    "log": str(log_path(self._record, one.name)),
                }
                for one, fd in zip(self._all, sockets, strict=True)
            ],
        }

    def _addresses(self, names: Iterable[str]) -> dict[str, str]:
        if not self._links.shared_memory:
            return dict.fromkeys(names, ADDRESS)
        run = secrets.token_hex(8)  # the names are this host's
        return {name: f"memory://{run}-{name}" for name in names}

    async def _listen(self, one: Child, reader: asyncio.StreamReader, audience: Audience) -> None:
        while line := await _line(reader):
            if not one.killed:
                audience.heard(one.name, json.loads(line))

    async def _watch(self, zygote: Zygote, audience: Audience) -> None:
        """Follow the zygote's account of who lives, until nobody does."""
        reader = asyncio.StreamReader()
        pipe = os.fdopen(zygote.account, "rb")
        protocol = asyncio.StreamReaderProtocol(reader)
        await asyncio.get_running_loop().connect_read_pipe(lambda: protocol, pipe)
        forked = 0
        while line := await _line(reader):
            word = json.loads(line)
            one = self._all[word["child"]]
            if word["kind"] == "forked":
                self._forked(one, word["pid"])
                forked += 1
            else:
                self._exited(one, word["code"], audience)
        if forked < len(self._all):
            raise ChildProcessError("the process that forks the nodes ended before it had done so")
        for one in self._all:
            if one.pid is not None:
                self._exited(one, -signal.SIGKILL, audience)

    def _forked(self, one: Child, pid: int) -> None:
        one.pid = pid
        if one.killed:
            one.kill()

    def _exited(self, one: Child, code: int, audience: Audience) -> None:
        """A spare that goes is missed when its time comes."""
        one.pid = None
        if self._acting[one.name] is one:
            audience.exited(one.name, code)

    def _follow(
        self, listening: Coroutine[None, None, None], audience: Audience
    ) -> asyncio.Task[None]:
        def ended(task: asyncio.Task[None]) -> None:
            if not task.cancelled() and (error := task.exception()):
                audience.broke(error)

        task = asyncio.create_task(listening)
        task.add_done_callback(ended)
        self._tasks.append(task)
        return task


async def _line(reader: asyncio.StreamReader) -> bytes:
    """A whole line, or nothing once the other end is gone."""
    try:
        return await reader.readuntil(b"\n")
    except (asyncio.IncompleteReadError, ConnectionError):
        return b""
