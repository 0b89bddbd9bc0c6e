"""`byzsgd.sweep`."""

from collections.abc import Iterable, Mapping
from os import PathLike
from pathlib import Path
from typing import Any

from byzsgd.experiment.sweep.cells import load_sweep
from byzsgd.experiment.sweep.manifest import Manner
from byzsgd.experiment.sweep.run import run_missing
from byzsgd.experiment.sweep.swept import Swept, choose
from byzsgd.runtime.roster import Encryption


def sweep(
    given: str | PathLike[str] | Mapping[str, Any],
    overrides: Mapping[str, object] | None = None,
    runs: str | PathLike[str] = "runs",
    simulated: bool = False,
    only: Iterable[str] = (),
    again: bool = False,
    encryption: Encryption = "curve",
    quiet: bool = True,
) -> Swept:
    """Run what is missing of a sweep, a file or its tables, and return what there is of it then.

    `only` are words such as "system=plain"; with `again` failed experiments are run once more;
    `simulated` ones run in virtual time. `rows(swept)` of `byzsgd.experiment.sweep.summary` are the
    figures, `swept.runs` the records. Raises `ConfigError` for what the experimenter can mend.
    """
    from byzsgd.experiment.sweep.view import Silence, SweepView

    table = load_sweep(given, overrides)
    chosen, manner = choose(table, only), Manner(simulated, encryption)
    if quiet:
        return run_missing(table, chosen, Path(runs), manner, Silence(), again)
    with SweepView() as view:
        return run_missing(table, chosen, Path(runs), manner, view, again)
