"""What a run ran on: versions, machine, commit."""

import os
import platform
import subprocess
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Final

PACKAGES: Final = ("byzsgd", "torch", "numpy", "numba", "pyzmq", "msgpack", "uvloop", "pydantic")
_ROOT: Final = Path(__file__).resolve().parents[2]


def environment() -> dict[str, Any]:
    import zmq

    return {
        "python": platform.python_version(),
        **{package: version_of(package) for package in PACKAGES},
        "libzmq": zmq.zmq_version(),
        "platform": platform.platform(),
        "cores": cores(),
        "git_commit": git_commit(),
    }


def version_of(package: str) -> str | None:
    """The installed version, without importing the package."""
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def cores() -> int:
    """How many cores this process may use."""
    return len(os.sched_getaffinity(0))


def git_commit(root: Path = _ROOT) -> str | None:
    """The commit of byzsgd's own clone, with `-dirty` for changed files; None when installed."""
    if not (root / ".git").exists():
        return None
    command = ["git", "-C", str(root), "describe", "--always", "--dirty", "--abbrev=40"]
    try:
        done = subprocess.run(
            [*command, "--exclude=*"], capture_output=True, text=True, timeout=10, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()
