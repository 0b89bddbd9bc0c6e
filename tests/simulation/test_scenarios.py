"""Each file of tests/scenarios tells one story of the specification; here they are played."""

import random
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from byzsgd.aggregators import aggregate
from byzsgd.cluster import Cluster, NodeId, Plan
from byzsgd.protocol import Effect, Event, Model, Quorum, Received, Server, Worker
from byzsgd.protocol.filters import Filters
from byzsgd.protocol.pulls import Pulls
from byzsgd.protocol.search import Search
from tests.simulation.scenario import (
    COMMANDS,
    ScriptError,
    arithmetic,
    difference,
    play,
    read,
    rewritten,
)

FOLDER = Path(__file__).parents[1] / "scenarios"
STORIES = sorted(FOLDER.glob("*.txt"))
SMALL = "cluster servers=5 workers=4 f_servers=1 f_workers=1 steps=4"


@pytest.mark.parametrize("path", STORIES, ids=lambda path: path.name)
def test_the_story_goes_as_it_is_told(path: Path, pytestconfig: pytest.Config) -> None:
    script = read(path)
    outputs = play(script)
    if pytestconfig.getoption("--rewrite"):
        path.write_text(rewritten(script, outputs))
    elif told := difference(script, outputs):
        pytest.fail(told, pytrace=False)


@pytest.mark.parametrize("path", STORIES, ids=lambda path: path.name)
def test_each_story_says_what_it_is_about(path: Path) -> None:
    story = read(path).story
    assert len(story) > 100
    assert re.search(r"\(specification, section \d", story), "names no section of it"


def test_there_are_enough_stories() -> None:
    assert len(STORIES) >= 28


def test_every_command_is_used_by_some_story() -> None:
    blocks = [block for path in STORIES for block in read(path).blocks]
    assert {command.words[0] for block in blocks for command in block.commands} == set(COMMANDS)


# -- the stories bite ----------------------------------------------------------------------------


def last_word(quorum: Quorum[Any], sender: NodeId, slot: Any) -> str | None:
    held = sender in quorum._held.get(slot, {})
    return None if held else REFUSAL(quorum, sender, slot)


def keeps_late(quorum: Quorum[Any], sender: NodeId, slot: Any) -> str | None:
    reason = REFUSAL(quorum, sender, slot)
    return None if reason == "late" else reason


def skips_at_once(worker: Worker, now: float) -> list[Effect]:
    effects = PROCEED(worker, now)
    return effects or (worker._skip(0.0) if worker.phase == "models" else [])


def hears_any_round(worker: Worker, event: Event, now: float) -> list[Effect]:
    match event:
        case Received(sender, Model() as model):
            event = Received(sender, replace(model, round=0))
    return HANDLE(worker, event, now)


def finds_anybody(search: Search, models: Quorum[int]) -> tuple[NodeId, Any] | None:
    return next(iter(models.held(search._step)), None)


def finds_the_last(search: Search, models: Quorum[int]) -> tuple[NodeId, Any] | None:
    asked, search.asked = search.asked, search.asked[-1:]
    found = FOUND(search, models)
    search.asked = asked
    return found


FOUND = Search.found
REFUSAL, PROCEED, HANDLE = Quorum._refusal, Worker._proceed, Worker.handle
MUTANTS: dict[str, tuple[type, str, Any]] = {
    "a quorum is one short": (
        Quorum,
        "full",
        lambda quorum, slot: quorum.count(slot) >= quorum.size - 1,
    ),
    "a gather goes without one's own model": (Quorum, "include", lambda *_: None),
    "the last word counts": (Quorum, "_refusal", last_word),
    "what is late is kept": (Quorum, "_refusal", keeps_late),
    "the window has no bound": (Quorum, "kept", lambda *_: 0),
    "f + 1 are enough to rejoin by": (
        Cluster,
        "rejoin_quorum",
        property(lambda cluster: cluster.f_servers + 1),
    ),
    "a whole quorum is needed to rejoin by": (
        Cluster,
        "rejoin_quorum",
        property(lambda cluster: cluster.q_servers),
    ),
    "a worker skips at once": (Worker, "_proceed", skips_at_once),
    "a worker takes a round of a gather": (Worker, "handle", hears_any_round),
    "a server repeats nothing": (Server, "_again", lambda *_: []),
    "any round is as planned": (Server, "_is_planned", lambda *_: True),
    "a deadline ends no round": (Server, "_deadline", lambda *_: []),
    "a quorum of gradients is enough": (
        Cluster,
        "gradients_awaited",
        lambda cluster, mode: cluster.q_workers,
    ),
    "any model is believed": (Filters, "judge", lambda *_: "accepted"),
    "any server is heard": (Search, "found", finds_anybody),
    "an early wish is forgotten": (Pulls, "ask", lambda pulls, worker, step: None),
    "who is late is done with": (Search, "found", finds_the_last),
    "one is believed at a gather": (Plan, "scatters_at", lambda plan, step: step == 0),
}


@pytest.mark.parametrize("mutant", MUTANTS)
def test_a_broken_protocol_tells_another_story(
    mutant: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    kind, name, broken = MUTANTS[mutant]
    monkeypatch.setattr(kind, name, broken)
    assert any(goes_otherwise(path) for path in STORIES)


def goes_otherwise(path: Path) -> bool:
    now = read(path)
    try:
        return difference(now, play(now)) != ""
    except (AssertionError, ScriptError):
        return True


@pytest.mark.parametrize("n", range(3, 8))
def test_the_plain_rules_are_those_that_are_shipped(n: int) -> None:
    draw = random.Random(f"{n}/plain rules")
    for f in range((n - 1) // 2 + 1):
        rows = [tuple(float(draw.randrange(-9, 9)) for _ in range(2)) for _ in range(n)]
        tensor = torch.tensor(rows, dtype=torch.float64)
        ours = arithmetic.mean([rows[row] for row in arithmetic.mda(rows, f)])
        assert ours == pytest.approx(tuple(aggregate("mda", tensor, f=f).tolist()))
        assert arithmetic.median(rows) == tuple(aggregate("median", tensor, f=f).tolist())


# -- the text ------------------------------------------------------------------------------------


def script(folder: Path, *lines: str) -> Path:
    path = folder / "story.txt"
    path.write_text("".join(f"{line}\n" for line in lines))
    return path


def test_rewriting_twice_changes_nothing_more(tmp_path: Path) -> None:
    for story in STORIES:
        path = script(tmp_path, *story.read_text().splitlines())
        for _ in range(2):
            now = read(path)
            path.write_text(rewritten(now, play(now)))
            assert path.read_text() == story.read_text()


def test_rewriting_keeps_all_but_what_is_expected(tmp_path: Path) -> None:
    path = script(tmp_path, "# why", "", SMALL, "start", "----", "old", "", "where", "----")
    now = read(path)
    path.write_text(rewritten(now, play(now)))
    lines = path.read_text().splitlines()
    positions = ["step  0  gradients   s0-4", "step  0  models      w0-3"]
    head = ["# why", "", SMALL, "start", "----", *positions, "", "where", "----"]
    assert lines == [*head, *positions]


def test_what_is_not_as_expected_is_shown_with_its_place(tmp_path: Path) -> None:
    path = script(tmp_path, SMALL, "start", "----", "step  0  gradients   s0-3", "", "where")
    path.write_text(path.read_text() + "----\nstep  0  gradients   s0-4\n")
    now = read(path)
    told = difference(now, play(now))
    assert f"{path}:1: something else came of this:" in told
    assert "- step  0  gradients   s0-3\n+ step  0  gradients   s0-4\n" in told
    assert f"{path}:6: " in told
    assert "--rewrite" in told


def test_nothing_is_told_of_what_is_as_expected(tmp_path: Path) -> None:
    now = read(script(tmp_path, SMALL, "----"))
    assert difference(now, play(now)) == ""


# -- what cannot be played -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("command", "reason"),
    [
        ("dance s0", "there is no command 'dance', only cluster, target"),
        ("timer s5", "s5 is not in this cluster: s0-4 w0-3"),
        ("timer x1", "'x1' is no node: write s0, w1-3, servers"),
        ("timer", "no node is named"),
        ("timer s4", "server-4 has no timer"),
        ("show s4", "server-4 is only a voice"),
        ("compute s0", "server-0 computes nothing"),
        ("restart s0", "server-0 is not down"),
        ("slow s4", "server-4 is a liar"),
        ("deliver s0", "'s0' is no link: write SENDERS -> RECEIVERS"),
        ("deliver model x s0 -> w0", "'x' is no node"),
        ("release s0 -> w0", "nothing is held by these words"),
        ("say gradient 0 (1) w0 -> s0", "worker-0 is honest"),
        ("say gradient 0 (1 2) w3 -> s0", "a vector has 1 numbers here"),
        ("say gradient 0 1 w3 -> s0", "write a vector like (8) or (8 1)"),
        ("say gradient one (1) w3 -> s0", "'one' is no step"),
        ("say lies 0 (1) w3 -> s0", "write it like: say model 2 (100) s4 -> w0-1"),
        ("say gradient 0 (1) w9 -> s0", "w9 is not in this cluster"),
        ("timer deadline s0", "server-0 has no timer"),
        ("say pull one w3 -> s0", "'one' is no step"),
        ("check luck", "'luck' is no promise: write box or mda"),
        ("until soon", "'soon' is no step"),
        ("until", "write one step"),
        ("where s0", "write nothing after it"),
        (SMALL, "a scenario has one command cluster, and begins with it"),
        ("start", "too late, it has started"),
    ],
)
def test_a_command_that_makes_no_sense_is_refused(
    command: str, reason: str, tmp_path: Path
) -> None:
    path = script(tmp_path, "# why", SMALL, "liars s4 w3", "start", command, "----")
    with pytest.raises(ScriptError) as error:
        play(read(path))
    assert str(error.value).startswith(f"{path}:5: {command}: {reason}")


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("start", "a scenario has one command cluster, and begins with it"),
        ("cluster servers=5 workers=4 steps=4 mood=1", "neither Cluster nor Plan has mood"),
        ("cluster servers=4 workers=4 steps=4 f_servers=1", "servers = 4 with f_servers = 1"),
        ("cluster 5", "'5': write options like steps=3"),
    ],
)
def test_a_scenario_that_begins_badly_is_refused(line: str, reason: str, tmp_path: Path) -> None:
    path = script(tmp_path, line, "----")
    with pytest.raises(ScriptError, match=reason) as error:
        play(read(path))
    assert str(error.value).startswith(f"{path}:1: ")


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("liars s4 lazy", "'lazy'"),
        ("liars w3 mute volume=3", "no option|option of attack mute"),
        ("liars s7", "s7 is not in this cluster"),
        ("deliver", "start comes first"),
    ],
)
def test_a_bad_preparation_is_refused(line: str, reason: str, tmp_path: Path) -> None:
    path = script(tmp_path, SMALL, line, "----")
    with pytest.raises(ScriptError, match=reason) as error:
        play(read(path))
    assert str(error.value).startswith(f"{path}:2: ")


def test_commands_without_a_rule_are_refused(tmp_path: Path) -> None:
    path = script(tmp_path, SMALL, "----", "", "start", "where")
    with pytest.raises(ScriptError, match=r"story.txt:4: no line ---- follows"):
        read(path)


def test_a_bug_of_a_machine_names_the_place_in_the_story(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("byzsgd.protocol.server.PHASES", {"starting": set()})
    path = script(tmp_path, SMALL, "start", "----")
    with pytest.raises(AssertionError) as error:
        play(read(path))
    assert error.value.__notes__ == [f"at {path}:2: start"]
