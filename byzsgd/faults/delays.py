"""How long messages take. Each distribution makes a delay of one number drawn from [0, 1).

One number for every message, whatever the distribution: so the n-th message of a link meets the
n-th number, and with another mean or shape the fast messages stay the fast ones.
"""

import math
from dataclasses import dataclass
from statistics import NormalDist
from typing import Final, TypeAlias

_STANDARD: Final = NormalDist()
_LEAST: Final = 2.0**-54  # below every number but 0, of which a normal distribution has no quantile


@dataclass(frozen=True, slots=True)
class Constant:
    mean_s: float

    def at(self, share: float) -> float:
        """The delay that this share of all messages stays below, in seconds."""
        return self.mean_s


@dataclass(frozen=True, slots=True)
class Exponential:
    mean_s: float

    def at(self, share: float) -> float:
        return -self.mean_s * math.log1p(-share)


@dataclass(frozen=True, slots=True)
class Lognormal:
    """`mean_s` is that of the delay itself, `sigma` the deviation of its natural logarithm."""

    mean_s: float
    sigma: float

    def at(self, share: float) -> float:
        deviation = self.sigma * _STANDARD.inv_cdf(max(share, _LEAST))
        return self.mean_s * math.exp(deviation - self.sigma**2 / 2)


@dataclass(frozen=True, slots=True)
class Uniform:
    low_s: float
    high_s: float

    @property
    def mean_s(self) -> float:
        return (self.low_s + self.high_s) / 2

    def at(self, share: float) -> float:
        return self.low_s + (self.high_s - self.low_s) * share


Distribution: TypeAlias = Constant | Exponential | Lognormal | Uniform
