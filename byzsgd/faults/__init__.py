"""What happens to messages and to nodes: one plan, and one drawer for simulated and real networks.

    fates = Fates(plan, seed)
    for delay_s in fates.fate(now_s, sender, receiver): ...   # each copy; none: the message is lost

Times are seconds since the start of training, virtual or real. Whoever carries messages out is the
simulator, or what stands in front of real sockets: nothing here has a clock.
"""

from byzsgd.faults.delays import Constant, Distribution, Exponential, Lognormal, Uniform
from byzsgd.faults.fates import Fates
from byzsgd.faults.plan import Chance, Crash, Delay, FaultPlan, Partition, Slow

__all__ = [
    "Chance",
    "Constant",
    "Crash",
    "Delay",
    "Distribution",
    "Exponential",
    "Fates",
    "FaultPlan",
    "Lognormal",
    "Partition",
    "Slow",
    "Uniform",
]
