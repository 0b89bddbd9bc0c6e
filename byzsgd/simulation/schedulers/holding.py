"""Whether a letter is still of use, and holding it while it is."""

from typing import TYPE_CHECKING, Final

from byzsgd.protocol import Gradient, Model, Whisper
from byzsgd.simulation.scheduler import Letter

if TYPE_CHECKING:
    from byzsgd.simulation.world import World

PAST: Final = {
    ("worker", Model): ("contracting", "gradient", "done"),
    ("server", Gradient): ("updating", "done"),
    ("server", Model): ("gradients", "updating", "done"),
}
"""By role and kind the phases in which a vector of a machine's own step comes too late."""


def wanted(letter: Letter, world: "World") -> bool:
    """Whether the receiver may still have a use for it. What it has none for may as well arrive."""
    receiver, message = letter.receiver, letter.message
    if receiver in world.down or type(message) is Whisper:
        return False
    machine = world.machines[receiver]
    if machine.step != message.step:
        return machine.step < message.step
    return machine.phase not in PAST.get((receiver.role, type(message)), ())


class Held:
    """Holds a letter for one stretch after the other while it is wanted.

    Who asks again in between need not know when a quorum is complete, nor who waits for what.
    """

    def __init__(self, unit_s: float, *stretches: float) -> None:
        self._stretches_s = tuple(stretch * unit_s for stretch in stretches)

    def longer_s(self, letter: Letter, world: "World") -> float:
        if letter.postponed >= len(self._stretches_s) or not wanted(letter, world):
            return 0.0
        return self._stretches_s[letter.postponed]
