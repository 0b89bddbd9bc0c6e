"""What honest nodes hold against others, added up from lines made by hand."""

from typing import Any

import pytest

from byzsgd.cluster import NodeId
from byzsgd.experiment.config import Experiment
from byzsgd.experiment.findings.suspicion import Suspicions, standing_out
from tests.world import servers, workers

S, W = servers(5), workers(4)
NAMES = [str(worker) for worker in W]


def experiment(**plan: Any) -> Experiment:
    return Experiment(
        name="suspicious",
        cluster={"servers": 5, "workers": 4, "f_servers": 1, "f_workers": 1},
        plan={"steps": 10, **plan},
        byzantine={"worker-3": {"attack": "sign_flip"}},
    )


def update(
    step: int, quorum: str, marks: list[Any], chosen: str = "", **more: Any
) -> dict[str, Any]:
    """A server's line: whose gradients of `step` it took; nodes are called by their digits."""
    names = [f"worker-{each}" for each in quorum]
    return {
        "step": step + 1,
        "quorum": names,
        "chosen": [f"worker-{each}" for each in chosen],
        "gradients": {"step": step, "marks": marks},
        **more,
    }


def models(step: int, of: str, marks: list[Any]) -> dict[str, Any]:
    names = [f"server-{each}" for each in of]
    return {"step": step + 1, "models": {"step": step, "of": names, "marks": marks}}


def told(suspicions: Suspicions) -> dict[str, dict[str, Any]]:
    return {row["node"]: row for row in suspicions.told()}


def equivocators(suspicions: Suspicions) -> dict[str, int]:
    found = {node: row["counts"].get("equivocating", 0) for node, row in told(suspicions).items()}
    return {node: count for node, count in found.items() if count}


def test_a_word_that_two_heard_differently_is_counted_once() -> None:
    suspicions = Suspicions(experiment())
    for server, mark in ((S[0], 7), (S[1], 7), (S[2], 8), (S[3], 9)):
        suspicions.add(server, update(0, "012", [1, 2, mark]))
        suspicions.add(server, update(1, "012", [5, 2, 3]))
    assert equivocators(suspicions) == {"worker-2": 1}
    assert equivocators(suspicions) == {"worker-2": 1}, "asking again changes nothing"


def test_words_of_other_steps_and_kinds_are_other_words() -> None:
    suspicions = Suspicions(experiment())
    suspicions.add(S[0], models(3, "0123", [1, 2, 3, 4]))
    suspicions.add(S[1], models(4, "0123", [5, 6, 7, 8]))
    suspicions.add(W[0], models(3, "0123", [11, 12, 13, 14]))
    assert equivocators(suspicions) == {}
    suspicions.add(S[3], models(3, "123", [-2, -3, -4]))
    assert equivocators(suspicions) == {"server-1": 1, "server-2": 1}, "its own it did not hear"


def test_what_may_be_another_word_after_all_proves_nothing() -> None:
    catching_up, rounds = Suspicions(experiment()), Suspicions(experiment(gather_rounds=2))
    catching_up.add(S[0], models(3, "0123", [1, 2, 3, 4]))
    catching_up.add(S[4], models(3, "123", [9, 9, 9]))
    assert equivocators(catching_up) == {}, "without its own model it may be of any round"
    for server, mark in ((S[0], 1), (S[1], 2)):
        rounds.add(server, models(3, "0123", [mark] * 4))
    assert equivocators(rounds) == {}
    restarted = Suspicions(experiment(), restarted=[W[2]])
    for server, mark in ((S[0], 1), (S[1], 2)):
        restarted.add(server, update(0, "012", [1, 1, mark]))
    assert equivocators(restarted) == {}


def test_all_that_is_counted() -> None:
    suspicions = Suspicions(experiment())
    suspicions.add(S[0], update(0, "012", [1, 2, 3], chosen="01"))
    suspicions.add(S[1], update(0, "023", [1, 3, 4], chosen="03", excluded=["worker-1"]))
    suspicions.add(S[0], models(1, "012", [1, 2, 3]))
    suspicions.add(W[0], models(1, "1234", [2, 3, 4, 5]))
    suspicions.ended(
        {
            "node": "server-0",
            "refused": {"worker-1": {"late": 3, "unasked": 1}, "worker-2": {"surplus": 1}},
            "malformed": {"worker-3": {"header": 4, "epoch": 9, "key": 9}},
        }
    )
    suspicions.ended({"judged": {"server-1": {"accepted": 3, "outlier": 1, "late": 6}}})
    found = told(suspicions)
    assert {node: row["counts"] for node, row in found.items()} == {
        "worker-0": {},
        "worker-1": {"absent": 1, "excluded": 1, "late": 3, "unasked": 1},
        "worker-2": {"surplus": 1, "unselected": 2},
        "worker-3": {"absent": 1, "malformed": 4},
        "server-0": {"absent": 1},
        "server-1": {"rejected": 1},
        "server-2": {},
        "server-3": {"absent": 1},
        "server-4": {"absent": 1},
    }
    assert [row["seen"] for row in found.values() if row["node"] in NAMES] == [2, 2, 2, 2]
    assert found["server-0"]["seen"] == 1, "a server does not wait for itself"
    assert found["server-1"]["shares"]["rejected"] == pytest.approx(1 / 4)
    assert found["worker-2"]["shares"]["unselected"] == 1
    assert found["worker-2"]["usual"]["unselected"] == 0
    assert found["worker-1"]["shares"]["late"] == pytest.approx(3 / 2)
    order = list(found)
    assert order[:2] == ["worker-3", "worker-1"], "four proofs, then one"
    assert found["worker-3"]["lies_with"] == "sign_flip"


def test_what_happens_to_everybody_makes_nobody_stand_out() -> None:
    suspicions = Suspicions(experiment())
    for server in S:
        for turn in range(4):
            quorum = "0123".replace(str(turn), "")
            chosen = quorum.replace(str((turn + 1) % 4), "")
            suspicions.add(server, update(turn, quorum, [1, 2, 3], chosen))
    assert list(standing_out(suspicions.told())) == []
    for step in range(4, 12):
        suspicions.add(S[0], update(step, "012", [1, 2, 3]))
    assert [row["node"] for row in standing_out(suspicions.told())] == ["worker-3"]


@pytest.mark.parametrize(
    "line",
    [
        {},
        {"quorum": 3, "gradients": 7},
        {"quorum": ["worker-9", "x", None, {}], "chosen": {}, "gradients": {"marks": 1}},
        {"quorum": NAMES, "gradients": {"step": "1", "marks": [1, 2, 3, 4]}},
        {"quorum": NAMES, "gradients": {"step": 1, "marks": [1]}},
        {"models": {"of": ["server-7"], "marks": [[]], "step": 2}},
    ],
)
def test_odd_lines_are_no_evidence(line: dict[str, Any]) -> None:
    suspicions = Suspicions(experiment())
    for server in S:
        suspicions.add(server, line)
    suspicions.ended({"refused": {"nobody": {"late": 3}, "worker-1": 4}, "judged": []})
    assert all(row["proofs"] == 0 for row in suspicions.told())


def test_nodes_are_sorted_by_what_is_proven_before_what_is_odd() -> None:
    suspicions = Suspicions(experiment())
    for step in range(20):
        suspicions.add(S[0], update(step, "023", [1, 2, 3]))
    suspicions.ended({"refused": {"worker-2": {"unasked": 1}}})
    assert [row["node"] for row in suspicions.told()][:2] == ["worker-2", "worker-1"]


def test_only_nodes_of_the_experiment_are_told_of() -> None:
    found = told(Suspicions(experiment()))
    assert [NodeId.parse(name) for name in found] == [*S, *W]
