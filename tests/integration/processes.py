"""Real processes: found by a mark in their environment, waited for by events, and never left over.

with marked() as mark:
    command = Command("byzsgd", "run", "file.toml", cwd=folder)
    command.until("step 10/")
    mark.kill("server-1")
    assert command.end().code == 0
"""

import os
import queue
import re
import select
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Final
from uuid import uuid4

VARIABLE: Final = "BYZSGD_TEST_MARK"
PATIENCE_S: Final = 60.0
"""Nothing here takes so long unless it hangs."""
LISTENING: Final = "0A"


@dataclass(frozen=True)
class Mark:
    """All processes started while the environment has this mark, orphans included.

    Of those that this process forked from itself the environment is its own: they count by descent.
    """

    value: str

    def processes(self) -> dict[int, str]:
        """The living ones, by process id: a node's name, `evaluator`, `zygote` or another's."""
        parents = {int(path.name): parent(int(path.name)) for path in Path("/proc").glob("[0-9]*")}
        ours = [pid for pid in parents if self._marks(pid) or descends(pid, parents)]
        names = {pid: name(pid) for pid in ours if parents[pid] is not None}
        zygotes = {parents[pid] for pid, name in names.items() if name == "evaluator"}
        return {pid: "zygote" if pid in zygotes else name for pid, name in names.items()}

    def pid(self, wanted: str) -> int:
        [pid] = [pid for pid, name in self.processes().items() if name == wanted]
        return pid

    def kill(self, *wanted: str) -> None:
        for one in wanted:
            os.kill(self.pid(one), signal.SIGKILL)

    def _marks(self, pid: int) -> bool:
        mark = f"{VARIABLE}={self.value}".encode()
        return mark in read(f"/proc/{pid}/environ").split(b"\0")


@contextmanager
def marked() -> Iterator[Mark]:
    """Mark whatever is started meanwhile. Nothing of it may be left at the end."""
    before, mark = os.environ.get(VARIABLE), Mark(uuid4().hex)
    os.environ[VARIABLE] = mark.value
    try:
        yield mark
    finally:
        del os.environ[VARIABLE]
        os.environ.update({VARIABLE: before} if before else {})
    left = mark.processes()
    for pid in left:
        os.kill(pid, signal.SIGKILL)
    assert not left, f"left over: {left}"


def read(path: str) -> bytes:
    """Nothing where a process has gone."""
    try:
        return Path(path).read_bytes()
    except OSError:
        return b""


def parent(pid: int) -> int | None:
    """Who started it; None once it has ended, also while its parent has not asked how."""
    words = read(f"/proc/{pid}/stat").decode(errors="replace").rpartition(") ")[2].split()
    return int(words[1]) if words and words[0] not in "ZX" else None


def descends(pid: int, parents: Mapping[int, int | None]) -> bool:
    """Whether this process started it, or what started it."""
    above = parents.get(pid)
    return above is not None and (above == os.getpid() or descends(above, parents))


def name(pid: int) -> str:
    """What a node, or the evaluator, is called by its log; of the others, what was started."""
    try:
        output = Path(os.readlink(f"/proc/{pid}/fd/1"))
    except OSError:
        output = Path("gone")
    words = read(f"/proc/{pid}/cmdline").decode().split("\0")
    return output.stem if output.suffix == ".log" else " ".join(words).strip()


def ports(pids: Iterable[int]) -> set[str]:
    """The inodes of the TCP sockets that these processes listen on."""
    links = set()
    for pid in pids:
        for descriptor in Path(f"/proc/{pid}/fd").iterdir():
            try:
                links.add(os.readlink(descriptor))
            except OSError:
                continue
    return {inode for inode in listening() if f"socket:[{inode}]" in links}


def listening() -> set[str]:
    """The inodes of all TCP sockets of this machine that listen. A port may be taken anew."""
    lines = [*read("/proc/net/tcp").splitlines()[1:], *read("/proc/net/tcp6").splitlines()[1:]]
    rows = [line.decode().split() for line in lines]
    return {row[9] for row in rows if row[3] == LISTENING}


class Watch:
    """Sees processes end, be they children or not. Made while they live."""

    def __init__(self, pids: Iterable[int]) -> None:
        self._descriptors = {os.pidfd_open(pid): pid for pid in pids}

    def all_end(self, within_s: float = PATIENCE_S) -> None:
        """Wait until all have ended; fails naming those that have not in time."""
        deadline = time.monotonic() + within_s
        while self._descriptors:
            left = max(0.0, deadline - time.monotonic())
            ended, _, _ = select.select(list(self._descriptors), [], [], left)
            assert ended, f"still there: {[name(pid) for pid in self._descriptors.values()]}"
            for descriptor in ended:
                os.close(descriptor)
                del self._descriptors[descriptor]


@dataclass(frozen=True)
class Ended:
    code: int
    stdout: str
    stderr: str


class Command:
    """A program of this environment, in a session of its own, whose stderr is followed."""

    def __init__(self, program: str, *words: str | Path, cwd: Path) -> None:
        python = Path(sys.executable)
        start = [str(python), "-m", program] if program.startswith("nodes.") else []
        self.process = subprocess.Popen(
            [*(start or [str(python.with_name(program))]), *map(str, words)],
            cwd=cwd,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        self._lines: queue.SimpleQueue[str | None] = queue.SimpleQueue()
        self._said: list[str] = []
        self._stdout: list[str] = []
        self._threads = [
            threading.Thread(target=self._follow, args=(self.process.stderr,)),
            threading.Thread(target=self._collect, args=(self.process.stdout,)),
        ]
        for thread in self._threads:
            thread.start()

    def until(self, pattern: str) -> None:
        """Wait for a line on stderr with this regular expression in it."""
        while (line := self._line()) is not None:
            if re.search(pattern, line):
                return
        raise AssertionError(f"never said {pattern!r}, but:\n{''.join(self._said)}")

    def interrupt(self) -> None:
        """Ctrl-C: SIGINT to its process group, as a terminal does it."""
        os.killpg(self.process.pid, signal.SIGINT)

    def end(self) -> Ended:
        """Wait for the end of the program and of all that it said."""
        while self._line() is not None:
            pass
        code = self.process.wait(PATIENCE_S)
        for thread in self._threads:
            thread.join(PATIENCE_S)
        return Ended(code, "".join(self._stdout), "".join(self._said))

    def _line(self) -> str | None:
        try:
            line = self._lines.get(timeout=PATIENCE_S)
        except queue.Empty:
            self.process.kill()
            self.process.wait(PATIENCE_S)
            raise AssertionError(f"says nothing more after:\n{''.join(self._said)}") from None
        self._said += [line] if line else []
        return line

    def _follow(self, stream: IO[str] | None) -> None:
        assert stream
        with stream:
            for line in stream:
                self._lines.put(line)
        self._lines.put(None)

    def _collect(self, stream: IO[str] | None) -> None:
        assert stream
        with stream:
            self._stdout += stream
