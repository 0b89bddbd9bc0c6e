"""Which saved models are evaluated when, and which files are no longer needed."""

import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Final

from byzsgd.experiment.files import model_path, saved_steps

Ask = Callable[[int, Sequence[str]], None]
WAITING_MAX: Final = 20
"""So many steps wait to be evaluated, and their models are kept for so long; of more the newest."""


class Evaluations:
    """Asks about a step once every expected server has saved it: one question at a time, in order.

    The evaluator has time when nobody else needs the processors; so what counts is when, by the
    `clock`, all models of a step were there, and not when the answer came.
    """

    def __init__(
        self,
        record: Path,
        servers: Iterable[str],
        ask: Ask,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.expected = set(servers)
        self._servers = frozenset(self.expected)
        self.last: int | None = None
        self._record = record
        self._ask = ask
        self._clock = clock
        self._saved: dict[int, set[str]] = {}
        self._complete_at: dict[int, float] = {}
        self._asked: int | None = None

    def saved(self, server: str, step: int) -> None:
        self._saved.setdefault(step, set()).add(server)
        self.consider()

    def lost(self, server: str) -> None:
        """Do not wait for this server any more; what it has saved still counts."""
        self.expected.discard(server)
        self.consider()

    def returned(self, server: str) -> None:
        """Wait for a lost one again. Whom nobody ever waited for is no matter."""
        self.expected |= self._servers & {server}

    def answered(self, step: int) -> float:
        """Returns when all models of this step were there."""
        self.last, self._asked = step, None
        complete_at = self._complete_at.get(step, self._clock())
        self._forget(step)
        self.consider()
        return complete_at

    def consider(self) -> None:
        complete = sorted(step for step, by in self._saved.items() if by and self.expected <= by)
        for step in complete:
            self._complete_at.setdefault(step, self._clock())
        if self._asked is not None or not complete:
            return
        self._asked = step = complete[-WAITING_MAX:][0]
        files = [
            str(model_path(self._record, server, step)) for server in sorted(self._saved[step])
        ]
        self._ask(step, files)

    def _forget(self, step: int) -> None:
        """Remove the files of older steps: a run keeps one model of each server.

        The newest one is kept however old it is: a server may have to go on from it.
        """
        for folder in (self._record / "models").iterdir():
            for old in saved_steps(self._record, folder.name)[:-1]:
                if old < step:
                    model_path(self._record, folder.name, old).unlink(missing_ok=True)
        self._saved = {at: by for at, by in self._saved.items() if at > step}
        self._complete_at = {at: s for at, s in self._complete_at.items() if at > step}
