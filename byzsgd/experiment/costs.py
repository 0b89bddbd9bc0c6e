"""`--cost measured | uniform | FILE`: how long computations take in virtual time.

A file, TOML or JSON, says seconds; what it leaves out takes none:

gradient_s = 0.012      # a worker's gradient
update_s = 0.004        # aggregating a quorum of gradients, and applying it
contract_s = 0.001      # the median of a quorum of models, at servers and workers
forge_s = 0.0           # a liar's lie
send_s = 0.0003         # handing one vector to the network, for each receiver

[nodes]                 # who differs, and in what
workers = { gradient_s = 0.02 }
"server-0..1" = { update_s = 0.008, send_s = 0.001 }
"""

from collections.abc import Mapping
from dataclasses import replace
from os import PathLike
from pathlib import Path
from typing import Any, Final

from byzsgd.cluster import Cluster, NodeId
from byzsgd.errors import ConfigError, unknown_name
from byzsgd.experiment.complaints import toml
from byzsgd.experiment.config import Experiment
from byzsgd.experiment.load import read_table
from byzsgd.experiment.patterns import all_of
from byzsgd.simulation.cost import SECONDS, UNIFORM, Cost

WAYS: Final = ("measured", "uniform")


def costs(experiment: Experiment, how: str | PathLike[str]) -> Cost:
    """The costs of one experiment: "measured" on this machine now, "uniform", or those of a file.

    The file may also be the `result.json` of a run whose costs are wanted again. Raises
    `ConfigError`.
    """
    if how == "uniform":
        return UNIFORM
    if how == "measured":
        from byzsgd.experiment.measured import measured

        return measured(experiment)
    path = Path(how)
    if not path.suffix and not path.exists():
        raise unknown_name("cost", str(how), [*WAYS, "FILE.toml", "FILE.json"])
    tables = read_table(path)
    try:
        return _cost(tables.get("cost", tables), experiment.cluster)
    except ConfigError as error:
        raise ConfigError(f"{path}: {error}") from None


def _cost(table: object, cluster: Cluster) -> Cost:
    if not isinstance(table, Mapping) or not table:
        raise ConfigError(f"has no costs: write some of {', '.join(SECONDS)}, each in seconds")
    given = {key: value for key, value in table.items() if key != "nodes"}
    base = _changed(Cost(), given, ("nodes",))
    return replace(base, nodes=_nodes(table.get("nodes", {}), base, cluster))


def _nodes(tables: object, base: Cost, cluster: Cluster) -> dict[NodeId, Cost]:
    """Of several that cover a node each has its say, the last one the last."""
    if not isinstance(tables, Mapping):
        raise ConfigError(f"nodes = {toml(tables)}: must be a table, such as [nodes.worker-3]")
    found: dict[NodeId, Cost] = {}
    for pattern, table in tables.items():
        try:
            for node in all_of([pattern], cluster):
                found[node] = _changed(found.get(node, base), table)
        except ConfigError as error:
            raise ConfigError(f'nodes."{pattern}": {error}') from None
    return dict(sorted(found.items()))


def _changed(cost: Cost, table: Any, also: tuple[str, ...] = ()) -> Cost:
    if not isinstance(table, Mapping):
        raise ConfigError(f"must be a table, such as {{ gradient_s = 0.02 }}, not {toml(table)}")
    for key in table:
        if key not in SECONDS:
            raise unknown_name("key", str(key), [*SECONDS, *also])
    return replace(cost, **table)
