"""The command line: `byzsgd COMMAND --help`.

Commands import what they need when they run, so that `--help` answers at once. Exit codes: 0 when
the run reached its last step and what it expects holds, 1 when not, 2 for a mistake in what was
given, 130 after Ctrl-C.
"""

import os
from collections.abc import Iterable
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperGroup

from byzsgd.errors import ConfigError

if TYPE_CHECKING:
    from byzsgd.experiment.config import Experiment

INTERRUPTED = 130


class Group(TyperGroup):
    """Tells the experimenter's mistakes in one message, without a traceback."""

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except ConfigError as error:
            typer.echo(f"byzsgd: {error}", err=True)
            raise typer.Exit(2) from None
        except KeyboardInterrupt:
            raise typer.Exit(INTERRUPTED) from None


app = typer.Typer(
    cls=Group,
    help="Train PyTorch models across hosts of owners who do not trust one another.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

File = Annotated[Path, typer.Argument(help="an experiment: a TOML file", metavar="FILE")]
Settings = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="another value for a key, as plan.steps=50"),
]
Seed = Annotated[int | None, typer.Option(help="another seed, as --set seed=N")]
Json = Annotated[bool, typer.Option("--json", help="end with one line of JSON on stdout")]
Runs = Annotated[Path, typer.Option(metavar="DIR", help="where records go")]
RUNS = Path("runs")


class Listed(StrEnum):
    aggregators = "aggregators"
    preaggregations = "preaggregations"
    attacks = "attacks"
    tasks = "tasks"
    models = "models"


@app.command()
def demo(
    settings: Settings = None, seed: Seed = None, as_json: Json = False, runs: Runs = RUNS
) -> None:
    """Train on this machine while a server and two workers lie, then again while nobody does."""
    from byzsgd.experiment import local
    from byzsgd.experiment.demo import run_demo
    from byzsgd.experiment.view import View

    result = run_demo(local.run_local, runs, View, _overrides(settings, seed))
    _tell(result.to_dict() if as_json else result.text())
    _leave(result.shortfalls(), result.interrupted)


@app.command()
def run(
    file: File,
    settings: Settings = None,
    seed: Seed = None,
    as_json: Json = False,
    runs: Runs = RUNS,
) -> None:
    """Run an experiment on this machine, one process per node."""
    from byzsgd.experiment import local
    from byzsgd.experiment.report import run_text, summary
    from byzsgd.experiment.view import View

    experiment = _load(file, settings, seed)
    with View() as view:
        done = local.run_local(experiment, runs=runs, view=view)
    _tell({**summary(done), "shortfalls": done.shortfalls()} if as_json else run_text(done))
    _leave(done.shortfalls(), done.status == "interrupted")


@app.command()
def plan(file: File, settings: Settings = None, seed: Seed = None, as_json: Json = False) -> None:
    """Show what an experiment tolerates and what it takes, without running it."""
    from byzsgd.experiment.plan import describe, dimension_of
    from byzsgd.experiment.text import plan_text

    experiment = _load(file, settings, seed, warn=False)
    found = describe(experiment, dimension_of(experiment))
    _tell(found.to_dict() if as_json else plan_text(found))


@app.command()
def report(
    paths: Annotated[list[Path], typer.Argument(metavar="PATH…", help="runs, or folders of runs")],
    as_json: Json = False,
) -> None:
    """Show runs side by side, from their records."""
    from byzsgd.experiment.report import report as read

    found = read(paths)
    _tell(found.to_dict() if as_json else found.text())
    if found.broken or not found.runs:
        raise typer.Exit(1)


@app.command()
def doctor(as_json: Json = False, runs: Runs = RUNS) -> None:
    """Check whether this machine can run experiments."""
    from byzsgd.experiment.doctor import examine

    checks = list(examine(runs))
    _tell({check.name: check._asdict() for check in checks} if as_json else _lines(checks))
    if any(check.ok is False for check in checks):
        raise typer.Exit(1)


@app.command("list")
def list_(what: Listed, as_json: Json = False) -> None:
    """List what an experiment can name."""
    from byzsgd.experiment.names import names

    found = names(what.value)
    width = max(map(len, found))
    _tell(found if as_json else _lines(f"{name:<{width}}  {text}" for name, text in found.items()))


@app.command()
def keygen(
    file: File,
    out: Annotated[Path, typer.Option(metavar="DIR", help="where keys and roster are written")],
    address: Annotated[
        list[str] | None,
        typer.Option(metavar="NODE=ADDRESS", help="as server-0=tcp://10.0.0.1:7000"),
    ] = None,
    only: Annotated[
        str | None, typer.Option("--node", help="only this node's key: its owner makes it")
    ] = None,
    settings: Settings = None,
    seed: Seed = None,
) -> None:
    """Make the keys of all nodes and the roster that says who is where, or the key of one node."""
    from byzsgd.experiment import remote

    experiment = _load(file, settings, seed)
    if only is not None:
        path, public = remote.keygen_node(experiment, only, out)
        typer.echo(f'wrote {path}; for the roster: public_key = "{public}"')
        return
    remote.keygen(experiment, out, _addresses(address or []))
    typer.echo(f"wrote the keys and the roster of {len(experiment.cluster.nodes)} nodes to {out}")


@app.command()
def node(
    file: File,
    name: Annotated[str, typer.Option("--node", help="which one, as server-0")],
    roster: Annotated[Path, typer.Option(help="who is where, as keygen wrote it")],
    key: Annotated[Path, typer.Option(help="this node's own key file")],
    out: Annotated[Path, typer.Option(metavar="DIR", help="where this node records")],
    settings: Settings = None,
    seed: Seed = None,
) -> None:
    """Run one node of an experiment on this host."""
    from byzsgd.experiment import remote

    experiment = _load(file, settings, seed)
    raise typer.Exit(remote.run_node(experiment, roster, name, key, out))


def main() -> None:
    # Threads of a library's own would keep the launcher from forking its processes off itself.
    for library in ("OMP", "OPENBLAS", "MKL"):
        os.environ.setdefault(f"{library}_NUM_THREADS", "1")
    app()


def _load(
    file: Path, settings: list[str] | None, seed: int | None, warn: bool = True
) -> "Experiment":
    from byzsgd.experiment.config import load

    experiment = load(file, _overrides(settings, seed))
    for warning in experiment.warnings if warn else ():
        typer.echo(f"warning: {warning}", err=True)
    return experiment


def _overrides(settings: list[str] | None, seed: int | None) -> dict[str, object]:
    from byzsgd.experiment.load import parse_settings

    return parse_settings(settings or []) | ({} if seed is None else {"seed": seed})


def _addresses(words: list[str]) -> dict[str, str]:
    addresses = {}
    for word in words:
        name, equals, address = word.partition("=")
        if not equals:
            raise ConfigError(f"--address {word}: write NODE=ADDRESS")
        addresses[name] = address
    return addresses


def _lines(things: Iterable[object]) -> str:
    return "\n".join(map(str, things))


def _tell(what: dict[str, Any] | str) -> None:
    """The result, on stdout, which has nothing else on it."""
    from byzsgd.experiment.files import to_json

    typer.echo(what if isinstance(what, str) else to_json(what))


def _leave(shortfalls: list[str], interrupted: bool) -> None:
    """Say why this was no success, and exit accordingly."""
    for shortfall in shortfalls:
        typer.echo(f"byzsgd: {shortfall}", err=True)
    if shortfalls or interrupted:
        raise typer.Exit(INTERRUPTED if interrupted else 1)
