"""When a liar lies."""

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True)
class Window:
    """From step `from_step` to before `until_step`, None: to the end. Else a liar is honest."""

    from_step: int = 0
    until_step: int | None = None

    def covers(self, step: int) -> bool:
        return self.from_step <= step and not self.is_over(step)

    def is_over(self, step: int) -> bool:
        return self.until_step is not None and step >= self.until_step


ALWAYS: Final = Window()
