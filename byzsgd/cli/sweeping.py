"""`byzsgd sweep`: one experiment in all combinations of variants."""

from typing import Annotated

import typer

from byzsgd.cli.common import (
    RUNS,
    Encryption,
    File,
    Json,
    Runs,
    Seed,
    Settings,
    app,
    leave,
    overrides,
    tell,
)
from byzsgd.errors import ConfigError


@app.command()
def sweep(
    file: File,
    settings: Settings = None,
    seed: Seed = None,
    as_json: Json = False,
    runs: Runs = RUNS,
    simulated: Annotated[
        bool, typer.Option("--simulate", help="in virtual time, as byzsgd simulate does")
    ] = False,
    only: Annotated[
        list[str] | None,
        typer.Option(metavar="AXIS=VARIANT", help="only these, as system=plain"),
    ] = None,
    again: Annotated[bool, typer.Option("--again", help="run once more what failed")] = False,
    encryption: Encryption = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="only show what is done and what is missing")
    ] = False,
) -> None:
    """Run an experiment in all combinations of variants, as far as they are not done yet.

    The file has a table called sweep with axes of variants. A sweep can be stopped at any time, and
    goes on from there the next time. It exits with 0 if every experiment that is possible is done.
    """
    from byzsgd.experiment.sweep.cells import load_sweep
    from byzsgd.experiment.sweep.manifest import Manner
    from byzsgd.experiment.sweep.run import run_missing
    from byzsgd.experiment.sweep.swept import Swept, choose
    from byzsgd.experiment.sweep.text import cells_dict, cells_text, swept_dict, swept_text
    from byzsgd.experiment.sweep.view import SweepView
    from byzsgd.runtime.malloc import keep_freed_memory

    if simulated and encryption:
        raise ConfigError("--encryption is for real runs; leave it out with --simulate")
    loaded = load_sweep(file, overrides(settings, seed))
    manner = Manner(simulated, encryption.value if encryption else "curve")
    chosen = choose(loaded, only or [])
    if dry_run:
        known = Swept.look(loaded, chosen, runs / loaded.name, manner)
        tell(cells_dict(known) if as_json else cells_text(known))
        return
    if simulated:
        keep_freed_memory()
    with SweepView() as view:
        done = run_missing(loaded, chosen, runs, manner, view, again)
    tell(swept_dict(done) if as_json else swept_text(done))
    leave(done.shortfalls(), done.interrupted)
