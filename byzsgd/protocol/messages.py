"""What nodes say to each other. The sender is what the transport proved, never a field.

A vector is opaque here: a tensor, a view on received frames, or in a test a string.
"""

from dataclasses import dataclass, replace
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


@dataclass(frozen=True, slots=True)
class Pull:
    """A worker's wish for one server's model of `step`, or of the step that it is at by then."""

    step: int


Message: TypeAlias = Model | Gradient | Whisper | Pull


def vector_of(message: Message) -> Vector:
    """What a message carries; None of a pull."""
    match message:
        case Model():
            return message.params
        case Pull():
            return None
    return message.vector


def with_vector(message: Message, vector: Vector) -> Message:
    """The same word about another vector; of what carries none it is the word itself."""
    match message:
        case Model():
            return replace(message, params=vector)
        case Pull():
            return message
    return replace(message, vector=vector)


def round_of(message: Message) -> int:
    """Of a gather; everything else is of round 0."""
    return message.round if isinstance(message, Model) else 0
