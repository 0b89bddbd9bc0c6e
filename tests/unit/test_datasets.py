"""Readers of data sets, on files made here; the real ones where they are at hand."""

import gzip
import os
import struct
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from byzsgd.errors import ConfigError
from byzsgd.training import cifar, idx
from byzsgd.training.datasets import DATASETS, data_directory
from byzsgd.training.examples import Examples, images

PIXELS = np.random.default_rng(1).integers(0, 256, (12, 28, 28), dtype=np.uint8)
LABELS = np.arange(12, dtype=np.uint8) % 10


def idx_bytes(array: NDArray[np.uint8]) -> bytes:
    header = bytes((0, 0, 8, array.ndim)) + struct.pack(f">{array.ndim}I", *array.shape)
    return header + array.tobytes()


def write_mnist(folder: Path, zipped: bool = False) -> None:
    folder.mkdir(parents=True)
    for part in ("train", "t10k"):
        for name, array in (("images-idx3", PIXELS), ("labels-idx1", LABELS)):
            data = idx_bytes(array)
            path = folder / f"{part}-{name}-ubyte{'.gz' if zipped else ''}"
            path.write_bytes(gzip.compress(data) if zipped else data)


@pytest.mark.parametrize("zipped", [False, True])
@pytest.mark.parametrize(
    ("name", "folder"),
    [
        ("mnist", "MNIST/raw"),
        ("mnist", "mnist"),
        ("fashion_mnist", "FashionMNIST/raw"),
        ("fashion_mnist", "fashion_mnist"),
    ],
)
def test_idx_sets_plain_or_zipped(tmp_path: Path, name: str, folder: str, zipped: bool) -> None:
    write_mnist(tmp_path / folder, zipped)
    training, test = DATASETS[name](tmp_path)
    assert training.inputs.dtype == torch.uint8
    assert training.shape == (1, 28, 28)
    assert np.array_equal(training.inputs[:, 0].numpy(), PIXELS)
    assert test.targets.tolist() == LABELS.tolist()
    inputs, targets = training.batch(torch.tensor([3, 3]))
    assert inputs.dtype == torch.float32
    assert targets.tolist() == [3, 3]


def test_missing_files_are_listed_with_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "MNIST").mkdir()
    (tmp_path / "MNIST" / "train-images-idx3-ubyte").touch()
    with pytest.raises(ConfigError) as caught:
        DATASETS["mnist"](tmp_path)
    text = str(caught.value)
    for folder in ("MNIST/raw", "MNIST", "mnist/raw", "mnist"):
        assert f"{tmp_path / folder}: no t" in text
    assert f"{tmp_path / 'MNIST'}: no train-labels-idx1-ubyte, no t10k" in text
    assert ".gz" in text
    assert "BYZSGD_DATA" in text


@pytest.mark.parametrize("zipped", [False, True])
@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda data: data[:-1], "9407 of the 9408 bytes"),
        (lambda data: data + b"x", "longer than"),
        (lambda data: data[:9], "inside its header"),
        (lambda data: b"", "starts with"),
        (lambda data: b"\0\0\x0d" + data[3:], "starts with 00 00 0d 03"),
        (lambda data: data[:3] + b"\1" + data[4:], "starts with 00 00 08 01"),
        (lambda data: data[:4] + b"\xff" * 4 + data[8:], "promises"),
    ],
)
def test_damaged_idx_is_named(tmp_path: Path, spoil: object, words: str, zipped: bool) -> None:
    assert callable(spoil)
    data = spoil(idx_bytes(PIXELS))
    path = tmp_path / ("some-ubyte.gz" if zipped else "some-ubyte")
    path.write_bytes(gzip.compress(data) if zipped else data)
    with pytest.raises(ConfigError, match=words) as caught:
        idx.read(path, dimensions=3)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize("cut", [0, 5, 200, -1])
def test_a_gzip_file_cut_short_is_named(tmp_path: Path, cut: int) -> None:
    path = tmp_path / "some.gz"
    path.write_bytes(gzip.compress(idx_bytes(PIXELS))[:cut])
    with pytest.raises(ConfigError, match=r"some\.gz is not a sound IDX file"):
        idx.read(path, dimensions=3)


def test_plain_bytes_called_gz_are_named(tmp_path: Path) -> None:
    path = tmp_path / "some.gz"
    path.write_bytes(idx_bytes(PIXELS))
    with pytest.raises(ConfigError, match="not a sound IDX file"):
        idx.read(path, dimensions=3)


def test_a_label_too_few_is_named(tmp_path: Path) -> None:
    write_mnist(tmp_path / "mnist")
    (tmp_path / "mnist" / "t10k-labels-idx1-ubyte").write_bytes(idx_bytes(LABELS[1:]))
    with pytest.raises(ConfigError, match="t10k-labels-idx1-ubyte has 11 labels for 12 images"):
        DATASETS["mnist"](tmp_path)


def write_cifar(folder: Path, batches: int = 5) -> None:
    folder.mkdir(parents=True)
    names = [f"data_batch_{batch}.bin" for batch in range(1, batches + 1)]
    for label, name in enumerate([*names, "test_batch.bin"]):
        planes = b"".join(bytes([10 * channel + label]) * 1024 for channel in range(3))
        (folder / name).write_bytes((bytes([label]) + planes) * 2)


def test_cifar10_binary(tmp_path: Path) -> None:
    write_cifar(tmp_path / "cifar-10-batches-bin")
    training, test = DATASETS["cifar10"](tmp_path)
    assert training.targets.tolist() == [0, 0, 1, 1, 2, 2, 3, 3, 4, 4]
    assert training.shape == (3, 32, 32)
    assert training.inputs[8].equal(torch.tensor([[[4]], [[14]], [[24]]]).expand(3, 32, 32))
    assert test.targets.tolist() == [5, 5]


def test_cifar10_rebuilt_with_some_batches(tmp_path: Path) -> None:
    folder = tmp_path / "CIFAR10-rebuilt"
    folder.mkdir()
    pixels = np.arange(2 * 3072, dtype=np.uint8).reshape(2, 3, 32, 32)
    for number, name in enumerate(("train_batch_1", "train_batch_2", "test_batch")):
        np.savez(folder / f"{name}.npz", images=pixels, labels=np.full(2, number, np.uint8))
    training, test = DATASETS["cifar10"](tmp_path)
    assert training.targets.tolist() == [0, 0, 1, 1]
    assert test.targets.tolist() == [2, 2]
    (folder / "test_batch.npz").write_bytes(b"PK\3\4 nonsense")
    with pytest.raises(ConfigError, match=r"test_batch\.npz"):
        cifar.read(tmp_path)


def test_cifar10_damaged(tmp_path: Path) -> None:
    folder = tmp_path / "cifar-10-batches-bin"
    write_cifar(folder)
    (folder / "data_batch_2.bin").write_bytes(b"\x0a" + bytes(3072))
    with pytest.raises(ConfigError, match=r"data_batch_2\.bin: label 10"):
        cifar.read(tmp_path)
    (folder / "data_batch_2.bin").write_bytes(bytes(3072))
    with pytest.raises(ConfigError, match=r"data_batch_2\.bin: 3072 bytes"):
        cifar.read(tmp_path)


def test_cifar10_pickles_are_never_read(tmp_path: Path) -> None:
    write_cifar(tmp_path / "cifar-10-batches-bin", batches=4)
    with pytest.raises(ConfigError, match="not found") as caught:
        cifar.read(tmp_path)
    assert "batches-py" not in str(caught.value)
    (tmp_path / "cifar-10-batches-py").mkdir()
    with pytest.raises(ConfigError, match=r"pickles.*never read.*binary version"):
        cifar.read(tmp_path)


def test_digits_are_in_the_package(tmp_path: Path) -> None:
    training, test = DATASETS["digits"](tmp_path)
    assert (len(training), len(test)) == (1_437, 360)
    assert int(training.inputs.max()) == 16
    assert int(test.targets.bincount().min()) >= 35
    everything = training.batch(torch.arange(1_437))[0]
    assert float(everything.mean()) == pytest.approx(0, abs=1e-3)
    assert float(everything.std()) == pytest.approx(1, abs=1e-3)


def test_the_data_directory(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("BYZSGD_DATA", raising=False)
    assert data_directory(None) == Path("data")
    monkeypatch.setenv("BYZSGD_DATA", str(tmp_path))
    assert data_directory(None) == tmp_path
    assert data_directory(Path("given")) == Path("given")


def test_examples_keep_pixels_and_give_numbers() -> None:
    examples = images(
        torch.full((2, 2, 4, 4), 255, dtype=torch.uint8), torch.zeros(2), (0.5, 1.0), (0.5, 2.0)
    )
    inputs, targets = examples.batch(torch.tensor([1]))
    assert inputs[0, :, 0, 0].tolist() == [1.0, 0.0]
    assert targets.dtype == torch.int64
    inputs.zero_()
    assert int(examples.inputs.min()) == 255


def test_examples_of_own_kinds() -> None:
    tokens = Examples(torch.arange(6).view(3, 2), torch.zeros(3))
    assert tokens.batch(torch.tensor([2]))[0].tolist() == [[4, 5]]
    wide = Examples(torch.ones(3, 2, dtype=torch.float64), torch.zeros(3))
    assert wide.batch(torch.tensor([2]))[0].dtype == torch.float32
    with pytest.raises(ConfigError, match="3 inputs but 2 targets"):
        Examples(torch.zeros(3), torch.zeros(2))
    with pytest.raises(ConfigError, match="no examples"):
        Examples(torch.zeros(0), torch.zeros(0))


def shared_data() -> Path:
    beside = Path(__file__).resolve().parents[3] / "shared" / "data"
    return Path(os.environ.get("BYZSGD_DATA") or beside)


@pytest.mark.skipif(not shared_data().is_dir(), reason="no image data: set BYZSGD_DATA")
@pytest.mark.parametrize(
    ("name", "folder", "sizes"),
    [
        ("mnist", "MNIST", (60_000, 10_000)),
        ("fashion_mnist", "FashionMNIST", (60_000, 10_000)),
        ("cifar10", "CIFAR10-rebuilt", (20_000, 10_000)),
    ],
)
def test_the_real_files(name: str, folder: str, sizes: tuple[int, int]) -> None:
    if not (shared_data() / folder).is_dir():
        pytest.skip(f"no {folder} in {shared_data()}")
    training, test = DATASETS[name](shared_data())
    assert (len(training), len(test)) == sizes
    sample = training.batch(torch.arange(2_000))[0]
    assert float(sample.mean()) == pytest.approx(0, abs=0.03)
    assert float(sample.std()) == pytest.approx(1, abs=0.03)
    assert len(test.targets.bincount()) == 10
