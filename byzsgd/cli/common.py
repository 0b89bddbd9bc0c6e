"""What the commands share: options, reading a file, and how to end."""

from collections.abc import Iterable
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer
from typer.core import TyperGroup

from byzsgd.errors import ConfigError

if TYPE_CHECKING:
    from byzsgd.experiment.config import Experiment

INTERRUPTED: Final = 130


ORDER: Final = [
    *("demo", "run", "simulate", "sweep"),
    *("plan", "report", "list", "doctor"),
    *("keygen", "node"),
]
"""As `--help` lists the commands."""


class Group(TyperGroup):
    """Tells the experimenter's mistakes in one message, without a traceback."""

    def list_commands(self, ctx: Any) -> list[str]:
        return sorted(super().list_commands(ctx), key=ORDER.index)

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


class Encrypted(StrEnum):
    curve = "curve"
    none = "none"


Encryption = Annotated[
    Encrypted | None, typer.Option(help="of the links between real processes; else curve")
]


def load(
    file: Path, settings: list[str] | None, seed: int | None, warn: bool = True
) -> "Experiment":
    from byzsgd.experiment.config import load

    experiment = load(file, overrides(settings, seed))
    for warning in experiment.warnings if warn else ():
        typer.echo(f"warning: {warning}", err=True)
    return experiment


def overrides(settings: list[str] | None, seed: int | None) -> dict[str, object]:
    from byzsgd.experiment.load import parse_settings

    return parse_settings(settings or []) | ({} if seed is None else {"seed": seed})


def lines(things: Iterable[object]) -> str:
    return "\n".join(map(str, things))


def tell(what: dict[str, Any] | str) -> None:
    """The result, on stdout, which has nothing else on it."""
    from byzsgd.experiment.files import to_json

    typer.echo(what if isinstance(what, str) else to_json(what))


def leave(shortfalls: list[str], interrupted: bool) -> None:
    """Say why this was no success, and exit accordingly."""
    for shortfall in shortfalls:
        typer.echo(f"byzsgd: {shortfall}", err=True)
    if shortfalls or interrupted:
        raise typer.Exit(INTERRUPTED if interrupted else 1)
