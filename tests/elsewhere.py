"""Another process, in which sets and dictionaries of text may have another order."""

import os
import subprocess
import sys


def elsewhere(code: str, hash_seed: int, threads: int = 1) -> str:
    """What this code prints there."""
    ours = {"PYTHONHASHSEED": str(hash_seed), "OMP_NUM_THREADS": str(threads)}
    command = [sys.executable, "-c", code]
    done = subprocess.run(
        command, env={**os.environ, **ours}, check=True, capture_output=True, text=True
    )
    return done.stdout.strip()
