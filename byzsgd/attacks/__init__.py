"""Lies: what Byzantine nodes send instead of what they should.

    from byzsgd.attacks import ATTACKS, forge
    lie = forge("alie", honest, n=50, f=24)

`ATTACKS` has them by name; `Byzantine` wraps an honest machine and rewrites what it sends.
"""

from byzsgd.attacks.attack import ATTACKS, Attack, Setting, forge, resolve
from byzsgd.attacks.byzantine import Byzantine

__all__ = ["ATTACKS", "Attack", "Byzantine", "Setting", "forge", "resolve"]
