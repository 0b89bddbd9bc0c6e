"""`[aggregation] f`: a rule that tolerates more, or fewer, lies than the cluster declares."""

from pathlib import Path
from typing import Any

import pytest

import byzsgd
from byzsgd.errors import ConfigError
from byzsgd.experiment.config import Experiment

WORKERS = 7


def experiment(**tables: Any) -> Experiment:
    base: dict[str, Any] = {
        "name": "f",
        "cluster": {"servers": 1, "workers": WORKERS},
        "plan": {"steps": 3},
        "aggregation": {"gradients": "mda", "f": 3},
        "simulation": {"checks": "all"},
    }
    return Experiment.from_dict({**base, **tables})


def test_more_lies_than_a_quorum_allows() -> None:
    assert experiment(aggregation={"gradients": "trimmed_mean", "f": 3}).cluster.q_workers == 7
    with pytest.raises(ConfigError, match=r"n ≥ 4f\+3: 11 vectors for f = 2"):
        experiment(aggregation={"gradients": "bulyan", "f": 2})


@pytest.mark.parametrize("f", [-1, True, 1.5, "2"])
def test_what_is_no_number_of_lies_is_refused(f: object) -> None:
    with pytest.raises(ConfigError, match=r"aggregation\.f"):
        experiment(aggregation={"gradients": "median", "f": f})


def test_so_many_liars_are_left_out_and_no_checker_objects(tmp_path: Path) -> None:
    lying = experiment(byzantine={"worker-4..6": {"attack": "nan"}})
    for one, liars in ((lying, 3), (experiment(), 0)):
        run = byzsgd.simulate(one, tmp_path)
        assert run.status == "finished"
        honest = {f"worker-{number}" for number in range(WORKERS - liars)}
        for line in run.measures("server-0"):
            assert len(line["chosen"]) == WORKERS - 3
            assert set(line["chosen"]) <= honest
