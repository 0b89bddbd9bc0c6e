"""The processes of a local run: started through the zygote, spoken to over channels, and ended."""

import asyncio
import json
import os
import signal
import socket
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Protocol

from byzsgd.experiment.channel import Word, encoded
from byzsgd.experiment.config import Experiment
from byzsgd.experiment.files import log_path
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
        self._zygote: asyncio.subprocess.Process | None = None

    async def start(self, audience: Audience) -> None:
        """Have all processes forked; from then on the audience hears them."""
        pairs = {name: socket.socketpair() for name in self._names}
        theirs = {name: pair[1] for name, pair in pairs.items()}
        self._zygote = await asyncio.create_subprocess_exec(
            sys.executable,
            *("-P", "-m", "nodes.launch"),  # a folder called nodes here is none of ours
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            pass_fds=[theirs[name].fileno() for name in self._names],
            start_new_session=True,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
        )
        await self._brief(theirs)
        for name, (ours, child_end) in pairs.items():
            child_end.close()
            reader, self._writers[name] = await asyncio.open_unix_connection(sock=ours)
            self._follow(self._listen(name, reader, audience))
        self._follow(self._watch(audience))

    def say(self, name: str, kind: str, **details: Any) -> None:
        """Tell one process something; one that is gone does not hear it."""
        if name in self._writers:
            self._writers[name].write(encoded(kind, **details))

    def pss_bytes(self) -> int:
        """The memory of all nodes, shared pages counted once; 0 where the system does not tell."""
        return sum(_pss_bytes(pid) for name, pid in self.pids.items() if name != EVALUATOR)

    async def stop(self) -> None:
        """Have everybody leave, kill who does not, and wait until nobody is left."""
        for writer in self._writers.values():
            writer.write(encoded("stop"))
        if self._zygote:
            try:
                await asyncio.wait_for(self._zygote.wait(), STOP_S)
            except TimeoutError:
                self._kill()
                await self._zygote.wait()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for writer in self._writers.values():
            writer.close()

    def _kill(self) -> None:
        for pid in self.pids.values():
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
        assert self._zygote is not None
        self._zygote.kill()

    async def _brief(self, theirs: dict[str, socket.socket]) -> None:
        """Hand the zygote all it needs. Keys go this way, never on a command line."""
        keys = {str(node): KeyPair.generate() for node in self._experiment.cluster.nodes}
        children = [
            {
                "name": name,
                "fd": theirs[name].fileno(),
                "log": str(log_path(self._record, name)),
            }
            for name in self._names
        ]
        brief = {
            "experiment": self._experiment.to_dict(),
            "record": str(self._record),
            "encryption": self._links.encryption,
            "measure_stall": self._links.measure_stall,
            "addresses": dict.fromkeys(keys, ADDRESS),
            "keys": {n: {"public": k.public, "secret": k.secret} for n, k in keys.items()},
            "children": children,
        }
        assert self._zygote is not None
        assert self._zygote.stdin is not None
        self._zygote.stdin.write(json.dumps(brief).encode())
        await self._zygote.stdin.drain()
        self._zygote.stdin.close()

    async def _listen(self, name: str, reader: asyncio.StreamReader, audience: Audience) -> None:
        while line := await _line(reader):
            audience.heard(name, json.loads(line))

    async def _watch(self, audience: Audience) -> None:
        """Follow the zygote's account of who lives."""
        assert self._zygote is not None
        assert self._zygote.stdout is not None
        while line := await self._zygote.stdout.readline():
            word = json.loads(line)
            if word["kind"] == "forked":
                self.pids[word["name"]] = word["pid"]
            else:
                self.pids.pop(word["name"], None)
                audience.exited(word["name"], word["code"])
        for name in list(self.pids):
            audience.exited(name, -signal.SIGKILL)

    def _follow(self, listening: Any) -> None:
        self._tasks.append(asyncio.create_task(listening))


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
