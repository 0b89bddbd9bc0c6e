"""The command line that all node processes share."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from byzsgd.errors import ConfigError
from byzsgd.experiment.config import Experiment, load


def main(kind: str, arguments: Sequence[str] | None = None) -> int:
    """Run a process of `kind`, "server", "worker" or "adversary"; the exit code."""
    options = _parser(kind).parse_args(arguments)
    try:
        experiment = load(options.experiment)
        _check(kind, options.node, experiment)
        from byzsgd.experiment.remote import run_node

        return run_node(experiment, options.roster, options.node, options.key, options.out)
    except ConfigError as error:
        print(f"nodes.{kind}: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:  # while torch was being imported
        return 130


def _parser(kind: str) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog=f"python -m nodes.{kind}",
        description=f"Run one {kind} of a roster until it is stopped. The times of [faults] are "
        "seconds since its own start; an experiment with crashes by plan is refused.",
    )
    parser.add_argument("--experiment", type=Path, required=True, help="the experiment's TOML file")
    parser.add_argument("--roster", type=Path, required=True, help="addresses and public keys")
    parser.add_argument("--node", required=True, help="which node this is, such as server-0")
    parser.add_argument("--key", type=Path, required=True, help="this node's key file")
    parser.add_argument("--out", type=Path, default=Path("node"), help="where records go (./node)")
    return parser


def _check(kind: str, name: str, experiment: Experiment) -> None:
    """A liar must be started as one, and nobody else may be."""
    node = experiment.node(name)
    right = "adversary" if node in experiment.liars else node.role
    if kind != right:
        lies = " lies in this experiment, so it" if right == "adversary" else ""
        raise ConfigError(f"{name}{lies} is started with `python -m nodes.{right}`")
