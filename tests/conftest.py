"""What holds for all tests."""

import gc
import os

import pytest
import torch
from hypothesis import settings

from byzsgd.aggregators import compiled

# Where a build machine decides, it decides the same each time; elsewhere every run looks further.
settings.register_profile("ours", deadline=None, derandomize=bool(os.environ.get("CI")))
settings.load_profile("ours")

# Threads that fight over two cores make small tensors ten times slower.
torch.set_num_threads(1)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--rewrite",
        action="store_true",
        help="write what comes of the commands in tests/scenarios into the files",
    )


def pytest_collection_finish() -> None:
    """Worlds leave much to collect, and each full collection would walk through all of torch."""
    gc.freeze()


@pytest.fixture(params=["kernel", "torch"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Both ways of computing: with kernels and in plain torch."""
    if request.param == "torch":
        monkeypatch.setattr(compiled, "AVAILABLE", False)
    elif not compiled.AVAILABLE:
        pytest.skip("numba is not installed")
    return str(request.param)
