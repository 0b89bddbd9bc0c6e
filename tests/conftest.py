"""What holds for all tests."""

import os

import torch
from hypothesis import settings

# Where a build machine decides, it decides the same each time; elsewhere every run looks further.
settings.register_profile("ours", deadline=None, derandomize=bool(os.environ.get("CI")))
settings.load_profile("ours")

# Threads that fight over two cores make small tensors ten times slower.
torch.set_num_threads(1)
