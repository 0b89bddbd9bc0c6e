"""The processes of a local run: started through the zygote, spoken to over channels, and ended."""

import asyncio
import json
import os
import signal
import socket
from collections.abc import Coroutine, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Protocol

from byzsgd.experiment.channel import Word, encoded
from byzsgd.experiment.config import Experiment
from byzsgd.experiment.files import log_path
from byzsgd.experiment.zygote import Zygote
from byzsgd.runtime.curve import KeyPair
from byzsgd.runtime.roster import Encryption

STOP_S: Final = 5.0
"""How long processes have to end themselves."""
EVALUATOR: Final = "evaluator"
ADDRESS: Final = "tcp://127.0.0.1:0"


@dataclass(frozen=True)
class Links:
    """How the processes of this machine are linked: CURVE, or by name nothing, on the loopback."""

    encryption: Encryption = "curve"
    measure_stall: bool = False


class Audience(Protocol):
    """Who hears what the processes say. `name` is a node's, or `evaluator`."""

    def heard(self, name: str, word: Word) -> None: ...
    def exited(self, name: str, code: int) -> None: ...
    def broke(self, error: BaseException) -> None:
        """Hears no more, since one of the other two failed: a bug, or a view's fault."""


class Processes:
    """The zygote, one process for each node, and the evaluator."""

    def __init__(self, experiment: Experiment, record: Path, links: "Links") -> None:
        self.pids: dict[str, int] = {}
        self._experiment = experiment
        self._record = record.absolute()
        self._names = [*map(str, experiment.cluster.nodes), EVALUATOR]
        self._links = links
        self._writers: dict[str, asyncio.StreamWriter] = {}
        self._tasks: list[asyncio.Task[None]] = []
        self._zygote: Zygote | None = None
        self._account: asyncio.Task[None] | None = None

    async def start(self, audience: Audience) -> None:
        """Have all processes forked; from then on the audience hears them."""
        pairs = {name: socket.socketpair() for name in self._names}
        theirs = {name: pair[1].fileno() for name, pair in pairs.items()}
        self._zygote = Zygote.start(list(theirs.values()))
        self._zygote.tell(self._brief(theirs))
        for name, (ours, child_end) in pairs.items():
            child_end.close()
            reader, self._writers[name] = await asyncio.open_unix_connection(sock=ours)
            self._follow(self._listen(name, reader, audience), audience)
        self._account = self._follow(self._watch(self._zygote, audience), audience)

    def say(self, name: str, kind: str, **details: Any) -> None:
        """Tell one process something; one that is gone does not hear it."""
        if name in self._writers:
            self._writers[name].write(encoded(kind, **details))

    def pss_bytes(self) -> dict[str, int]:
        """The memory of the nodes, and of everything, shared pages counted once.

        Empty where the system does not tell.
        """
        sizes = {name: _pss_bytes(pid) for name, pid in self.pids.items()}
        nodes = sum(size for name, size in sizes.items() if name != EVALUATOR)
        rest = [os.getpid()] + ([self._zygote.pid] if self._zygote else [])
        everything = sum(sizes.values()) + sum(map(_pss_bytes, rest))
        return {"nodes_pss_bytes": nodes, "all_pss_bytes": everything} if everything else {}

    async def stop(self) -> None:
        """Have everybody leave, kill who does not, and wait until nobody is left."""
        if self._zygote is None:
            return
        for writer in self._writers.values():
            writer.write(encoded("stop"))
        done = self._account and (await asyncio.wait([self._account], timeout=STOP_S))[0]
        if not done:
            self._kill(self._zygote)
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._zygote.reap()
        for writer in self._writers.values():
            writer.close()

    def _kill(self, zygote: Zygote) -> None:
        for pid in self.pids.values():
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
        zygote.kill()

    def _brief(self, sockets: Mapping[str, int]) -> Word:
        """All that the zygote needs. Keys go this way, never on a command line."""
        keys = {str(node): KeyPair.generate() for node in self._experiment.cluster.nodes}
        return {
            "experiment": self._experiment.to_dict(),
            "record": str(self._record),
            "encryption": self._links.encryption,
            "measure_stall": self._links.measure_stall,
            "addresses": dict.fromkeys(keys, ADDRESS),
            "keys": {n: {"public": k.public, "secret": k.secret} for n, k in keys.items()},
            "children": [
                {"name": name, "fd": fd, "log": str(log_path(self._record, name))}
                for name, fd in sockets.items()
            ],
        }

    async def _listen(self, name: str, reader: asyncio.StreamReader, audience: Audience) -> None:
        while line := await _line(reader):
            audience.heard(name, json.loads(line))

    async def _watch(self, zygote: Zygote, audience: Audience) -> None:
        """Follow the zygote's account of who lives, until nobody does."""
        reader = asyncio.StreamReader()
        pipe = os.fdopen(zygote.account, "rb")
        protocol = asyncio.StreamReaderProtocol(reader)
        await asyncio.get_running_loop().connect_read_pipe(lambda: protocol, pipe)
        while line := await _line(reader):
            word = json.loads(line)
            if word["kind"] == "forked":
                self.pids[word["name"]] = word["pid"]
            else:
                self.pids.pop(word["name"], None)
                audience.exited(word["name"], word["code"])
        for name in list(self.pids):
            audience.exited(name, -signal.SIGKILL)

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


def _pss_bytes(pid: int) -> int:
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except OSError:
        return 0
    return sum(int(line.split()[1]) * 1024 for line in lines if line.startswith("Pss:"))


async def _line(reader: asyncio.StreamReader) -> bytes:
    """A whole line, or nothing once the other end is gone."""
    try:
        return await reader.readuntil(b"\n")
    except (asyncio.IncompleteReadError, ConnectionError):
        return b""
