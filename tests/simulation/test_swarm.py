"""Random worlds: legal, various, the same from one seed; and small once they fail."""

import json
import os
from collections import Counter
from pathlib import Path
from typing import Any, get_args

import pytest

from byzsgd.attacks import ATTACKS
from byzsgd.cluster import Mode
from byzsgd.errors import ConfigError
from byzsgd.experiment import enact
from byzsgd.experiment.config import Experiment, load
from byzsgd.experiment.simulate import simulate
from byzsgd.experiment.swarm import hunt as hunting
from byzsgd.experiment.swarm.cases import F_MAX, LIES, Tables, draw
from byzsgd.experiment.swarm.hunt import FOUND_MAX, Tally, hunt, kinds
from byzsgd.experiment.swarm.judge import Verdict, judge
from byzsgd.experiment.swarm.shrink import shrink
from byzsgd.experiment.swarm.view import SwarmView, tally_text
from byzsgd.simulation.checkers import checkers
from byzsgd.simulation.schedulers import SCHEDULERS
from tests.elsewhere import elsewhere
from tests.simulation.mutants import MUTANTS

WORLDS = int(os.environ.get("BYZSGD_SWARM", "50"))
"""Of every day; set the variable for more."""


@pytest.mark.timeout(60 + WORLDS)
def test_no_checker_objects_to_any_world_of_the_swarm(tmp_path: Path) -> None:
    tally = hunt(seed=20261121, worlds=WORLDS, folder=tmp_path)
    assert tally.worlds == WORLDS
    assert not tally.found, tally_text(tally, 20261121)


def found(name: str) -> Tables:
    """A case that a swarm once found broken."""
    tables: Tables = json.loads((Path(__file__).parent / "found" / f"{name}.json").read_text())
    return tables


def test_a_window_of_two_may_be_too_short_to_catch_up_with() -> None:
    """Peers stand in two rounds, and there is room for one beside what the server waits for."""
    case = found("a-window-of-two")
    explained = judge(case).explained
    assert explained
    assert "a window of 2 is too short" in explained
    for window in (3, 4):
        verdict = judge({**case, "plan": {**case["plan"], "window": window}})
        assert verdict.broken is verdict.explained is None


def test_a_gradient_among_servers_does_not_stop_the_adversary() -> None:
    """A flooding server says what servers never say; the greedy scheduler has to live with it."""
    assert judge(found("a-gradient-among-servers")).broken is None


@pytest.mark.parametrize("name", ["a-minority-ahead", "a-gradient-long-ago"])
def test_servers_that_a_few_have_left_behind_are_told_older_gradients(name: str) -> None:
    """Too few to rejoin by went on, with workers that pulled from them alone."""
    verdict = judge(found(name))
    assert verdict.broken is verdict.explained is None


FOUND_WITHIN = 200
_EXPERIMENT = Experiment.from_dict(draw(1, 0))
CHECKERS = {getattr(one, "name", None) for one in checkers(enact.law_of(_EXPERIMENT))} - {None}


RARE = {"one server asked for ever"}
"""What breaks so seldom that it takes many worlds to see it."""


@pytest.mark.parametrize(
    "name", [pytest.param(n, marks=pytest.mark.long if n in RARE else ()) for n in MUTANTS]
)
def test_a_broken_protocol_is_found(name: str) -> None:
    mutant = MUTANTS[name]
    worlds = (
        judge(draw(1, index), mutant.machine, mutant.answers) for index in range(FOUND_WITHIN)
    )
    assert any(verdict.broken for verdict in worlds)


# --- cases ----------------------------------------------------------------------------------------

CASES = [draw(5, index) for index in range(400)]


def test_every_case_is_a_legal_experiment_within_its_bounds() -> None:
    for case in CASES[:150]:
        experiment = Experiment.from_dict(case)
        voided = [text for text in experiment.warnings if "nothing but the truth" not in text]
        assert voided == [], case


def test_cases_follow_from_the_seed_alone() -> None:
    assert CASES[:50] == [draw(5, index) for index in range(50)]
    assert len({json.dumps(case) for case in CASES}) == len(CASES)
    assert draw(5, 3) != draw(6, 3)


def test_everything_that_may_go_wrong_is_in_some_case() -> None:
    seen = Counter(kind for case in CASES for kind in kinds(case))
    faults = ("delay", "loss", "duplicate", "reorder", "partition", "slow", "crash")
    expected = {
        *(f"attack {name}" for name in LIES),
        *(f"fault {key}" for key in faults),
        *(f"scheduler {name}" for name in SCHEDULERS),
        *(f"mode {mode}" for mode in get_args(Mode)),
    }
    assert seen.keys() == expected
    assert min(seen.values()) >= 10


def test_the_swarm_knows_every_attack() -> None:
    assert LIES.keys() == ATTACKS.keys()
    for name, options in LIES.items():
        ATTACKS[name].check(options)


def test_shapes_and_faults_are_various() -> None:
    clusters = [case["cluster"] for case in CASES]
    assert {(c["f_servers"], c["f_workers"]) for c in clusters} == {
        (a, b) for a in range(F_MAX + 1) for b in range(F_MAX + 1)
    }
    assert any(c["q_workers"] < c["workers"] - c["f_workers"] for c in clusters)
    assert any(c["q_servers"] < c["servers"] - c["f_servers"] for c in clusters)
    assert any(c["servers"] < 4 * c["f_servers"] + 1 for c in clusters if c["f_servers"])
    quiet = [case for case in CASES if not case["byzantine"] and len(case["faults"]) == 1]
    assert len(quiet) >= 10, "most cases have only some of what may go wrong"
    crashes = [crash for case in CASES for crash in case["faults"].get("crash", [])]
    assert {"until" in crash for crash in crashes} == {True, False}


def test_a_case_has_one_history() -> None:
    for case in CASES[:5]:
        assert judge(case) == judge(case)


def histories(count: int) -> str:
    return " ".join(judge(case).history for case in CASES[:count])


def test_histories_are_the_same_in_every_process() -> None:
    """Whatever order sets and dictionaries of text have there, and however many threads."""
    code = "from tests.simulation.test_swarm import histories; print(histories(12))"
    assert elsewhere(code, 1) == elsewhere(code, 2, threads=2) == histories(12)


@pytest.mark.parametrize("index", range(6))
def test_a_case_in_a_file_is_the_same_case(tmp_path: Path, index: int) -> None:
    """Or what a swarm prints to see a finding again would show something else."""
    case = [case for case in CASES if "alie" in lies_of(case)][index]
    path = tmp_path / "case.json"
    path.write_text(json.dumps(case))
    assert simulate(load(path), runs=tmp_path).digest == judge(case).history


# --- shrinking ------------------------------------------------------------------------------------


def lies_of(case: Tables) -> set[str]:
    return {lie["attack"] for lie in case["byzantine"].values()}


@pytest.mark.parametrize("index", range(6))
def test_what_is_left_of_a_case_is_what_it_fails_for(index: int) -> None:
    case = [case for case in CASES if "alie" in lies_of(case) and case["plan"]["steps"] > 4][index]
    tried = 0

    def fails(smaller: Tables) -> bool:
        nonlocal tried
        tried += 1
        Experiment.from_dict(smaller)
        return "alie" in lies_of(smaller) and smaller["plan"]["steps"] >= 3

    smallest = shrink(case, fails)
    assert fails(smallest)
    assert smallest["plan"]["steps"] == 3
    assert smallest["plan"]["mode"] == "async"
    assert len(smallest["byzantine"]) == 1
    assert smallest["faults"] == {}
    assert smallest["simulation"]["scheduler"] == "network"
    assert tried < 200
    sizes = {key: smallest["cluster"][key] for key in ("servers", "workers")}
    assert max(sizes.values()) <= max(5, case["cluster"]["workers"])
    assert min(sizes.values()) == 1, "the side that nobody lies on"


def test_what_cannot_be_made_smaller_stays() -> None:
    case = CASES[0]
    assert shrink(case, lambda smaller: False) == case


def test_shrinking_gives_up_after_so_many_tries() -> None:
    tried: list[Tables] = []

    def fails(smaller: Tables) -> bool:
        tried.append(smaller)
        return False

    shrink(CASES[1], fails, tries=7)
    assert len(tried) == 7


def test_shrinking_changes_no_case_but_its_own() -> None:
    before = json.dumps(CASES[2])
    shrink(CASES[2], lambda smaller: True)
    assert json.dumps(CASES[2]) == before


def test_illegal_cases_do_not_count_as_failing() -> None:
    def fails(smaller: Tables) -> bool:
        raise ConfigError("no such cluster")

    assert shrink(CASES[3], fails) == CASES[3]


# --- the hunt -------------------------------------------------------------------------------------


def figures(tally: Tally) -> tuple[Any, ...]:
    return tally.worlds, tally.events, tally.steps, tally.seen


def test_how_many_processes_hunt_makes_no_difference(tmp_path: Path) -> None:
    alone, many = (hunt(3, 12, tmp_path, jobs) for jobs in (1, 2))
    assert figures(alone) == figures(many)
    assert alone.worlds == 12


@pytest.fixture
def bad_worlds(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every world with a crash is found broken."""

    def judged(case: Tables) -> Verdict:
        broken = "checker" if "crash" in case["faults"] else None
        return Verdict(broken, None, "violated: it crashed\ntrace", 10, 2, "")

    monkeypatch.setattr(hunting, "judge", judged)


@pytest.mark.usefixtures("bad_worlds")
def test_a_finding_is_shrunk_and_written_as_an_experiment(tmp_path: Path) -> None:
    shown: list[int] = []
    tally = hunt(5, 400, tmp_path, jobs=1, show=lambda tally: shown.append(tally.worlds))
    assert len(tally.found) == FOUND_MAX
    assert shown[-1] == tally.worlds < 400
    for finding in tally.found:
        assert "crash" in CASES[finding.index]["faults"]
        experiment = load(finding.path)
        assert experiment.plan.steps == 1
        assert len(experiment.faults.crash) == 1
        assert experiment.liars == {}
        assert "it crashed" in finding.path.with_suffix(".txt").read_text()
        assert f"byzsgd simulate {finding.path}" in tally_text(tally, 5)
        assert f"world {finding.index} of seed 5" in tally_text(tally, 5)


@pytest.mark.usefixtures("bad_worlds")
def test_a_swarm_as_json_says_what_was_found(tmp_path: Path) -> None:
    told = json.loads(json.dumps(hunt(5, 60, tmp_path, jobs=1).to_dict()))
    assert told["worlds"] <= 60
    assert {found["broken"] for found in told["found"]} == {"checker"}
    assert all(Path(found["path"]).exists() for found in told["found"])


def test_a_swarm_where_nobody_looks_prints_a_line_every_tenth(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with SwarmView(40) as view:
        for worlds in range(0, 41, 5):
            view.show(Tally(worlds=worlds, events=1000 * worlds, seconds=1.0))
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 8
    assert lines[-1] == "swarm: 40/40 worlds, 40,000 events/s, 0 violations"
