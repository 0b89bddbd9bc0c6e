"""Lies: what Byzantine nodes send instead of what they should.

    from byzsgd.attacks import ATTACKS, forge
    lie = forge("alie", honest, n=50, f=24)

`ATTACKS` has them by name; `Byzantine` wraps an honest machine and rewrites what it sends.
"""

from byzsgd.attacks.attack import Attack, Setting
from byzsgd.attacks.byzantine import Byzantine
from byzsgd.attacks.forging import Forging
from byzsgd.attacks.knowledge import Knowledge
from byzsgd.attacks.plot import Plot
from byzsgd.attacks.registry import ATTACKS, forge, resolve
from byzsgd.attacks.window import Window

__all__ = [
    "ATTACKS",
    "Attack",
    "Byzantine",
    "Forging",
    "Knowledge",
    "Plot",
    "Setting",
    "Window",
    "forge",
    "resolve",
]
