"""`--cost measured | uniform | FILE | RUN`: how long computations take in virtual time.

Of a real run that was measured in CPU seconds they are what its nodes took (`calibrated`).

A file, TOML or JSON, says seconds; what it leaves out takes none, or what `base` says of it:

base = "measured"       # or "uniform"
gradient_s = 0.012      # a worker's gradient
update_s = 0.004        # aggregating a quorum of gradients, and applying it
contract_s = 0.001      # the median of a quorum of models, at servers and workers
forge_s = 0.0           # a liar's lie
send_s = 0.0003         # handing one vector to the network, for each receiver
receive_s = 0.0003      # taking one vector in
cores = 2               # all nodes share a machine of so many; left out, each has its own

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
    """The costs of one experiment: "measured" on this machine now, "uniform", of a file or a run.

    The file may also be the `result.json` of a run whose costs are wanted again. Raises
    `ConfigError`.
    """
    if how == "uniform":
        return UNIFORM
    if how == "measured":
        from byzsgd.experiment.measured import measured

        return measured(experiment)
    path = Path(how)
    if path.is_dir():
        from byzsgd.experiment.calibrated import calibrated

        return calibrated(path)
    if not path.suffix and not path.exists():
        raise unknown_name("cost", str(how), [*WAYS, "FILE.toml", "FILE.json", "runs/NAME/RUN"])
    tables = read_table(path)
    try:
        return _cost(tables.get("cost", tables), experiment)
    except ConfigError as error:
        raise ConfigError(f"{path}: {error}") from None


def _cost(table: object, experiment: Experiment) -> Cost:
    if not isinstance(table, Mapping) or not table:
        raise ConfigError(f"has no costs: write some of {', '.join(SECONDS)}, each in seconds")
    given = {key: value for key, value in table.items() if key not in ("base", "cores", "nodes")}
    cost = _changed(_base(table.get("base"), experiment), given, ("base", "cores", "nodes"))
    cost = replace(cost, cores=table.get("cores", cost.cores))
    return replace(cost, nodes=_nodes(table.get("nodes", {}), cost, experiment.cluster))


def _base(way: object, experiment: Experiment) -> Cost:
    if way is None:
        return Cost()
    if way not in WAYS:
        raise unknown_name("base", str(way), WAYS)
    return costs(experiment, str(way))


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
