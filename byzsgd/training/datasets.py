"""The data sets: where their files are looked for, and how they become examples.

Nothing is downloaded, and nothing is unpickled: a pickle runs whatever code it contains.

`digits` comes with the package (digits.npz): 1,797 images of 8×8 from "Optical Recognition of
Handwritten Digits", E. Alpaydin and C. Kaynak, UCI Machine Learning Repository, 1998,
doi:10.24432/C50P49, licensed CC BY 4.0 (https://creativecommons.org/licenses/by/4.0/). Changes:
only the part that scikit-learn ships (the set's test half), as uint8, in an order drawn once
(train_test_split, stratified, seed 0): the first 1,437 for training, the other 360 for testing.
"""

import os
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch

from byzsgd.errors import ConfigError
from byzsgd.training import cifar, idx
from byzsgd.training.examples import Examples, images

Split = tuple[Examples, Examples]
"""(training, test)"""

_DIGITS_TRAINING = 1_437


def data_directory(given: Path | None) -> Path:
    """The folder given, else the one that BYZSGD_DATA names, else ./data."""
    return given or Path(os.environ.get("BYZSGD_DATA") or "data")


def digits(directory: Path) -> Split:
    """Inputs (1, 8, 8), pixels 0 to 16. `directory` is not used: the file is in the package."""
    with np.load(Path(__file__).with_name("digits.npz"), allow_pickle=False) as file:
        pixels = torch.from_numpy(file["images"]).unsqueeze(1)
        labels = torch.from_numpy(file["labels"])
    training, test = slice(_DIGITS_TRAINING), slice(_DIGITS_TRAINING, None)
    mean, deviation = (0.3054,), (0.3761,)
    return (
        images(pixels[training], labels[training], mean, deviation, largest=16),
        images(pixels[test], labels[test], mean, deviation, largest=16),
    )


def mnist(directory: Path) -> Split:
    """Inputs (1, 28, 28): LeCun, Cortes and Burges; 60,000 and 10,000."""
    return _idx_split(directory, ("MNIST/raw", "MNIST", "mnist/raw", "mnist"), 0.1307, 0.3081)


def fashion_mnist(directory: Path) -> Split:
    """Inputs (1, 28, 28): Xiao, Rasul and Vollgraf, arXiv 1708.07747; 60,000 and 10,000."""
    folders = ("FashionMNIST/raw", "FashionMNIST", "fashion_mnist/raw", "fashion_mnist")
    return _idx_split(directory, folders, 0.2860, 0.3530)


def cifar10(directory: Path) -> Split:
    """Inputs (3, 32, 32): Krizhevsky 2009; 50,000 and 10,000, or what a rebuilt copy has."""
    mean, deviation = (0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616)
    training, test = cifar.read(directory)
    return images(*training, mean, deviation), images(*test, mean, deviation)


DATASETS: dict[str, Callable[[Path], Split]] = {
    "digits": digits,
    "mnist": mnist,
    "fashion_mnist": fashion_mnist,
    "cifar10": cifar10,
}


def _idx_split(directory: Path, folders: Sequence[str], mean: float, deviation: float) -> Split:
    folder = idx.find_folder(directory, folders)
    training, test = (_idx_images(folder, part, mean, deviation) for part in ("train", "t10k"))
    return training, test


def _idx_images(folder: Path, part: str, mean: float, deviation: float) -> Examples:
    pixels = idx.read(idx.find(folder, f"{part}-images-idx3-ubyte"), dimensions=3)
    labels_file = idx.find(folder, f"{part}-labels-idx1-ubyte")
    labels = idx.read(labels_file, dimensions=1)
    if len(pixels) != len(labels):
        raise ConfigError(f"{labels_file} has {len(labels)} labels for {len(pixels)} images")
    return images(pixels.unsqueeze(1), labels, (mean,), (deviation,))
