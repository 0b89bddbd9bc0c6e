"""`byzsgd.run`."""

from os import PathLike
from pathlib import Path

from byzsgd.experiment.config import Experiment
from byzsgd.experiment.results import Run


def run(
    experiment: Experiment,
    runs: str | PathLike[str] = "runs",
    quiet: bool = True,
    deliveries: bool = False,
) -> Run:
    """Run an experiment on this machine, one process per node, and return its record.

    `runs` is where the record goes. Without `quiet` the progress is shown on stderr. With
    `deliveries` each node records in which order it was told what, for a replay. `run.status` says
    whether the last step was reached. Raises `ConfigError` for what the experimenter can mend.
    """
    from byzsgd.experiment.local import run_local
    from byzsgd.experiment.view import View

    if quiet:
        return run_local(experiment, runs=Path(runs), deliveries=deliveries)
    with View() as view:
        return run_local(experiment, runs=Path(runs), view=view, deliveries=deliveries)
