"""The command line as a person uses it: exit codes, Ctrl-C, and what is left when it is killed."""

import json
import os
import re
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from textwrap import dedent

import pytest

import byzsgd
from tests.integration.processes import Command, Mark, Watch, listening, marked, ports

EXAMPLES = Path(byzsgd.__path__[0]) / "experiment" / "examples"
ENDLESS = """
    name = "endless"
    cluster = { servers = 5, workers = 4, f_servers = 1, f_workers = 1 }
    plan = { steps = 1000000, save_every = 50 }
    byzantine = { worker-0 = { attack = "sign_flip" } }
"""
PLAIN = """
    name = "plain"
    cluster = { servers = 1, workers = 2 }
    plan = { steps = 30 }
    aggregation = { gradients = "average" }
"""
NODES = {*(f"server-{i}" for i in range(5)), *(f"worker-{i}" for i in range(4)), "evaluator"}


@pytest.fixture
def mark() -> Iterator[Mark]:
    with marked() as mark:
        yield mark


def written(folder: Path, text: str) -> Path:
    path = folder / "experiment.toml"
    path.write_text(dedent(text))
    return path


def running(mark: Mark, folder: Path) -> Command:
    """`byzsgd run` on an endless experiment, well on its way."""
    command = Command("byzsgd", "run", written(folder, ENDLESS), "--json", cwd=folder)
    command.until(r"step [1-9]\d*/1000000")
    names = set(mark.processes().values())
    assert names >= {*NODES, "zygote"}, names
    return command


# --- exit codes and stdout ------------------------------------------------------------------------


def test_a_run_then_its_report_and_the_commands_that_run_nothing(
    mark: Mark, tmp_path: Path
) -> None:
    file = written(tmp_path, PLAIN)
    ended = Command("byzsgd", "run", file, "--json", cwd=tmp_path).end()
    assert ended.code == 0, ended.stderr
    assert ended.stdout.count("\n") == 1
    told = json.loads(ended.stdout)
    assert (told["status"], told["steps"], told["shortfalls"]) == ("finished", 30, [])
    assert told["accuracy"] > 0.6
    assert "plain: step 30/30 (100 %)" in ended.stderr
    run = byzsgd.Run.open(tmp_path / told["path"])
    assert run.accuracy == told["accuracy"]

    commands = {
        word: Command("byzsgd", *word.split(), cwd=tmp_path)
        for word in ("report runs --json", "plan experiment.toml", "doctor", "list tasks")
    }
    ends = {word: command.end() for word, command in commands.items()}
    assert {word: end.code for word, end in ends.items()} == dict.fromkeys(ends, 0)
    assert {word: end.stderr for word, end in ends.items()} == dict.fromkeys(ends, "")
    [reported] = json.loads(ends["report runs --json"].stdout)["runs"]
    assert (reported["accuracy"], reported["digest"]) == (run.accuracy, run.digest)
    assert "2 links" in ends["plan experiment.toml"].stdout
    assert "CURVE" in ends["doctor"].stdout
    assert "digits" in ends["list tasks"].stdout


def test_a_run_that_does_not_hold_exits_1(mark: Mark, tmp_path: Path) -> None:
    file = written(tmp_path, PLAIN)
    words = ("--set", "plan.steps=2", "--set", "expect.accuracy=1.0", "--json")
    ended = Command("byzsgd", "run", file, *words, cwd=tmp_path).end()
    assert ended.code == 1
    assert "is below the expected 1" in ended.stderr
    assert json.loads(ended.stdout)["status"] == "finished"


MISTAKES = {
    "run missing.toml": "there is no such file",
    "run experiment.toml --set plan.stepz=3": "did you mean 'steps'?",
    "run experiment.toml --set cluster.f_servers=1": "breaks servers ≥ 3 f_servers + 2",
    "run experiment.toml --set training.task=nowhere:mine": "cannot import 'nowhere'",
    "run experiment.toml --stes 3": "No such option",
    "run experiment.toml --runs experiment.toml": "cannot be made",
}


def test_mistakes_exit_2_and_say_so_on_stderr(mark: Mark, tmp_path: Path) -> None:
    written(tmp_path, PLAIN)
    started = {words: Command("byzsgd", *words.split(), cwd=tmp_path) for words in MISTAKES}
    for words, command in started.items():
        ended = command.end()
        assert ended.code == 2, (words, ended)
        assert ended.stdout == ""
        assert MISTAKES[words] in " ".join(ended.stderr.split())
        assert "Traceback" not in ended.stderr


# --- interrupted and killed -----------------------------------------------------------------------


def test_ctrl_c_leaves_nothing_and_the_next_run_works(mark: Mark, tmp_path: Path) -> None:
    command = running(mark, tmp_path)
    seen = ports(mark.processes())
    assert len(seen) == 4 + 3 + 2 + 1 + 5 * 4
    watch = Watch(mark.processes())
    command.interrupt()
    command.interrupt()  # an impatient person
    ended = command.end()
    assert ended.code == 130
    assert "Traceback" not in ended.stderr
    told = json.loads(ended.stdout)
    assert told["status"] == "interrupted"
    assert told["steps"] > 0
    watch.all_end(within_s=0)
    assert not seen & listening()
    run = byzsgd.Run.open(tmp_path / told["path"])
    assert (run.status, run.steps) == ("interrupted", told["steps"])
    assert "died" not in [event["event"] for event in run.events]

    again = Command("byzsgd", "run", written(tmp_path, PLAIN), cwd=tmp_path).end()
    assert again.code == 0, again.stderr


def test_ctrl_c_in_a_notebook_ends_the_run(mark: Mark, tmp_path: Path) -> None:
    """There a loop is running already, and Ctrl-C is a KeyboardInterrupt as ever."""
    written(tmp_path, ENDLESS)
    script = tmp_path / "cell.py"
    script.write_text(
        dedent("""
            import asyncio, byzsgd

            async def cell():
                return byzsgd.run(byzsgd.load("experiment.toml"), quiet=False)

            run = asyncio.new_event_loop().run_until_complete(cell())
            print(run.status, run.steps > 0)
        """)
    )
    command = Command(Path(sys.executable).name, "-W", "ignore", script, cwd=tmp_path)
    command.until(r"step [1-9]\d*/1000000")
    command.interrupt()
    ended = command.end()
    assert ended.stdout == "interrupted True\n", ended.stderr
    assert ended.code == 0


def test_a_launcher_that_is_killed_takes_all_with_it(mark: Mark, tmp_path: Path) -> None:
    command = running(mark, tmp_path)
    watch = Watch(mark.processes())
    seen = ports(mark.processes())
    command.process.kill()
    watch.all_end()
    assert command.end().code == -signal.SIGKILL
    assert not seen & listening()
    [pending] = (tmp_path / "runs" / "endless").iterdir()
    assert byzsgd.Run.open(pending).status == "pending"


def test_a_zygote_that_is_killed_ends_the_run(mark: Mark, tmp_path: Path) -> None:
    command = running(mark, tmp_path)
    mark.kill("zygote")
    ended = command.end()
    assert ended.code == 1
    assert "Traceback" not in ended.stderr
    assert json.loads(ended.stdout)["status"] == "failed"


def test_more_deaths_than_tolerated_fail_the_run_and_name_the_node(
    mark: Mark, tmp_path: Path
) -> None:
    command = running(mark, tmp_path)
    mark.kill("server-1")
    command.until(r"server-1 died \(killed by signal 9\)")
    os.kill(mark.pid("server-3"), signal.SIGSEGV)
    ended = command.end()
    assert ended.code == 1
    told = json.loads(ended.stdout)
    assert told["status"] == "failed"
    why = "server-3 died (killed by signal 11), and 4 servers are needed: 3 are left"
    named = re.search(rf"{re.escape(why)}; its log (\S+) ends with\n", ended.stderr)
    assert named, ended.stderr
    run = byzsgd.Run.open(tmp_path / told["path"])
    assert tmp_path / named[1] == run.path / "logs" / "server-3.log"
    assert "Segmentation fault" in (tmp_path / named[1]).read_text()
    assert run.status == "failed"
    assert "server-3" in run.result["message"]
    assert [event["node"] for event in run.events if event["event"] == "died"] == [
        "server-1",
        "server-3",
    ]
