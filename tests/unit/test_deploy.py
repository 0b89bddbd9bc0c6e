"""deploy/run.py, without its slow half: nothing here installs or reaches the network."""

import importlib.util
import subprocess
import sys
import tomllib
from pathlib import Path
from types import ModuleType

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[2]
RUN = ROOT / "deploy" / "run.py"


def load() -> ModuleType:
    spec = importlib.util.spec_from_file_location("deploy_run", RUN)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


deploy = load()


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """A clone whose environment is there and was stamped by a start without extras."""
    (tmp_path / "deploy").mkdir()
    (tmp_path / "deploy" / "constraints.txt").write_text("torch==2.13.0\n")
    (tmp_path / "pyproject.toml").write_text("[project]\n")
    setup = deploy.Setup(tmp_path)
    setup.bin.mkdir(parents=True)
    (setup.bin / "python").symlink_to(sys.executable)
    (setup.bin / "byzsgd").touch()
    setup.stamp.write_text(setup.stamp_of(()))
    return tmp_path


# --- when the environment is taken as ready -------------------------------------------------------


def test_a_stamped_environment_is_ready(clone: Path) -> None:
    assert deploy.Setup(clone).ready()


def test_the_test_extra_is_not_there_until_installed(clone: Path) -> None:
    assert not deploy.Setup(clone, extras=("test",)).ready()


def test_an_environment_with_the_test_extra_serves_every_start(clone: Path) -> None:
    setup = deploy.Setup(clone)
    setup.stamp.write_text(setup.stamp_of(("test",)))
    assert setup.ready()


@pytest.mark.parametrize("name", ["pyproject.toml", "deploy/constraints.txt"])
def test_a_changed_input_means_not_ready_but_reusable(clone: Path, name: str) -> None:
    with (clone / name).open("a") as file:
        file.write("# changed\n")
    setup = deploy.Setup(clone)
    assert not setup.ready()
    assert setup.reusable()


@pytest.mark.parametrize("name", ["python", "byzsgd"])
def test_a_lost_program_means_not_ready(clone: Path, name: str) -> None:
    setup = deploy.Setup(clone)
    (setup.bin / name).unlink()
    assert not setup.ready()


def test_an_interrupted_install_is_never_reused(clone: Path) -> None:
    setup = deploy.Setup(clone)
    setup.stamp.write_text(deploy.UNFINISHED)
    assert not setup.ready()
    assert not setup.reusable()


def test_an_environment_made_by_hand_is_installed_over(clone: Path) -> None:
    setup = deploy.Setup(clone)
    setup.stamp.unlink()
    assert not setup.ready()
    assert setup.reusable()


def test_a_broken_environment_is_not_reused(clone: Path) -> None:
    setup = deploy.Setup(clone)
    (setup.bin / "python").unlink()
    assert not setup.reusable()


def test_a_moved_environment_is_not_reused(clone: Path, tmp_path: Path) -> None:
    moved = deploy.Setup(clone.rename(tmp_path.with_name(tmp_path.name + "-moved")))
    assert not moved.ready()
    assert not moved.reusable()


# --- what an install does to the stamp ------------------------------------------------------------


def test_the_stamp_is_written_only_after_success(
    clone: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    setup = deploy.Setup(clone, extras=("test",))
    during = []
    monkeypatch.setattr(deploy, "call", lambda *_: during.append(setup.stamp.read_text()))
    setup.ensure()
    assert during == [deploy.UNFINISHED]
    assert setup.ready()


@pytest.mark.parametrize(
    ("said", "reusable"),
    [("no network", True), ("Installing collected packages: torch\ndisk full", False)],
)
def test_a_failed_install_is_reused_only_if_it_touched_nothing(
    clone: Path, monkeypatch: pytest.MonkeyPatch, said: str, reusable: bool
) -> None:
    def fail(*_: object) -> None:
        raise deploy.StartError(said)

    monkeypatch.setattr(deploy, "call", fail)
    setup = deploy.Setup(clone, extras=("test",))
    with pytest.raises(deploy.StartError):
        setup.ensure()
    assert not setup.ready()
    assert setup.reusable() is reusable


def test_remaking_removes_all_but_stamp_and_lock(
    clone: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    setup = deploy.Setup(clone)
    setup.stamp.write_text(deploy.UNFINISHED)
    commands: list[list[str]] = []
    monkeypatch.setattr(deploy, "call", lambda command, *_: commands.append(command))
    setup.ensure()
    assert sorted(path.name for path in setup.venv.iterdir()) == ["byzsgd-lock", "byzsgd-stamp"]
    assert [command[1:3] for command in commands] == [["-m", "venv"], ["-m", "pip"]]


def test_remaking_uses_a_python_that_outlives_the_environment(
    clone: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    setup = deploy.Setup(clone)
    setup.stamp.write_text(deploy.UNFINISHED)
    commands: list[list[str]] = []
    monkeypatch.setattr(deploy, "call", lambda command, *_: commands.append(command))
    monkeypatch.setattr(sys, "executable", str(setup.bin / "python"))
    setup.ensure()
    assert Path(commands[0][0]).exists()


def test_a_killed_start_leaves_the_lock_with_its_child(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    probe = f"import fcntl; fcntl.flock(open({str(path)!r}), fcntl.LOCK_EX | fcntl.LOCK_NB)"
    with deploy.locked(path) as lock:
        child = subprocess.Popen(
            [sys.executable, "-c", "input()"],
            stdin=subprocess.PIPE,
            pass_fds=[lock.fileno()],
        )
    held = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True)
    child.communicate(b"\n")
    free = subprocess.run([sys.executable, "-c", probe], check=False)
    assert "BlockingIOError" in held.stderr
    assert free.returncode == 0


# --- commands and messages ------------------------------------------------------------------------


def test_pip_obeys_the_constraints_and_installs_extras_only_for_tests(tmp_path: Path) -> None:
    plain = deploy.Setup(tmp_path).pip_command()
    extra = deploy.Setup(tmp_path, extras=("test",)).pip_command()
    constraints = str(tmp_path / "deploy" / "constraints.txt")
    assert plain[-5:] == ["install", "-c", constraints, "-e", str(tmp_path)]
    assert extra[-1] == f"{tmp_path}[test]"


def test_arguments_after_test_go_to_pytest_alone() -> None:
    *others, last = deploy.checks(["-k", "wire"])
    assert last == ["pytest", "-m", "not long", "-k", "wire"]
    assert [check[0] for check in others] == ["ruff", "ruff", "mypy", "lint-imports"]


@pytest.mark.parametrize("failing", ["ruff", "pytest", None])
def test_every_check_runs_and_one_failure_fails_all(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], failing: str | None
) -> None:
    monkeypatch.setattr(deploy, "timed", lambda _, check: (int(check[0] == failing), 0.5))
    code = deploy.test(Path("bin"), [])
    summary = capsys.readouterr().out
    assert code == (failing is not None)
    assert summary.count(" 0.5 s ") == 5
    assert ("FAILED" in summary) is (failing is not None)


def test_any_other_word_goes_to_byzsgd(monkeypatch: pytest.MonkeyPatch) -> None:
    started = []
    monkeypatch.setattr(deploy.Setup, "ensure", lambda self: Path("bin"))
    monkeypatch.setattr(deploy, "become", lambda *command: started.append(command))
    deploy.main(["run", "file.toml", "--json"])
    assert started == [(Path("bin/byzsgd"), ["run", "file.toml", "--json"])]


def test_help_says_how_to_start_and_changes_nothing() -> None:
    done = subprocess.run([sys.executable, RUN, "--help"], capture_output=True, text=True)
    assert done.returncode == 0
    assert "python3 deploy/run.py demo" in done.stdout
    assert "python3 deploy/run.py test" in done.stdout
    assert done.stderr == ""


def test_an_old_python_is_told_what_is_needed() -> None:
    with pytest.raises(deploy.StartError, match=r"needs Python 3\.11 or newer.* is Python 3\.9"):
        deploy.check_python((3, 9))
    deploy.check_python((3, 11))


def test_an_old_python_can_read_the_script_as_far_as_that_message() -> None:
    compile(RUN.read_text(), RUN, "exec", flags=0, _feature_version=7)


def test_a_failed_command_shows_its_words_and_the_advice(tmp_path: Path) -> None:
    command = [sys.executable, "-c", "print('no such version'); raise SystemExit(3)"]
    with (
        deploy.locked(tmp_path / "lock") as lock,
        pytest.raises(deploy.StartError, match=r"(?s)no such version.*failed.*start again"),
    ):
        deploy.call(command, lock, "start again")


def test_a_successful_command_is_quiet(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with deploy.locked(tmp_path / "lock") as lock:
        deploy.call([sys.executable, "-c", "print('Collecting torch')"], lock, "")
    assert capsys.readouterr() == ("", "")


# --- constraints ----------------------------------------------------------------------------------


def pins() -> dict[str, Requirement]:
    lines = (ROOT / "deploy" / "constraints.txt").read_text().splitlines()
    pinned = [Requirement(line) for line in lines if line and not line.startswith("#")]
    return {canonicalize_name(pin.name): pin for pin in pinned}


def declared() -> list[Requirement]:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extra = project["optional-dependencies"]["test"]
    return [Requirement(line) for line in project["dependencies"] + extra]


@pytest.mark.parametrize("wanted", declared(), ids=lambda wanted: str(wanted.name))
def test_every_declared_dependency_is_pinned_within_its_range(wanted: Requirement) -> None:
    pin = pins().get(canonicalize_name(wanted.name))
    assert pin, f"deploy/constraints.txt has no line for {wanted.name}"
    version = str(pin.specifier).removeprefix("==")
    assert wanted.specifier.contains(version), f"{pin} is outside of {wanted} in pyproject.toml"


def test_every_pin_is_exact_and_public() -> None:
    for pin in pins().values():
        assert [specifier.operator for specifier in pin.specifier] == ["=="], pin
        assert "+" not in str(pin), f"{pin}: a local suffix ties users to one package source"
