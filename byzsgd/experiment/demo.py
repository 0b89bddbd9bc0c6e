"""The demonstration: the same experiment twice, with liars and without."""

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Protocol

from byzsgd.experiment.config import Experiment, load
from byzsgd.experiment.load import EXAMPLES
from byzsgd.experiment.report import summary
from byzsgd.experiment.results import Run
from byzsgd.experiment.view import View

POINTS_MAX: Final = 2.0
"""How many points of accuracy the lies may cost."""


class Launch(Protocol):
    """`byzsgd.experiment.local.run_local`."""

    def __call__(self, experiment: Experiment, *, runs: Path, view: View | None) -> Run: ...


@dataclass(frozen=True)
class Demo:
    """What came of it. There is no second run when the first was interrupted."""

    attacked: Run
    honest: Run | None

    @property
    def interrupted(self) -> bool:
        return "interrupted" in [run.status for run in (self.attacked, self.honest) if run]

    @property
    def points_lost(self) -> float:
        """How much better the run without lies is, in points (NaN without one)."""
        honest = self.honest.accuracy if self.honest else float("nan")
        return 100 * (honest - self.attacked.accuracy)

    def shortfalls(self) -> list[str]:
        found = [f"with liars: {text}" for text in self.attacked.shortfalls()]
        if self.honest:
            found += [f"without liars: {text}" for text in self.honest.shortfalls()]
        if self.points_lost > POINTS_MAX:
            found.append(f"the lies cost more than {POINTS_MAX:g} points")
        return found

    def text(self) -> str:
        lies = self.attacked.experiment.liars
        liars = ", ".join(f"{node} ({lie.attack})" for node, lie in lies.items())
        lines = [
            f"with liars     {100 * self.attacked.accuracy:5.1f} %   {liars}",
            f"               {self.attacked.path}",
        ]
        if self.honest:
            lines += [
                f"without liars  {100 * self.honest.accuracy:5.1f} %   "
                "a second run just now, not a stored figure",
                f"               {self.honest.path}",
                f"the lies cost  {max(0.0, self.points_lost):5.1f} points of accuracy",
            ]
        return "\n".join(lines)

    def to_dict(self) -> dict[str, Any]:
        return {
            "with_liars": summary(self.attacked),
            "without_liars": summary(self.honest) if self.honest else None,
            "points_lost": round(self.points_lost, 6) if self.honest else None,
            "shortfalls": self.shortfalls(),
        }


def run_demo(
    launch: Launch,
    runs: Path,
    view: Callable[[], AbstractContextManager[View]],
    overrides: Mapping[str, object],
) -> Demo:
    """Both runs, one after the other, each with a view of its own."""
    experiment = load(EXAMPLES / "quickstart.toml", overrides)
    with view() as shown:
        attacked = launch(experiment, runs=runs, view=shown)
    if attacked.status == "interrupted":
        return Demo(attacked, None)
    with view() as shown:
        return Demo(attacked, launch(nobody_lies(experiment), runs=runs, view=shown))


def nobody_lies(experiment: Experiment) -> Experiment:
    tables = {**experiment.to_dict(), "name": f"{experiment.name}-nobody-lies", "byzantine": {}}
    return Experiment.from_dict(tables, experiment.name)
