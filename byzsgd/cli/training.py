"""Commands that train on this machine, one process per node."""

from typing import Annotated

import typer

from byzsgd.cli.common import (
    RUNS,
    Encrypted,
    Encryption,
    File,
    Json,
    Runs,
    Seed,
    Settings,
    app,
    leave,
    load,
    overrides,
    tell,
)
from byzsgd.errors import ConfigError


@app.command()
def demo(
    settings: Settings = None, seed: Seed = None, as_json: Json = False, runs: Runs = RUNS
) -> None:
    """Train on this machine while a server and two workers lie, then again while nobody does."""
    from byzsgd.experiment import local
    from byzsgd.experiment.demo import run_demo
    from byzsgd.experiment.view import View

    result = run_demo(local.run_local, runs, View, overrides(settings, seed))
    tell(result.to_dict() if as_json else result.text())
    leave(result.shortfalls(), result.interrupted)


@app.command()
def run(
    file: File,
    settings: Settings = None,
    seed: Seed = None,
    as_json: Json = False,
    runs: Runs = RUNS,
    deliveries: Annotated[
        bool,
        typer.Option("--deliveries", help="record in which order each node heard what, to replay"),
    ] = False,
    encryption: Encryption = None,
    shared_memory: Annotated[
        bool,
        typer.Option("--shared-memory", help="vectors through memory, unencrypted; Linux only"),
    ] = False,
    cpu_times: Annotated[
        bool,
        typer.Option("--cpu-times", help="measure computations in CPU seconds, for --cost RUN"),
    ] = False,
) -> None:
    """Run an experiment on this machine, one process per node."""
    from byzsgd.experiment import local
    from byzsgd.experiment.report import run_text, summary
    from byzsgd.experiment.view import View

    experiment = load(file, settings, seed)
    if shared_memory and encryption is Encrypted.curve:
        raise ConfigError("--shared-memory encrypts nothing: leave out --encryption curve")
    plain = Encrypted.none if shared_memory else Encrypted.curve
    with View() as view:
        done = local.run_local(
            experiment,
            runs=runs,
            view=view,
            encryption=(encryption or plain).value,
            shared_memory=shared_memory,
            deliveries=deliveries,
            measure_cpu=cpu_times,
        )
    tell({**summary(done), "shortfalls": done.shortfalls()} if as_json else run_text(done))
    leave(done.shortfalls(), done.status == "interrupted")
