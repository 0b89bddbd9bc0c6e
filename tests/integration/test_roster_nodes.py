"""Nodes started by hand, each by its owner: one experiment file, one roster, a key for each."""

import shutil
import signal
import socket
import tempfile
from collections.abc import Iterator
from pathlib import Path
from textwrap import dedent

import pytest
from typer.testing import CliRunner

from byzsgd.cli import app
from byzsgd.experiment.files import load_model, model_path, read_lines
from nodes.process import main
from tests.integration.processes import Command, Ended, Mark, marked

SMALL = """
    name = "small"
    cluster = { servers = 1, workers = 2 }
    plan = { steps = 20 }
    training = { batch = 8 }
    aggregation = { gradients = "average" }
    byzantine = { worker-1 = { attack = "sign_flip" } }
"""
PAIR = """
    name = "pair"
    cluster = { servers = 1, workers = 1 }
    plan = { steps = 20 }
"""
FIVE_FOUR = """
    name = "five-four"
    cluster = { servers = 5, workers = 4, f_servers = 1, f_workers = 1 }
    plan = { steps = 20, gather_every = 5 }
    byzantine = { server-2 = { attack = "equivocate" }, worker-3 = { attack = "alie" } }
"""


@pytest.fixture
def mark() -> Iterator[Mark]:
    with marked() as mark:
        yield mark


@pytest.fixture
def folder() -> Iterator[Path]:
    """Short, since the paths of sockets must be."""
    path = Path(tempfile.mkdtemp(prefix="byz-"))
    yield path
    shutil.rmtree(path)


def keygen(folder: Path, text: str, **addresses: str) -> None:
    """`experiment.toml`, and `keys/` with the roster and the keys of all nodes."""
    (folder / "experiment.toml").write_text(dedent(text))
    given = [f"--address={node.replace('_', '-')}={at}" for node, at in addresses.items()]
    words = ["keygen", str(folder / "experiment.toml"), "--out", str(folder / "keys"), *given]
    result = CliRunner().invoke(app, words)
    assert result.exit_code == 0, result.output


def words(
    node: str, folder: Path, *, key: str = "", roster: str = "keys/roster.toml", file: str = ""
) -> list[str]:
    return [
        f"--experiment={folder / (file or 'experiment.toml')}",
        f"--roster={folder / roster}",
        f"--node={node}",
        f"--key={folder / 'keys' / (key or node)}.key",
        f"--out={folder / node}",
    ]


def start(kind: str, node: str, folder: Path, **others: str) -> Command:
    return Command(f"nodes.{kind}", *words(node, folder, **others), cwd=folder)


def stopped(command: Command) -> Ended:
    command.process.send_signal(signal.SIGINT)
    return command.end()


# --- nodes that work together ---------------------------------------------------------------------


def test_a_server_a_worker_and_a_liar_train_until_they_are_stopped(
    mark: Mark, folder: Path
) -> None:
    """The worker comes last: whoever is early waits. The liar is at ease, nobody is trusted."""
    keygen(folder, SMALL, server_0=f"ipc://{folder}/server-0")
    commands = [start("server", "server-0", folder), start("adversary", "worker-1", folder)]
    commands[0].until(f"server-0 listening at=ipc://{folder}/server-0-worker-0, ipc://")
    commands.append(start("worker", "worker-0", folder))
    for command in commands:
        command.until("done; it keeps answering")
    ends = [stopped(command) for command in commands]
    assert [end.code for end in ends] == [0, 0, 0], ends
    assert [end.stdout for end in ends] == ["", "", ""]
    assert len(read_lines(folder / "worker-0" / "nodes" / "worker-0.jsonl")) == 20
    assert load_model(model_path(folder / "server-0", "server-0", 20)).isfinite().all()
    assert (folder / "keys" / "server-0.key").stat().st_mode & 0o777 == 0o600


@pytest.mark.long
def test_five_servers_and_four_workers_of_nine_owners(mark: Mark, folder: Path) -> None:
    addresses = {f"server_{i}": f"ipc://{folder}/server-{i}" for i in range(5)}
    keygen(folder, FIVE_FOUR, **addresses)
    names = [*(f"server-{i}" for i in range(5)), *(f"worker-{i}" for i in range(4))]
    liars = {"server-2", "worker-3"}
    kinds = {name: "adversary" if name in liars else name.split("-")[0] for name in names}
    commands = {name: start(kind, name, folder) for name, kind in kinds.items()}
    for name in sorted(set(names) - liars):
        commands[name].until("done; it keeps answering")
    ends = {name: stopped(command) for name, command in commands.items()}
    honest = {name: end.code for name, end in ends.items() if name not in liars}
    assert honest == dict.fromkeys(honest, 0), ends
    assert {ends[name].code for name in liars} <= {0, 130}


def test_a_node_that_is_stopped_before_its_last_step_exits_130(mark: Mark, folder: Path) -> None:
    keygen(folder, PAIR, server_0=f"ipc://{folder}/server-0")
    early = start("worker", "worker-0", folder)
    early.until("listening at=nowhere, it only connects")
    assert stopped(early).code == 130


# --- nodes that cannot ----------------------------------------------------------------------------


def test_a_taken_port_a_wrong_key_and_a_mistaken_node_exit_2(mark: Mark, folder: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        endpoint = f"tcp://127.0.0.1:{taken.getsockname()[1]}"
        keygen(folder, PAIR, server_0=endpoint)
        started = {
            f"server-0 cannot listen on {endpoint} for worker-0": start(
                "server", "server-0", folder
            ),
            "this key is not worker-0's": start("worker", "worker-0", folder, key="server-0"),
        }
        for message, command in started.items():
            ended = command.end()
            assert ended.code == 2, ended
            assert message in ended.stderr
            assert "Traceback" not in ended.stderr
            assert ended.stdout == ""


def test_two_nodes_with_different_files_say_so_when_they_meet(mark: Mark, folder: Path) -> None:
    """Each has a roster that fits its own file, so only the other can tell."""
    keygen(folder, PAIR, server_0=f"ipc://{folder}/server-0")
    other = folder / "other.toml"
    other.write_text("seed = 99\n" + dedent(PAIR))
    ours, theirs = digest(folder / "experiment.toml"), digest(other)
    roster = (folder / "keys" / "roster.toml").read_text()
    assert ours in roster
    (folder / "other-roster.toml").write_text(roster.replace(ours, theirs))
    server = start("server", "server-0", folder)
    worker = start("worker", "worker-0", folder, roster="other-roster.toml", file="other.toml")
    for command, me, peer in ((server, "server-0", "worker-0"), (worker, "worker-0", "server-0")):
        ended = command.end()
        assert ended.code == 2, ended
        assert f"{me} and {peer} do not work on the same experiment and roster" in ended.stderr
        assert "Traceback" not in ended.stderr


def digest(file: Path) -> str:
    from byzsgd.experiment.config import load

    return load(file).digest


@pytest.mark.parametrize(
    ("kind", "node", "message"),
    [
        ("server", "worker-0", "worker-0 is started with `python -m nodes.worker`"),
        ("worker", "worker-1", "worker-1 lies in this experiment, so it is started with `python"),
        ("adversary", "server-0", "server-0 is started with `python -m nodes.server`"),
        ("server", "server-1", "experiment 'small' has no server-1; it has server-0, worker-0"),
        ("server", "sever-0", "'sever-0' is no node: write server-0 or worker-3"),
    ],
)
def test_a_node_is_started_as_what_it_is(
    folder: Path, capsys: pytest.CaptureFixture[str], kind: str, node: str, message: str
) -> None:
    keygen(folder, SMALL)
    assert main(kind, words(node, folder)) == 2
    assert f"nodes.{kind}: {message}" in capsys.readouterr().err


def test_files_that_do_not_fit_exit_2(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    keygen(folder, PAIR)
    roster = folder / "keys" / "roster.toml"
    text = roster.read_text()

    def complaint(**others: str) -> str:
        assert main("server", words("server-0", folder, **others)) == 2
        return capsys.readouterr().err

    head, worker = text.index("[nodes.server-0]"), text.index("[nodes.worker-0]")
    roster.write_text(text[:head] + text[worker:])
    assert "the roster has no server-0; it has worker-0" in complaint()
    roster.write_text(text[:worker])
    assert "has no worker-0: every node needs an entry" in complaint()
    roster.write_text(text.replace('experiment = "', 'experiment = "f'))
    assert "was made for another experiment" in complaint()
    roster.write_text("nonsense")
    assert f"{roster}: no readable roster" in complaint()
    roster.write_text(text)
    assert "no readable key file (FileNotFoundError" in complaint(key="no")
    (folder / "keys" / "bad.key").write_bytes(b"\xff\xfe")
    assert "no readable key file (UnicodeDecodeError" in complaint(key="bad")
    halves = [(folder / "keys" / f"{node}.key").read_text() for node in ("server-0", "worker-0")]
    mixed = [halves[0].splitlines()[0], halves[1].splitlines()[1]]
    (folder / "keys" / "mixed.key").write_text("\n".join(mixed))
    assert "do not belong together" in complaint(key="mixed")
    assert "there is no such file" in complaint(file="no.toml")


def test_crashes_by_plan_are_refused_and_nothing_is_started(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    crash = '[faults]\n    crash = { node = "worker-0", from = 1, until = 2 }\n'
    keygen(folder, PAIR + "    " + crash)
    assert main("server", words("server-0", folder)) == 2
    named = CliRunner().invoke(app, ["node", *hosted("server-0", folder)])
    assert named.exit_code == 2
    for said in (capsys.readouterr().err, named.stderr):
        text = " ".join(said.split())
        assert "crashes by plan are for `byzsgd run` and `byzsgd simulate`" in text
        assert "leave `crash` out of [faults]" in text
    assert not (folder / "server-0").exists()


def hosted(node: str, folder: Path) -> list[str]:
    """The words for `byzsgd node`."""
    file, *options = (word.removeprefix("--experiment=") for word in words(node, folder))
    return [file, *options]


def test_keys_are_never_overwritten_and_never_shown(folder: Path) -> None:
    keygen(folder, PAIR)
    before = {path: path.read_text() for path in (folder / "keys").iterdir()}
    assert {path.name for path in before} == {"roster.toml", "server-0.key", "worker-0.key"}
    secret = before[folder / "keys" / "server-0.key"].split('secret = "')[1][:40]
    assert secret not in before[folder / "keys" / "roster.toml"]
    again = CliRunner().invoke(
        app, ["keygen", str(folder / "experiment.toml"), "--out", str(folder / "keys")]
    )
    assert again.exit_code == 2
    assert "exists; nothing was written" in again.stderr
    assert secret not in again.output
    assert {path: path.read_text() for path in (folder / "keys").iterdir()} == before
