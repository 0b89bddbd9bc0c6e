"""`byzsgd simulate`: one experiment, a swarm of random ones, or a real run once more."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import typer

from byzsgd.cli.common import RUNS, Json, Runs, Seed, Settings, app, leave, load, tell
from byzsgd.errors import ConfigError

MASTER_SEED = 1


@app.command()
def simulate(
    file: Annotated[
        Path | None, typer.Argument(help="an experiment: a TOML file", metavar="[FILE]")
    ] = None,
    settings: Settings = None,
    seed: Seed = None,
    as_json: Json = False,
    runs: Runs = RUNS,
    cost: Annotated[
        str | None,
        typer.Option(metavar="uniform|measured|FILE|RUN", help="how long computations take"),
    ] = None,
    scheduler: Annotated[
        str | None, typer.Option(metavar="NAME", help="who orders deliveries: list schedulers")
    ] = None,
    wire: Annotated[bool, typer.Option("--wire", help="encode and decode every message")] = False,
    swarm: Annotated[
        int | None, typer.Option(metavar="N", min=1, help="instead of FILE: N random worlds")
    ] = None,
    jobs: Annotated[
        int | None, typer.Option(metavar="N", min=1, help="processes of a swarm, else one per core")
    ] = None,
    replay: Annotated[
        Path | None,
        typer.Option(metavar="RUN", help="instead of FILE: a real run that recorded deliveries"),
    ] = None,
) -> None:
    """Run an experiment in one process and in virtual time: one seed, one history."""
    _exactly_one(file, swarm, replay)
    alone = {"--set": settings, "--cost": cost, "--scheduler": scheduler, "--wire": wire or None}
    if file is None:
        _without(alone, "is for an experiment FILE")
    if swarm is None:
        _without({"--jobs": jobs}, "is for --swarm N")
    if replay is not None:
        _without({"--seed": seed}, "is not for --replay RUN: the run has its own")
    if swarm is not None:
        _swarm(swarm, MASTER_SEED if seed is None else seed, runs, jobs, as_json)
    elif replay is not None:
        _replay(replay, as_json)
    elif file is not None:
        ours = {"cost": cost, "scheduler": scheduler, "wire": "true" if wire else None}
        more = [f"simulation.{key}={value}" for key, value in ours.items() if value is not None]
        _simulate(file, [*(settings or []), *more], seed, runs, as_json)


def _exactly_one(file: Path | None, swarm: int | None, replay: Path | None) -> None:
    if sum(given is not None for given in (file, swarm, replay)) != 1:
        raise ConfigError("simulate takes one of: an experiment FILE, --swarm N, --replay RUN")


def _without(options: Mapping[str, object], why: str) -> None:
    """Nothing that is given may be without effect."""
    for option, given in options.items():
        if given is not None:
            raise ConfigError(f"{option} {why}; leave it out")


def _simulate(file: Path, settings: list[str], seed: int | None, runs: Path, as_json: bool) -> None:
    from byzsgd.experiment.report import run_text, summary
    from byzsgd.experiment.simulate import simulate_recorded, violation_of
    from byzsgd.experiment.view import View
    from byzsgd.runtime.malloc import keep_freed_memory

    keep_freed_memory()
    experiment = load(file, settings, seed)
    with View() as view:
        done = simulate_recorded(experiment, runs, view)
    tell({**summary(done), "shortfalls": done.shortfalls()} if as_json else run_text(done))
    if violation := violation_of(done):
        typer.echo(violation, err=True)
    leave(done.shortfalls(), done.status == "interrupted")


def _swarm(worlds: int, seed: int, runs: Path, jobs: int | None, as_json: bool) -> None:
    from byzsgd.experiment.swarm.hunt import hunt
    from byzsgd.experiment.swarm.view import SwarmView, tally_text

    with SwarmView(worlds) as view:
        tally = hunt(seed, worlds, runs / "swarm", jobs, view.show)
    tell(tally.to_dict() if as_json else tally_text(tally, seed))
    leave([f"world {found.index}: {found.broken}" for found in tally.found], interrupted=False)


def _replay(run: Path, as_json: bool) -> None:
    from byzsgd.experiment.replay import replay

    replayed = replay(run)
    tell(replayed.to_dict() if as_json else replayed.text())
    leave(replayed.shortfalls(), interrupted=False)
