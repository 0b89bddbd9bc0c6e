"""At how many updates were the assumptions met, from lines made by hand."""

import math
from typing import Any

from byzsgd.aggregators import AGGREGATORS
from byzsgd.experiment.config import Experiment
from byzsgd.experiment.findings.assumptions import Assumptions
from tests.world import servers, workers

S, W = servers(1), workers(4)


def experiment(**aggregation: Any) -> Experiment:
    return Experiment(
        name="assumed",
        cluster={"servers": 1, "workers": 7, "f_workers": 2},
        plan={"steps": 10},
        aggregation=aggregation,
    )


def update(ratio: float | None, met: int | None, bound: float | None = 1.0) -> dict[str, Any]:
    quorum = [f"worker-{each}" for each in range(5)]
    return {"quorum": quorum, "gradients": {"ratio": ratio, "met": met, "bound": bound}}


def test_updates_are_counted_by_whether_it_is_known_and_so() -> None:
    assumptions = Assumptions(experiment())
    for line in (
        update(0.1, 1),
        update(0.3, 1),
        update(9.0, 0),
        update(None, 0),
        update(2.0, None),
    ):
        assumptions.add(S[0], line)
    for line in ({"step": 1}, {"gradients": 3}, {"gradients": {"ratio": "x", "met": []}}):
        assumptions.add(S[0], line)
    assumptions.add(W[0], update(0.1, 1))
    found = assumptions.told()
    assert [found[name] for name in ("updates", "judged", "met", "known")] == [6, 4, 2, 4]
    assert (found["ratio"], found["bound"]) == (1.15, 1.0)


def test_every_rule_is_held_to_its_own_bound() -> None:
    ratios = [0.001 * 1.5**k for k in range(20)]
    assumptions = Assumptions(experiment())
    for ratio in ratios:
        assumptions.add(S[0], update(ratio, None))
    within = assumptions.told()["within"]
    for name, rule in AGGREGATORS.items():
        if rule.variance_bound and rule.minimum_n(2) <= 5:
            bound = rule.variance_bound(5, 2)
            assert within.pop(name) == sum(math.sqrt(ratio) <= bound for ratio in ratios)
    assert within == {}, "krum cannot be used with 5 gradients"


def test_bounds_are_for_as_many_lies_as_the_rule_in_use_tolerates() -> None:
    tables: dict[str, Any] = {"cluster": {"servers": 1, "workers": 5}, "plan": {"steps": 1}}
    own = Experiment(name="own", **tables, aggregation={"f": 2})
    assumptions = Assumptions(own)
    assumptions.add(S[0], update(100.0, 0))
    assert assumptions.told()["within"]["mda"] == 0, "with f = 0 it has no bound at all"


def test_the_rule_is_named_with_what_is_before_it() -> None:
    found = Assumptions(experiment(gradients="median", pre=["nnm"])).told()
    assert (found["rule"], found["updates"], found["ratio"]) == ("nnm + median", 0, None)
