"""Runs what machines ask to have computed. The only place where protocol meets tensors.

A function of its input alone: batches, noise and rates follow from seed, node and step. So a
simulator and a real node share it, and a restarted node computes the same again.
"""

from byzsgd.compute.compute import Compute
from byzsgd.compute.settings import Settings

__all__ = ["Compute", "Settings"]
