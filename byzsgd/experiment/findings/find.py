"""What the nodes' lines of a record add up to at its end: three more files of it.

assumptions.json   were the assumptions of the rule's theorem met?
potency.json       what each liar achieved
suspicion.json     what honest nodes have against each sender
"""

from pathlib import Path

from byzsgd.errors import ConfigError
from byzsgd.experiment.config import Experiment
from byzsgd.experiment.files import (
    ASSUMPTIONS,
    POTENCY,
    SUSPICION,
    measures_path,
    read_lines,
    write_json,
)
from byzsgd.experiment.findings.assumptions import Assumptions
from byzsgd.experiment.findings.potency import Potencies
from byzsgd.experiment.findings.seen import node_named
from byzsgd.experiment.findings.suspicion import RULE, Suspicions


def find(path: Path, experiment: Experiment, ended: bool = True) -> tuple[str, ...]:
    """Read the record in `path`, write the three files, and return what is to be warned of.

    Nothing is found, and nothing written, where the record was not to hold it. Of attacks without
    effect is warned only where the run has `ended` as it should.
    """
    if not experiment.record.resilience:
        return ()
    try:
        warnings = _find(path, experiment)
    except ConfigError as error:  # such as a full disk leaves: the run has its result all the same
        return (f"what lies achieved is not known: {error}",)
    return warnings if ended else ()


def _find(path: Path, experiment: Experiment) -> tuple[str, ...]:
    events = read_lines(path / "events.jsonl")
    restarted = [node_named(e.get("node")) for e in events if e.get("event") == "restarted"]
    assumptions, potencies = Assumptions(experiment), Potencies(experiment)
    suspicions = Suspicions(experiment, filter(None, restarted))
    for node in experiment.cluster.nodes:  # a file at a time: they may be large
        for line in read_lines(measures_path(path, node)):
            if node in experiment.liars:
                potencies.add_own(node, line)
            else:
                assumptions.add(node, line)
                potencies.add(node, line)
                suspicions.add(node, line)
    for totals in (event for event in events if event.get("event") == "totals"):
        potencies.ended(totals)
        if node_named(totals.get("node")) not in experiment.liars:
            suspicions.ended(totals)
    write_json(path / ASSUMPTIONS, assumptions.told())
    write_json(path / POTENCY, {"liars": potencies.told()})
    write_json(path / SUSPICION, {"rule": RULE, "nodes": suspicions.told()})
    return tuple(potencies.warnings())
