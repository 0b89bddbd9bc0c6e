"""What liars achieved, from lines made by hand; and which attacks had no effect."""

import json
from pathlib import Path
from typing import Any

import pytest

from byzsgd.attacks import ATTACKS
from byzsgd.experiment.config import Experiment
from byzsgd.experiment.files import SUSPICION, Lines, measures_path
from byzsgd.experiment.findings.find import find
from byzsgd.experiment.findings.potency import Potencies
from byzsgd.experiment.findings.text import findings_text
from byzsgd.experiment.record import Record, Run
from byzsgd.experiment.report import report, run_text
from tests.world import servers, workers

S, W = servers(5), workers(4)


def experiment(attack: str = "sign_flip", node: str = "worker-1", **tables: Any) -> Experiment:
    return lying({node: {"attack": attack}}, **tables)


def lying(byzantine: dict[str, dict[str, Any]], **tables: Any) -> Experiment:
    return Experiment(
        name="potent",
        cluster={"servers": 5, "workers": 4, "f_servers": 1, "f_workers": 1},
        plan={"steps": 10},
        byzantine=byzantine,
        **tables,
    )


def update(quorum: str, chosen: str, lie: object = None, moved: object = 0.5) -> dict[str, Any]:
    lies = {} if lie is None else {"worker-1": lie}
    return {
        "quorum": [f"worker-{each}" for each in quorum],
        "chosen": [f"worker-{each}" for each in chosen],
        "gradients": {"moved": moved, "ratio": 4.0, "bound": 1.5, "met": 0, "lies": lies},
    }


def test_the_sums_of_a_lying_worker() -> None:
    potencies = Potencies(experiment())
    potencies.add(S[0], update("012", "12", [2.0, -1.0, 1], moved=0.25))
    potencies.add(S[1], update("123", "23", [4.0, -0.5, 0], moved=0.75))
    potencies.add(S[1], update("123", "13", [None, None, 1], moved=None))
    potencies.add(S[2], update("023", "02"))
    potencies.add_own(W[1], {"lie": {"norm": 1.0, "cosine": -1.0}})
    potencies.ended({"node": "worker-1", "lies": {"words": 2, "changed": 1}})
    potencies.ended({"node": "worker-1", "lies": {"words": 3, "changed": 3}})
    assert potencies.told() == [
        {
            "node": "worker-1",
            "attack": "sign_flip",
            "words": 5,
            "changed": 4,
            "aggregations": 4,
            "aggregated": 3,
            "selected": 2,
            "norm": 3.0,
            "cosine": -0.75,
            "distance": None,
            "own_norm": 1.0,
            "own_cosine": -1.0,
            "moved": 0.5,
        }
    ]
    assert list(potencies.warnings()) == []


def test_of_a_rule_that_chooses_nobody_nobody_was_selected_or_not() -> None:
    potencies = Potencies(experiment())
    potencies.add(S[0], update("012", ""))
    [found] = potencies.told()
    assert (found["aggregated"], found["selected"]) == (1, None)


def test_the_sums_of_a_lying_server() -> None:
    potencies = Potencies(experiment("equivocate", "server-1"))
    seen = {"of": ["server-0", "server-1"], "moved": 0.1, "lies": {"server-1": 3.0}}
    for node in (S[0], W[0]):
        potencies.add(node, {"models": seen})
    potencies.add(W[2], {"models": {"of": ["server-0", "server-2"]}})
    potencies.add(S[0], update("012", "12"))
    [found] = potencies.told()
    assert (found["aggregations"], found["aggregated"], found["selected"]) == (3, 2, None)
    assert (found["distance"], found["moved"], found["words"]) == (3.0, 0.1, None)


@pytest.mark.parametrize(
    ("attack", "lies", "quorum", "why"),
    [
        ("sign_flip", {"words": 8, "changed": 0}, "012", "none of its 8 words"),
        ("sign_flip", {"words": 8, "changed": 1}, "012", None),
        ("sign_flip", {"words": 8, "changed": 8}, "023", "no honest node aggregated any word"),
        ("sign_flip", None, "012", None),
        ("mute", {"words": 8, "changed": 8}, "023", None),
        ("slow", {"words": 8, "changed": 8}, "023", None),
        ("desert", {"words": 8, "changed": 8}, "023", None),
        ("malformed", {"words": 8, "changed": 8}, "023", None),
        ("flood", {"words": 8, "changed": 8}, "023", "no honest node aggregated any word"),
        ("crash", {"words": 8, "changed": 0}, "012", "none of its 8 words"),
        ("crash", {"words": 8, "changed": 1}, "023", None),
        ("sign_flip", {"words": 0, "changed": 0}, "023", "never had a word"),
    ],
)
def test_who_is_warned_of(attack: str, lies: Any, quorum: str, why: str | None) -> None:
    potencies = Potencies(experiment(attack))
    potencies.add(S[0], update(quorum, quorum[1:]))
    potencies.ended({"node": "worker-1", **({"lies": lies} if lies else {})})
    warnings = list(potencies.warnings())
    assert len(warnings) == (why is not None)
    if why:
        assert warnings[0].startswith(f"attack {attack} of worker-1 had no effect: ")
        assert why in warnings[0]


def test_only_in_the_steps_of_a_lie_its_words_count_as_lies() -> None:
    """Before and after it is honest: what was aggregated then is to nobody's credit."""
    lie = {"attack": "sign_flip", "from": 3, "until": 5}
    potencies = Potencies(lying({"worker-1": lie, "server-1": lie}))
    for step in range(10):
        line = update("012", "12", [1.0 * step, 0.5, 1])
        line["gradients"]["step"] = step
        of = {"step": step, "of": ["server-0", "server-1"], "lies": {"server-1": 2.0 * step}}
        potencies.add(S[0], {"step": step + 1, **line, "models": of})
    server, worker = potencies.told()
    assert (worker["aggregations"], worker["aggregated"], worker["selected"]) == (2, 2, 2)
    assert (server["aggregations"], server["aggregated"]) == (2, 2)
    assert (worker["norm"], server["distance"]) == (3.5, 7.0)


def test_who_was_aggregated_only_while_honest_had_no_effect() -> None:
    lie = {"attack": "sign_flip", "from": 3, "until": 5}
    potencies = Potencies(lying({"worker-1": lie}))
    for step in range(10):
        line = update("023" if 3 <= step < 5 else "012", "02")
        line["gradients"]["step"] = step
        potencies.add(S[0], line)
    potencies.ended({"node": "worker-1", "lies": {"words": 2, "changed": 2}})
    [warning] = potencies.warnings()
    assert warning.endswith("no honest node aggregated any word of it, in 2 aggregations")


def test_an_attack_without_words_is_silent_and_one_with_vectors_is_not() -> None:
    for attack in ATTACKS.values():
        if attack.vector or attack.data:
            assert not attack.silent, attack.name
        elif not attack.behaviour:
            assert attack.silent, attack.name


def test_falsified_data_without_a_false_example_has_no_effect() -> None:
    potencies = Potencies(experiment("label_flip"))
    potencies.add(S[0], update("012", "12"))
    potencies.ended({"node": "worker-1", "lies": {"words": 8, "changed": 8}})
    assert [*potencies.warnings()] == [
        "attack label_flip of worker-1 had no effect: it falsified no example"
    ]
    potencies.add_own(W[1], {"poisoned": 3})
    assert [*potencies.warnings()] == []


# --- a whole record -------------------------------------------------------------------------------


def record(runs: Path, made: Experiment, lines: list[dict[str, Any]]) -> Run:
    """Of an honest server's lines, and a liar that changed nothing."""
    kept = Record.begin(made, runs)
    with Lines(measures_path(kept.path, S[0])) as file:
        for line in lines:
            file.write(**line)
    kept.event("totals", node="worker-1", lies={"words": 3, "changed": 0})
    return kept.finish("finished", accuracy=0.5, steps=10, diameter=0.1, seconds=1.0)


def test_a_record_ends_with_what_was_found(tmp_path: Path) -> None:
    run = record(tmp_path, experiment(), [update("012", "12", [2.0, -1.0, 1])] * 3)
    assert run.assumptions == {
        "rule": "mda",
        "updates": 3,
        "judged": 3,
        "met": 0,
        "ratio": 4.0,
        "bound": 1.5,
        "known": 3,
        "within": {"mda": 0, "meamed": 0, "median": 0, "phocas": 0, "trimmed_mean": 0},
    }
    assert [row["node"] for row in run.potency] == ["worker-1"]
    assert len(run.suspicion) == 9
    [warning] = run.warnings
    text = run_text(run)
    assert f"warning: {warning}" in text
    assert (
        "of honest gradients 2 (median); for mda at most 1.5 is allowed: so it was at 0 % of 3"
        in text
    )
    assert "worker-1  sign_flip" in text
    assert findings_text(run) in report([run.path]).text()
    assert report([run.path]).text().count(warning) == 1


def test_records_without_any_of_it_are_reported_as_ever(tmp_path: Path) -> None:
    plain = record(tmp_path, experiment(record={"resilience": False}), [{"step": 1}])
    assert not (plain.path / SUSPICION).exists()
    assert (findings_text(plain), plain.warnings) == ("", ())
    tables = json.loads((plain.path / "experiment.json").read_text())
    del tables["record"]
    (plain.path / "experiment.json").write_text(json.dumps(tables))
    assert plain.path.name in report([plain.path]).text()
    old = record(tmp_path, experiment(), [{"step": 1, "quorum": ["worker-1"], "chosen": []}])
    assert old.assumptions["updates"] == 0
    assert "variance" not in run_text(old)


def test_a_damaged_finding_costs_no_report(tmp_path: Path) -> None:
    run = record(tmp_path, experiment(), [update("012", "12")])
    for damage in ("{]", "[]", '{"nodes": [3, {}]}', '{"nodes": {}}'):
        (run.path / SUSPICION).write_text(damage)
        assert run.path.name in report([run.path]).text()


def test_damaged_lines_cost_a_warning_and_no_run(tmp_path: Path) -> None:
    kept = Record.begin(experiment(), tmp_path)
    measures_path(kept.path, S[0]).write_text("{]\n")
    run = kept.finish("finished", accuracy=0.5, steps=10, diameter=0.1, seconds=1.0)
    assert len(run.warnings) == 1
    assert "server-0.jsonl:1" in run.warnings[0]
    assert findings_text(run) == ""


def test_an_unfinished_run_is_not_blamed_for_attacks_that_never_began(tmp_path: Path) -> None:
    kept = Record.begin(experiment(), tmp_path)
    kept.event("totals", node="worker-1", lies={"words": 3, "changed": 0})
    assert find(kept.path, kept.experiment, ended=False) == ()
    assert len(find(kept.path, kept.experiment)) == 1
    kept.close()


def test_what_is_recorded_is_no_part_of_what_is_run() -> None:
    assert experiment(record={"resilience": False}).digest == experiment().digest
