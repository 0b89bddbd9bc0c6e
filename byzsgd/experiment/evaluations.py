"""Which saved models are evaluated when, and which files are no longer needed."""

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from byzsgd.experiment.files import model_path, saved_steps

Ask = Callable[[int, Sequence[str]], None]


class Evaluations:
    """Asks about a step once every expected server has saved it: one question at a time.

    While the evaluator is busy only the newest step is remembered, so that it never falls behind.
    """

    def __init__(self, record: Path, servers: Iterable[str], ask: Ask) -> None:
        self.expected = set(servers)
        self._servers = frozenset(self.expected)
        self.last: int | None = None
        self._record = record
        self._ask = ask
        self._saved: dict[int, set[str]] = {}
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

    def answered(self, step: int) -> None:
        self.last, self._asked = step, None
        self._forget(step)
        self.consider()

    def consider(self) -> None:
        complete = [step for step, by in self._saved.items() if by and self.expected <= by]
        if self._asked is not None or not complete:
            return
        self._asked = step = max(complete)
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
