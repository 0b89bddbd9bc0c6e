"""Commands for hosts of different owners: keys, a roster, and one node."""

from pathlib import Path
from typing import Annotated

import typer

from byzsgd.cli.common import File, Seed, Settings, app, load
from byzsgd.errors import ConfigError


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

    experiment = load(file, settings, seed)
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
    """Run one node of an experiment on this host.

    The times of its [faults] are seconds since this node's own start. It never crashes by plan: an
    experiment with such crashes is refused.
    """
    from byzsgd.experiment import remote

    experiment = load(file, settings, seed)
    raise typer.Exit(remote.run_node(experiment, roster, name, key, out))


def _addresses(words: list[str]) -> dict[str, str]:
    addresses = {}
    for word in words:
        name, equals, address = word.partition("=")
        if not equals:
            raise ConfigError(f"--address {word}: write NODE=ADDRESS")
        addresses[name] = address
    return addresses
