"""What a page tells of one run: read once from its record, then plain numbers."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from byzsgd.errors import ConfigError
from byzsgd.experiment.files import ASSUMPTIONS, POTENCY, SUSPICION, read_json, read_optional
from byzsgd.experiment.findings.seen import tables
from byzsgd.experiment.page.node import Line, Node, links_of, node_of, over_nodes, totals_of
from byzsgd.experiment.page.parts import number
from byzsgd.experiment.results import Run


class Evaluation(NamedTuple):
    step: float
    seconds: float
    accuracy: float


@dataclass(frozen=True)
class Sample:
    """One run. What is not known is NaN or empty; `broken` says which of its files are damaged.

    `links[(from, to)]` are the bytes per step that each link of this kind carried, by roles.
    """

    path: str
    folder: str
    status: str
    simulated: bool
    accuracy: float
    steps: int
    steps_planned: int
    step_s: float
    cpu_s: float
    sent_bytes: float
    evaluations: tuple[Evaluation, ...]
    nodes: tuple[Node, ...]
    links: Mapping[tuple[str, str], tuple[float, ...]]
    warnings: tuple[str, ...]
    message: str
    environment: Mapping[str, Any]
    broken: tuple[str, ...]
    assumptions: Mapping[str, Any]
    potency: Sequence[Mapping[str, Any]]
    suspicion: Sequence[Mapping[str, Any]]
    backdoor: float = math.nan
    """Its success, of several the greatest, where a liar plants one."""

    @property
    def finished(self) -> bool:
        return self.status == "finished"

    @property
    def rate(self) -> float:
        """Steps per second."""
        return 1 / self.step_s if self.step_s > 0 else math.nan

    def seconds_to(self, accuracy: float) -> float:
        """When an evaluation first was so good; NaN if none was."""
        return next((e.seconds for e in self.evaluations if e.accuracy >= accuracy), math.nan)

    def steps_to(self, accuracy: float) -> float:
        return next((e.step for e in self.evaluations if e.accuracy >= accuracy), math.nan)


def sample(run: Run, simulated: bool) -> Sample:
    """Raises `ConfigError` where the experiment or the events cannot be read."""
    broken: list[str] = []
    totals = totals_of(run.events)
    steps = run.steps
    experiment = run.experiment
    nodes = [node_of(run, node, totals, broken) for node in experiment.honest]
    used, sent = (over_nodes(totals, name) for name in ("cpu_s", "bytes_sent"))
    return Sample(
        path=str(run.path),
        folder=run.path.name,
        status=run.status,
        simulated=simulated,
        accuracy=run.accuracy,
        steps=steps,
        steps_planned=experiment.plan.steps,
        step_s=_step_s(run),
        cpu_s=used / steps if steps else math.nan,
        sent_bytes=sent / steps if steps else math.nan,
        evaluations=tuple(_evaluations(run.evaluations)),
        nodes=tuple(nodes),
        links=links_of(totals, steps),
        warnings=run.warnings,
        message=str(run.result.get("message") or ""),
        environment=_environment(run, broken),
        assumptions=_found(run, ASSUMPTIONS, broken),
        potency=tables(_found(run, POTENCY, broken), "liars"),
        suspicion=tables(_found(run, SUSPICION, broken), "nodes"),
        backdoor=run.backdoor,
        broken=tuple(broken),
    )


def _found(run: Run, name: str, broken: list[str]) -> Mapping[str, Any]:
    try:
        return read_optional(run.path / name)
    except ConfigError as error:
        broken.append(str(error))
        return {}


def _step_s(run: Run) -> float:
    try:
        return run.step_s
    except (ConfigError, KeyError, TypeError):  # a damaged file of measures, told of by `node_of`
        return math.nan


def _evaluations(lines: Iterable[Line]) -> Iterable[Evaluation]:
    for line in lines:
        found = Evaluation(*(number(line.get(name)) for name in Evaluation._fields))
        if math.isfinite(found.step) and math.isfinite(found.seconds):
            yield found


def _environment(run: Run, broken: list[str]) -> dict[str, Any]:
    try:
        return read_json(run.path / "environment.json")
    except ConfigError as error:
        broken.append(str(error))
        return {}
