"""Who of the liars is in league with whom, and when."""

from dataclasses import dataclass

from byzsgd.attacks.window import ALWAYS, Window
from byzsgd.cluster import NodeId


@dataclass(frozen=True)
class Plot:
    """What a liar has agreed upon with others.

    It lies in its `window`, and says the truth before and after. A lying worker tells its `fellows`
    what it honestly computed, a lying server tells the `listeners` what honest workers sent it. Of
    all `accomplices` it knows that they lie: it believes what they whisper, and no model or
    gradient of theirs. What the workers `recomputed` submit it computes itself, from what everybody
    knows.
    """

    window: Window = ALWAYS
    fellows: tuple[NodeId, ...] = ()
    accomplices: frozenset[NodeId] = frozenset()
    listeners: tuple[NodeId, ...] = ()
    recomputed: tuple[NodeId, ...] = ()
