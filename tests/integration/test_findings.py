"""A real run finds out who sends what is malformed, and who says two things at once."""

from pathlib import Path

import byzsgd
from byzsgd.experiment.config import Experiment
from byzsgd.experiment.report import run_text
from tests.integration.processes import marked


def test_what_processes_refused_and_compared_is_held_against_the_sender(tmp_path: Path) -> None:
    experiment = Experiment(
        name="caught",
        cluster={"servers": 5, "workers": 4, "f_servers": 1, "f_workers": 1},
        plan={"steps": 15},
        training={"task": "byzsgd.experiment.swarm.task:three_groups", "batch": 8},
        byzantine={
            "server-4": {"attack": "equivocate"},
            "worker-1": {"attack": "malformed", "kind": "header"},
        },
    )
    with marked():
        run = byzsgd.run(experiment, tmp_path)
    assert (run.status, run.warnings) == ("finished", ())
    proven = {row["node"]: row["counts"] for row in run.suspicion if row["proofs"]}
    assert set(proven) == {"server-4", "worker-1"}
    assert proven["server-4"]["equivocating"] > 5
    assert proven["worker-1"]["malformed"] > 5
    potency = {row["node"]: row for row in run.potency}
    assert potency["server-4"]["changed"] == potency["server-4"]["words"] > 0
    assert potency["worker-1"]["aggregated"] == 0
    assert "equivocating" in run_text(run)
