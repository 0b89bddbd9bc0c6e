"""A real run once more in one process, from the deliveries that its nodes recorded."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from byzsgd.cluster import NodeId
from byzsgd.errors import ConfigError
from byzsgd.experiment.build import machine_of
from byzsgd.experiment.deliveries import deliveries_path, read_deliveries
from byzsgd.experiment.enact import Enactment, real_conditions
from byzsgd.experiment.files import load_model, model_path, saved_steps
from byzsgd.experiment.results import Run
from byzsgd.experiment.warm import warm
from byzsgd.simulation.checkers import Violation
from byzsgd.simulation.cost import FREE
from byzsgd.simulation.follow import Follow, Told
from byzsgd.simulation.parts import Checkpoint


@dataclass(frozen=True)
class Replayed:
    """How a replay compares with its run.

    `differences` has, for each model that the run has left behind, the largest difference of a
    parameter to the replayed one: 0.0 where every bit is the same.
    """

    run: Path
    events: int
    differences: Mapping[str, float]
    stuck: Mapping[str, str]
    violation: str | None
    trace: Sequence[str]

    @property
    def equal(self) -> bool:
        return not self.stuck and all(d == 0.0 for d in self.differences.values())

    def shortfalls(self) -> list[str]:
        """Why the replay is no success, in words."""
        found = [f"{node} cannot be told {what}" for node, what in self.stuck.items()]
        found += [
            f"{node}'s model differs by up to {difference:.3g}"
            for node, difference in self.differences.items()
            if difference != 0.0
        ]
        return found + ([self.violation] if self.violation else [])

    def text(self) -> str:
        equal = sum(difference == 0.0 for difference in self.differences.values())
        lines = [
            f"{self.run}: followed {self.events:,} events; "
            f"{equal} of {len(self.differences)} models equal the run's, bit by bit"
        ]
        return "\n".join([*lines, *(self.trace if self.shortfalls() else ())])

    def to_dict(self) -> dict[str, Any]:
        return {
            "run": str(self.run),
            "events": self.events,
            "differences": dict(self.differences),
            "stuck": dict(self.stuck),
            "shortfalls": self.shortfalls(),
        }


def replay(path: Path) -> Replayed:
    """Raises `ConfigError` where there is no run, or none that recorded its deliveries."""
    run = Run.open(path)
    experiment = run.experiment
    orders = {node: read_deliveries(path, node) for node in experiment.cluster.nodes}
    if not any(orders.values()):
        raise ConfigError(
            f"{path}: recorded no deliveries ({deliveries_path(path, 'NODE')} is missing); "
            "run the experiment again with `byzsgd run FILE --deliveries`"
        )
    warm(experiment)
    # as the nodes did: each gradient by itself
    alone = experiment.simulation.model_copy(update={"gradients": "loop"})
    again = experiment.model_copy(update={"simulation": alone})
    return _follow(run, Enactment(again, FREE, partial(machine_of, real=True)), orders)


def _follow(run: Run, parts: Enactment, orders: Mapping[NodeId, Sequence[Told]]) -> Replayed:
    watchers = [parts.trace, *parts.checkers()]
    stage = Follow(orders, parts.make, parts.answers, run.experiment.honest, watchers, parts.wire())
    violation = None
    try:
        with real_conditions():
            stage.run()
    except Violation as found:
        violation = str(found)
    return Replayed(
        run.path,
        stage.events,
        {str(node): difference for node, difference in _differences(run, stage.saved)},
        {str(node): _words(told) for node, told in stage.stuck.items()},
        violation,
        parts.trace.lines(),
    )


def _differences(run: Run, saved: Mapping[NodeId, Checkpoint]) -> Iterator[tuple[NodeId, float]]:
    """Between the last model of each honest server and the one that the replay made of it."""
    for node in run.experiment.honest_servers:
        for step in saved_steps(run.path, node)[-1:]:
            theirs = load_model(model_path(run.path, node, step))
            ours = saved.get(node)
            if ours is None or ours.step != step:
                yield node, math.inf
            else:
                yield node, float((ours.params - theirs).abs().max())


def _words(told: Told) -> str:
    return " ".join(map(str, told))
