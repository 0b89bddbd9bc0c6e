"""Whether virtual time can be believed: a simulated step beside a real one."""

from typing import Final

AGREED: Final = 0.25
"""How far a simulated step's time may be from the real one's, as a share of the real one's."""


def agree(simulated_s: float, real_s: float) -> bool:
    """Whether both take about as long; `real_s` is above 0."""
    return abs(simulated_s / real_s - 1) <= AGREED
