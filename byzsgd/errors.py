"""Whose fault an error is, is its type.

A bug in this project is an `AssertionError`; these two are for everybody else's.
"""

import difflib
from collections.abc import Iterable


class ConfigError(ValueError):
    """The experimenter's fault: says what was given, what is allowed and what to do."""


class WireError(ValueError):
    """A peer's fault: counted under its `reason` and dropped, never raised through a loop."""

    def __init__(self, reason: str, detail: str = "") -> None:
        super().__init__(f"{reason}: {detail}" if detail else reason)
        self.reason = reason


def unknown_name(kind: str, given: str, known: Iterable[str]) -> ConfigError:
    """The error for a name that nobody knows, with the nearest one that somebody does."""
    names = sorted(known)
    near = difflib.get_close_matches(given, names, n=1, cutoff=0.5)
    hint = f"; did you mean {near[0]!r}?" if near else ""
    return ConfigError(f"unknown {kind} {given!r}{hint} (known: {', '.join(names) or 'none'})")
