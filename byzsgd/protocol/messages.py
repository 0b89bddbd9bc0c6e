"""What nodes say to each other. The sender is what the transport proved, never a field.

A vector is opaque here: a tensor, a view on received frames, or in a test a string.
"""

from dataclasses import dataclass
from typing import Any, TypeAlias

Vector: TypeAlias = Any


@dataclass(frozen=True, slots=True)
class Model:
    """A server's parameters at the start of `step`: to workers a scatter, to servers a gather.

    `round` counts the contractions of one gather, from 0; the round after the last is the model
    that came of them all, or of a step without a gather, shown to whoever may have to catch up.
    """

    step: int
    params: Vector
    round: int = 0


@dataclass(frozen=True, slots=True)
class Gradient:
    """What a worker computed for `step`, momentum applied."""

    step: int
    vector: Vector


@dataclass(frozen=True, slots=True)
class Whisper:
    """What one liar tells another: the gradient it would have sent. The honest do not listen."""

    step: int
    vector: Vector


Message: TypeAlias = Model | Gradient | Whisper
