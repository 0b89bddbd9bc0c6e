"""Whether this machine can run byzsgd, and what it would find here."""

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Final, NamedTuple

from byzsgd.errors import ConfigError
from byzsgd.experiment.environment import environment

LIBZMQ_MIN: Final = (4, 3, 5)
DATASETS_OUTSIDE: Final = ("mnist", "fashion_mnist", "cifar10")


class Check(NamedTuple):
    """`ok` is None for what is only told, and nothing depends on."""

    name: str
    ok: bool | None
    detail: str

    def __str__(self) -> str:
        mark = {True: "ok", False: "FAIL", None: "-"}[self.ok]
        return f"{mark:<5}{self.name:<15}{self.detail}"


def examine(runs: Path) -> Iterator[Check]:
    """Every check, in the order in which a newcomer needs them."""
    found = environment()
    for name, value in found.items():
        if name != "libzmq" and value is not None:
            yield Check(name, None, str(value))
    yield from _libzmq()
    yield _kernels()
    yield _writable(runs)
    yield from _data()


def _libzmq() -> Iterator[Check]:
    import zmq

    least = ".".join(map(str, LIBZMQ_MIN))
    enough = zmq.zmq_version_info() >= LIBZMQ_MIN
    yield Check("libzmq", enough, f"{zmq.zmq_version()} ({least} or newer is needed)")
    curve = bool(zmq.has("curve"))
    yield Check("CURVE", curve, "encrypted links" if curve else "missing: install pyzmq's wheel")


def _kernels() -> Check:
    """Run one as a node would."""
    from byzsgd.aggregators import AGGREGATORS, compiled

    if not compiled.AVAILABLE:
        return Check("kernels", None, "numba is missing: aggregation is several times slower")
    AGGREGATORS["mda"].warm([5], 1)
    return Check("kernels", True, "aggregation is compiled, and runs without the GIL")


def _writable(runs: Path) -> Check:
    """Tried for real, in the nearest folder that exists: doctor leaves nothing behind."""
    folder = next(path for path in (runs.absolute(), *runs.absolute().parents) if path.exists())
    try:
        with tempfile.TemporaryFile(dir=folder):
            return Check("records", True, f"can be written to {runs.absolute()}")
    except OSError as error:
        return Check("records", False, f"{folder}: {error.strerror}; choose another with --runs")


def _data() -> Iterator[Check]:
    from byzsgd.training.datasets import DATASETS, data_directory

    directory = data_directory(None).absolute()
    source = "BYZSGD_DATA" if os.environ.get("BYZSGD_DATA") else "the default"
    yield Check("data", None, f"looked for in {directory} ({source}); digits is in the package")
    for name in DATASETS_OUTSIDE:
        try:
            training, test = DATASETS[name](directory)
            detail = f"{len(training):,} and {len(test):,} examples"
        except ConfigError as error:
            # several lines list where it was looked for; one says what is damaged
            text = str(error)
            detail = "not found there" if "\n" in text else text
        yield Check(name, None, detail)
