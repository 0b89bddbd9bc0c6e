"""What nodes say to each other. The sender is what the transport proved, never a field.

A vector is opaque here: a tensor, a view on received frames, or in a test a string.
"""

from dataclasses import dataclass, replace
from typing import Any, Final, TypeAlias

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
    """What one liar tells another: the gradient it would have sent, or was sent by an honest one.

    `about` is the index of the worker whose gradient it is, if not the speaker's own. The honest do
    not listen.
    """

    step: int
    vector: Vector
    about: int | None = None


@dataclass(frozen=True, slots=True)
class Pull:
    """A worker's wish for one server's model of `step`, or of the step that it is at by then."""

    step: int


@dataclass(frozen=True, slots=True)
class Malformed:
    """What only a liar says, in place of a vector: something with one of the `FLAWS`.

    Where there is a wire no machine hears of it, since the link refuses it; in a simulator, which
    has none, a machine does and counts it.
    """

    step: int
    flaw: str


FLAWS: Final = ("short", "long", "empty", "order", "kind", "step", "header")
"""What may be wrong with a word: a vector of too few or too many bytes or of none, a chunk whose
turn it is not, an unknown kind of message, a step that nobody can be at, or a garbled header."""

Message: TypeAlias = Model | Gradient | Whisper | Pull | Malformed


def vector_of(message: Message) -> Vector:
    """What a message carries; None of a pull, and of what is malformed."""
    match message:
        case Model():
            return message.params
        case Pull() | Malformed():
            return None
    return message.vector


def with_vector(message: Message, vector: Vector) -> Message:
    """The same word about another vector; of what carries none it is the word itself."""
    match message:
        case Model():
            return replace(message, params=vector)
        case Pull() | Malformed():
            return message
    return replace(message, vector=vector)


def round_of(message: Message) -> int:
    """What tells words of one kind and step apart: of models the round of a gather.

    Of whispers it is 1 more than the index of the worker that they are about; else 0.
    """
    match message:
        case Model():
            return message.round
        case Whisper() if message.about is not None:
            return message.about + 1
    return 0


def unasked(message: Message) -> str:
    """Why a machine refuses a word that is nothing for it."""
    return "malformed" if isinstance(message, Malformed) else "unasked"
