"""IDX, the format of MNIST: a header, then unsigned bytes; plain or gzipped.

Header: two zero bytes, 0x08 for unsigned bytes, the number of dimensions, then each dimension
as four bytes, big-endian (http://yann.lecun.com/exdb/mnist, "The IDX file format").
"""

import gzip
import math
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import BinaryIO, cast

import numpy as np
import torch
from torch import Tensor

from byzsgd.errors import ConfigError

BYTES_MAX = 1 << 30
"""No header makes us allocate more than this."""

_CHUNK_BYTES = 1 << 20

_PARTS = (
    "train-images-idx3-ubyte",
    "train-labels-idx1-ubyte",
    "t10k-images-idx3-ubyte",
    "t10k-labels-idx1-ubyte",
)


def find_folder(directory: Path, folders: Sequence[str]) -> Path:
    """The first of `folders` inside `directory` that has all four files of an MNIST-like set.

    Raises ConfigError that lists everything looked for.
    """
    candidates = [directory / folder for folder in folders]
    for folder in candidates:
        if all(_existing(folder, part) for part in _PARTS):
            return folder
    missing = [
        f"  {folder}: no {', no '.join(part for part in _PARTS if not _existing(folder, part))}"
        for folder in candidates
    ]
    raise ConfigError(
        "the data set's files were not found, neither plain nor with .gz:\n"
        + "\n".join(missing)
        + "\npoint to the folder above with data_dir or the environment variable BYZSGD_DATA"
    )


def find(folder: Path, name: str) -> Path:
    found = _existing(folder, name)
    assert found is not None, (folder, name)
    return found


def _existing(folder: Path, name: str) -> Path | None:
    paths = (folder / name, folder / f"{name}.gz")
    return next((path for path in paths if path.is_file()), None)


def read(path: Path, dimensions: int) -> Tensor:
    """The uint8 array in `path`, which must have this many dimensions.

    Raises ConfigError naming the file when it is damaged, cut short or something else.
    """
    try:
        with _open(path) as file:
            return _read(file, dimensions)
    except (OSError, EOFError, zlib.error, ValueError) as error:
        raise ConfigError(f"{path} is not a sound IDX file: {error}") from error


def _open(path: Path) -> BinaryIO:
    return cast(BinaryIO, gzip.open(path, "rb")) if path.suffix == ".gz" else path.open("rb")


def _read(file: BinaryIO, dimensions: int) -> Tensor:
    header = file.read(4 + 4 * dimensions)
    if header[:4] != bytes((0, 0, 8, dimensions)):
        raise ValueError(f"it starts with {header[:4].hex(' ')}, not 00 00 08 {dimensions:02x}")
    if len(header) < 4 + 4 * dimensions:
        raise ValueError("it ends inside its header")
    shape = [int.from_bytes(header[at : at + 4], "big") for at in range(4, len(header), 4)]
    if math.prod(shape) > BYTES_MAX:
        raise ValueError(f"its header promises {shape}, more than {BYTES_MAX} bytes")
    return _body(file, math.prod(shape)).view(shape)


def _body(file: BinaryIO, size: int) -> Tensor:
    data = np.empty(size, np.uint8)  # filled in place: the images exist once
    done = 0
    while chunk := file.read(_CHUNK_BYTES):
        if done + len(chunk) > size:
            raise ValueError(f"it is longer than the {size} bytes its header promises")
        data[done : done + len(chunk)] = np.frombuffer(chunk, np.uint8)
        done += len(chunk)
    if done < size:
        raise ValueError(f"it has {done} of the {size} bytes its header promises")
    return torch.from_numpy(data)
