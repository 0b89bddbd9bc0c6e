#!/usr/bin/env python3
"""Start byzsgd from a fresh clone: set up what it needs, then run.

    python3 deploy/run.py demo              the demonstration
    python3 deploy/run.py test [ARGS]       every check; ARGS are passed on to pytest
    python3 deploy/run.py COMMAND [ARGS]    any byzsgd command, for example: run FILE
    python3 deploy/run.py --help            this text

The first start makes .venv beside pyproject.toml and installs into it under
deploy/constraints.txt; later starts find it ready. An interrupted set-up is made again.
To start over, delete .venv.
"""

# Standard library only. An old interpreter must get as far as check_python, which tells its user
# what is missing: so nothing newer than Python 3.7 outside of functions that run after it.
from __future__ import annotations

import fcntl
import hashlib
import os
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO

ROOT = Path(__file__).resolve().parent.parent
PYTHON_MIN = (3, 11)


def main(words: Sequence[str]) -> int:
    if not words or words[0] in ("-h", "--help"):
        print(__doc__.strip() if __doc__ else "")
        return 0
    check_python(sys.version_info[:2])
    if words[0] == "test":
        return test(Setup(ROOT, extras=("test",)).ensure(), words[1:])
    become(Setup(ROOT).ensure() / "byzsgd", words)
    return 0


def check_python(version: tuple[int, int]) -> None:
    if version < PYTHON_MIN:
        needed, found = (".".join(map(str, v)) for v in (PYTHON_MIN, version))
        raise StartError(
            f"byzsgd needs Python {needed} or newer; {sys.executable} is Python {found}.\n"
            f"Start it with a newer one, for example: python{needed} deploy/run.py demo"
        )


def become(program: Path, words: Sequence[str]) -> None:
    # exec, not a child: signals, the terminal and the exit code stay the user's own.
    os.execv(program, [str(program), *words])  # noqa: S606 - no shell is wanted


class StartError(Exception):
    """What keeps byzsgd from starting, and what the user can do about it."""


# --- set-up ---------------------------------------------------------------------------------------


UNFINISHED = "unfinished\n"

ADVICE_VENV = """\
This Python could not make a virtual environment. On Debian and Ubuntu, the package python3-venv
is missing: sudo apt-get install python3-venv"""

ADVICE_PIP = """\
The installation failed; pip's own words are above. Most often the network or a proxy is the
cause: then simply start again. If a version was not found, your package source lacks it: see
deploy/constraints.txt."""


class Setup:
    """The environment in .venv, brought to what this clone asks for.

    .venv/byzsgd-stamp says how far it got: place and wanted after a success, `unfinished` while an
    install runs or was interrupted, nothing in an environment that somebody made by hand.
    """

    def __init__(self, root: Path, extras: tuple[str, ...] = ()) -> None:
        self.root = root
        self.extras = extras
        self.venv = root / ".venv"
        self.bin = self.venv / "bin"
        self.stamp = self.venv / "byzsgd-stamp"
        self.lock = self.venv / "byzsgd-lock"

    def ensure(self) -> Path:
        """Make the environment ready and return its folder of programs."""
        try:
            if not self.ready():
                self.venv.mkdir(exist_ok=True)
                with locked(self.lock) as lock:
                    if not self.ready():  # a start that we waited for may have done it
                        self.install(lock)
        except OSError as error:
            raise StartError(f"cannot set up {self.venv}: {error}") from error
        return self.bin

    def ready(self) -> bool:
        # An environment with the test extra serves every other start, too.
        enough = {self.stamp_of(self.extras), self.stamp_of(("test",))}
        programs = self.bin / "python", self.bin / "byzsgd"
        return read(self.stamp) in enough and all(p.exists() for p in programs)

    def install(self, lock: IO[str]) -> None:
        before = read(self.stamp) if self.reusable() else None
        self.stamp.write_text(UNFINISHED)
        if before is None:
            self.remake(lock)
        say("setting up: installing byzsgd and what it needs (the first time, about a minute) …")
        try:
            call(self.pip_command(), lock, ADVICE_PIP)
        except StartError as error:
            if "Installing collected packages" not in str(error):
                # It failed before it touched anything: the environment is as good as before.
                self.stamp.write_text(before or "")
            raise
        self.stamp.write_text(self.stamp_of(self.extras))
        say("setting up: done")

    def reusable(self) -> bool:
        """Whether pip may install over what is there.

        After an interruption it may not: a package can look installed and lack files, and pip
        would keep it. Nor after a move: the scripts point to the old place.
        """
        stamp = read(self.stamp)
        return (stamp == "" or stamp.startswith(self.place())) and self.same_python()

    def same_python(self) -> bool:
        probe = "import sys, pip; print(sys.version_info[:2])"
        try:
            answer = subprocess.check_output(
                [self.bin / "python", "-c", probe], stderr=subprocess.DEVNULL, text=True
            )
        except (OSError, subprocess.CalledProcessError):
            return False
        return answer.strip() == str(sys.version_info[:2])

    def remake(self, lock: IO[str]) -> None:
        # The real path, and asked for now: this program may run in what is about to be removed.
        python = os.path.realpath(sys.executable)
        for path in self.venv.iterdir():
            if path not in (self.stamp, self.lock):
                remove(path)
        call([python, "-m", "venv", str(self.venv)], lock, ADVICE_VENV)

    def pip_command(self) -> list[str]:
        what = str(self.root) + (f"[{','.join(self.extras)}]" if self.extras else "")
        constraints = str(self.root / "deploy" / "constraints.txt")
        pip = [str(self.bin / "python"), "-m", "pip", "--disable-pip-version-check", "--no-input"]
        return [*pip, "install", "-c", constraints, "-e", what]

    def stamp_of(self, extras: tuple[str, ...]) -> str:
        wanted = hashlib.sha256(repr(extras).encode())
        for name in ("pyproject.toml", "deploy/constraints.txt"):
            wanted.update((self.root / name).read_bytes())
        return f"{self.place()}{wanted.hexdigest()}\n"

    def place(self) -> str:
        return "{} python{}.{}\n".format(self.venv, *sys.version_info)


@contextmanager
def locked(path: Path) -> Iterator[IO[str]]:
    with path.open("a") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say("waiting for another start that is setting up …")
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield lock


def call(command: Sequence[str], lock: IO[str], advice: str) -> None:
    """Run quietly; on failure, raise what it said and what to do."""
    output = []
    # The child holds the lock as well: if this process is killed, the next start waits for it.
    with subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        pass_fds=[lock.fileno()],
    ) as process:
        for line in process.stdout or ():
            output.append(line)
            show_passing(line)
    show_passing("")
    if process.returncode:
        raise StartError(f"{''.join(output)}\n{' '.join(command)}: failed\n\n{advice}")


def read(path: Path) -> str:
    return path.read_text() if path.exists() else ""


def remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink()


# Progress goes to stderr: stdout belongs to the command, which may print --json.


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def show_passing(text: str) -> None:
    """Show one line that the next one replaces, where somebody is watching."""
    if sys.stderr.isatty():
        width = shutil.get_terminal_size().columns - 4
        print(f"\r\033[K  {text.strip()[:width]}" if text else "\r\033[K", end="", file=sys.stderr)
        sys.stderr.flush()


# --- test -----------------------------------------------------------------------------------------


def test(programs: Path, pytest_words: Sequence[str]) -> int:
    """Run every check, whatever the others say, and report all of them at the end."""
    results = [(check, *timed(programs, check)) for check in checks(pytest_words)]
    print("\n=== summary")
    for check, code, duration_s in results:
        verdict = "ok" if code == 0 else f"FAILED (exit code {code})"
        print(f"{duration_s:7.1f} s  {verdict:<22} {shlex.join(check)}")
    return 1 if any(code for _, code, _ in results) else 0


def checks(pytest_words: Sequence[str]) -> list[list[str]]:
    return [
        ["ruff", "check", "."],
        ["ruff", "format", "--check", "."],
        ["mypy"],
        ["lint-imports"],
        ["pytest", "-m", "not long", *pytest_words],
    ]


def timed(programs: Path, check: Sequence[str]) -> tuple[int, float]:
    print(f"\n=== {shlex.join(check)}", flush=True)
    # Tests that start `byzsgd` or `python` get those of the environment.
    env = {**os.environ, "PATH": f"{programs}{os.pathsep}{os.environ.get('PATH', os.defpath)}"}
    start = time.monotonic()
    code = subprocess.call([programs / check[0], *check[1:]], cwd=ROOT, env=env)
    return code, time.monotonic() - start


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except StartError as error:
        say(str(error))
        sys.exit(1)
    except KeyboardInterrupt:
        sys.exit(130)
