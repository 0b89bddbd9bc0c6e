"""One seed decides everything: every random choice has its own numbered stream.

Python's `hash()` differs from process to process, so nothing here uses it.
"""

from enum import IntEnum

import numpy as np

from byzsgd.errors import ConfigError

SEED_LIMIT = 2**64
_PATH_LIMIT = 2**32  # a larger number would take two words and could meet another path


class Purpose(IntEnum):
    """What a stream is for: two purposes never share random numbers."""

    PARTITION = 1
    BATCH = 2


def stream(seed: int, purpose: Purpose, *path: int) -> np.random.Generator:
    """The generator of `purpose` at `path` (worker, step, …), a pure function of its arguments.

    A 64-bit seed fills less than the four words that SeedSequence keeps for it, so distinct
    (seed, purpose, path) give distinct sequences (numpy, "Parallel random number generation").

    Raises ConfigError when the seed is not an integer in [0, 2⁶⁴).
    """
    if not 0 <= seed < SEED_LIMIT:
        raise ConfigError(f"a seed is an integer from 0 to 2^64 - 1, not {seed}")
    assert all(0 <= part < _PATH_LIMIT for part in path), path
    return np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(int(purpose), *path)))


def mixed(seed: int, first: int, second: int) -> int:
    """One 63-bit seed out of three numbers, the same in every process: for torch's generators."""
    for number in (first, second):
        seed = (seed * 6364136223846793005 + number * 1442695040888963407 + 1) % (1 << 63)
    return seed
