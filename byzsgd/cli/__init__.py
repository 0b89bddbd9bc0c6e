"""The command line: `byzsgd COMMAND --help`.

Commands import what they need when they run, so that `--help` answers at once. Exit codes: 0 when
the run reached its last step and what it expects holds, 1 when not, 2 for a mistake in what was
given, 130 after Ctrl-C.
"""

import os

from byzsgd.cli import hosting, showing, simulating, sweeping, training
from byzsgd.cli.common import app

__all__ = ["app", "main"]

_COMMANDS = (training, simulating, sweeping, showing, hosting)
"""Each adds its commands to the app when it is imported."""


def main() -> None:
    # Threads of a library's own would keep the launcher from forking its processes off itself.
    for library in ("OMP", "OPENBLAS", "MKL"):
        os.environ.setdefault(f"{library}_NUM_THREADS", "1")
    app()
