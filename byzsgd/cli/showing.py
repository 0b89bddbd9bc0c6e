"""Commands that only look: at a plan, at records, at this machine, at names."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from byzsgd.cli.common import RUNS, File, Json, Runs, Seed, Settings, app, lines, load, tell


class Listed(StrEnum):
    aggregators = "aggregators"
    preaggregations = "preaggregations"
    attacks = "attacks"
    schedulers = "schedulers"
    tasks = "tasks"
    models = "models"


@app.command()
def plan(file: File, settings: Settings = None, seed: Seed = None, as_json: Json = False) -> None:
    """Show what an experiment tolerates and what it takes, without running it."""
    from byzsgd.experiment.plan import describe, dimension_of
    from byzsgd.experiment.text import plan_text

    experiment = load(file, settings, seed, warn=False)
    found = describe(experiment, dimension_of(experiment))
    tell(found.to_dict() if as_json else plan_text(found))


@app.command()
def report(
    paths: Annotated[list[Path], typer.Argument(metavar="PATH…", help="runs, or folders of runs")],
    as_json: Json = False,
    html: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="write a page with figures and tables instead"),
    ] = None,
) -> None:
    """Show runs side by side, from their records; sweeps too, on a page."""
    if html:
        write_page(paths, html, as_json)
        return
    from byzsgd.experiment.report import report as read

    found = read(paths)
    tell(found.to_dict() if as_json else found.text())
    if found.broken or not found.runs:
        raise typer.Exit(1)


def write_page(paths: list[Path], html: Path, as_json: bool) -> None:
    from byzsgd.experiment.page import write_page as write

    found = write(paths, html)
    page = f"{html}: a page of {found.runs} run{'' if found.runs == 1 else 's'}"
    broken = [f"broken: {reason}" for reason in found.broken]
    as_dict = {"html": str(html), "runs": found.runs, "broken": found.broken}
    tell(as_dict if as_json else lines([page, *broken]))
    if found.broken or not found.runs:
        raise typer.Exit(1)


@app.command()
def doctor(as_json: Json = False, runs: Runs = RUNS) -> None:
    """Check whether this machine can run experiments."""
    from byzsgd.experiment.doctor import examine

    checks = list(examine(runs))
    tell({check.name: check._asdict() for check in checks} if as_json else lines(checks))
    if any(check.ok is False for check in checks):
        raise typer.Exit(1)


@app.command("list")
def list_(what: Listed, as_json: Json = False) -> None:
    """List what an experiment can name."""
    from byzsgd.experiment.names import names

    found = names(what.value)
    width = max(map(len, found))
    tell(found if as_json else lines(f"{name:<{width}}  {text}" for name, text in found.items()))
