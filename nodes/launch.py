"""The zygote of a local run, for launchers that cannot fork it from themselves.

    python -m nodes.launch BRIEF ACCOUNT

Both are descriptors of inherited pipes: see `byzsgd.experiment.zygote`.
"""

import sys

import byzsgd.experiment.child  # noqa: F401  (all that children need is imported before the fork)
from byzsgd.experiment.zygote import zygote

if __name__ == "__main__":
    zygote(int(sys.argv[1]), int(sys.argv[2]))
