"""CIFAR-10 from its binary version, or from a rebuilt copy in .npz files; never from pickles.

Binary: records of one label byte and 3,072 pixel bytes, channel by channel
(https://www.cs.toronto.edu/~kriz/cifar.html, "Binary version"). Rebuilt: `images` uint8
(N, 3, 32, 32) and `labels` uint8 (N,) in each file, as many training batches as there are.
"""

import zipfile
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from byzsgd.errors import ConfigError

Labelled = tuple[Tensor, Tensor]
"""Pixels, uint8 (N, 3, 32, 32), and labels, uint8 (N,)."""

_SHAPE = (3, 32, 32)
_RECORD_BYTES = 1 + 3 * 32 * 32
_BINARY_FOLDERS = ("cifar-10-batches-bin", "CIFAR10/cifar-10-batches-bin")
_REBUILT = "CIFAR10-rebuilt"


def read(directory: Path) -> tuple[Labelled, Labelled]:
    """(training, test) from the first complete copy inside `directory`.

    Raises ConfigError that lists what was looked for, or names the damaged file.
    """
    for folder in _BINARY_FOLDERS:
        training = [directory / folder / f"data_batch_{batch}.bin" for batch in range(1, 6)]
        test = directory / folder / "test_batch.bin"
        if all(path.is_file() for path in [*training, test]):
            return _join([_binary(path) for path in training]), _binary(test)
    training = sorted((directory / _REBUILT).glob("train_batch_*.npz"))
    test = directory / _REBUILT / "test_batch.npz"
    if training and test.is_file():
        return _join([_npz(path) for path in training]), _npz(test)
    raise _missing(directory)


def _binary(path: Path) -> Labelled:
    data = np.fromfile(path, dtype=np.uint8)
    if len(data) == 0 or len(data) % _RECORD_BYTES:
        raise ConfigError(f"{path}: {len(data)} bytes are no records of {_RECORD_BYTES} bytes")
    records = torch.from_numpy(data).view(-1, _RECORD_BYTES)
    return _checked(path, records[:, 1:].reshape(-1, *_SHAPE), records[:, 0].clone())


def _npz(path: Path) -> Labelled:
    try:
        with path.open("rb") as raw, np.load(raw, allow_pickle=False) as file:
            pixels, labels = torch.from_numpy(file["images"]), torch.from_numpy(file["labels"])
    except (OSError, EOFError, KeyError, TypeError, ValueError, zipfile.BadZipFile) as error:
        raise ConfigError(f"{path} has no sound images and labels: {error}") from error
    return _checked(path, pixels, labels)


def _checked(path: Path, pixels: Tensor, labels: Tensor) -> Labelled:
    if pixels.dtype != torch.uint8 or pixels.shape != (len(labels), *_SHAPE):
        raise ConfigError(
            f"{path}: images are {pixels.dtype} {tuple(pixels.shape)} for {len(labels)} labels, "
            f"not uint8 of shape (N, 3, 32, 32)"
        )
    if len(labels) and int(labels.max()) > 9:
        raise ConfigError(f"{path}: label {int(labels.max())} is not one of 0 to 9")
    return pixels, labels


def _join(batches: list[Labelled]) -> Labelled:
    return torch.cat([batch[0] for batch in batches]), torch.cat([batch[1] for batch in batches])


def _missing(directory: Path) -> ConfigError:
    text = "CIFAR-10 was not found; looked for\n"
    for folder in _BINARY_FOLDERS:
        text += f"  {directory / folder}: data_batch_1.bin … data_batch_5.bin and test_batch.bin\n"
    text += f"  {directory / _REBUILT}: train_batch_*.npz and test_batch.npz\n"
    if (directory / "cifar-10-batches-py").exists():
        text += (
            f"{directory / 'cifar-10-batches-py'} is there but consists of pickles, which can run "
            "any code and are never read here: get the binary version (cifar-10-binary.tar.gz)\n"
        )
    return ConfigError(
        text + "point to the folder above with data_dir or the environment variable BYZSGD_DATA"
    )
