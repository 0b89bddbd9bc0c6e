"""Rules of this project that no linter knows. Each rule looks at one node of a syntax tree."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple, Protocol

import pytest

ROOT = Path(__file__).resolve().parents[2]
SHIPPED = ("byzsgd", "nodes")
OURS = (*SHIPPED, "benchmarks", "deploy")

UNSAFE_MODULES = {"pickle", "cPickle", "marshal", "shelve", "dill", "cloudpickle", "joblib"}
UNSAFE_CALLS = {"eval", "exec", "builtins.eval", "builtins.exec", "torch.load"}


class Use(NamedTuple):
    """A node, the name it goes by once the file's imports are resolved, and those imports."""

    node: ast.AST
    name: str
    imports: dict[str, str]


class Rule(Protocol):
    __name__: str

    def __call__(self, use: Use, /) -> bool: ...


# --- the rules ------------------------------------------------------------------------------------


def unpickles(use: Use) -> bool:
    """A peer's bytes or a downloaded file must never become code: use msgpack or safetensors."""
    if isinstance(use.node, ast.keyword):
        return use.node.arg == "allow_pickle" and not is_constant(use.node.value, False)
    if isinstance(use.node, ast.Import | ast.ImportFrom):
        return any(root in UNSAFE_MODULES for root in imported_roots(use.node))
    return isinstance(use.node, ast.Call) and use.name in UNSAFE_CALLS


def reads_the_wall_clock(use: Use) -> bool:
    """The wall clock jumps: use time.monotonic or time.perf_counter for what is measured."""
    return isinstance(use.node, ast.Call) and use.name in {"time.time", "time.time_ns"}


def sleeps(use: Use) -> bool:
    """Wait for the event itself, or for a deadline; asyncio.sleep(0) only yields, and is fine."""
    if not isinstance(use.node, ast.Call):
        return False
    return use.name == "time.sleep" or (
        use.name == "asyncio.sleep"
        and not (len(use.node.args) == 1 and is_constant(use.node.args[0], 0))
    )


def opens_a_zmq_socket(use: Use) -> bool:
    """Only byzsgd/runtime talks to the network: what has no socket can be simulated."""
    if not isinstance(use.node, ast.Call) or use.name == "socket.socket":
        return False
    knows_zmq = any(origin.split(".")[0] == "zmq" for origin in use.imports.values())
    return knows_zmq and use.name.rpartition(".")[2] in {"socket", "Socket"}


RULES: list[tuple[Rule, tuple[str, ...], tuple[str, ...]]] = [  # rule, where, but not under
    (unpickles, OURS, ()),
    (reads_the_wall_clock, SHIPPED, ()),
    (sleeps, SHIPPED, ()),
    (opens_a_zmq_socket, SHIPPED, ("byzsgd/runtime/",)),
]


@pytest.mark.parametrize(
    ("rule", "folders", "exempt"), RULES, ids=[rule.__name__ for rule, _, _ in RULES]
)
def test_the_source_keeps(rule: Rule, folders: tuple[str, ...], exempt: tuple[str, ...]) -> None:
    found = [
        f"{path.relative_to(ROOT)}:{line}"
        for path in sources(folders, exempt)
        for line in breaches(rule, path.read_text())
    ]
    assert not found, f"{rule.__name__}: {', '.join(found)}\n{rule.__doc__}"


def test_the_command_line_starts_without_torch() -> None:
    if not (ROOT / "byzsgd" / "cli.py").exists() and not (ROOT / "byzsgd" / "cli").exists():
        pytest.skip("byzsgd.cli is not there yet")
    question = "import sys, byzsgd.cli; print(*sorted({'torch', 'numba'} & set(sys.modules)))"
    done = subprocess.run(
        [sys.executable, "-c", question], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "", (
        "importing byzsgd.cli takes seconds, because it imports these at module level; "
        "python -X importtime -c 'import byzsgd.cli' shows who does"
    )


# --- reading a file -------------------------------------------------------------------------------


def sources(folders: tuple[str, ...], exempt: tuple[str, ...]) -> list[Path]:
    paths = [path for folder in folders for path in sorted((ROOT / folder).rglob("*.py"))]
    return [p for p in paths if not p.relative_to(ROOT).as_posix().startswith(exempt)]


def breaches(rule: Rule, text: str) -> list[int]:
    return sorted(getattr(use.node, "lineno", 0) for use in uses(ast.parse(text)) if rule(use))


def uses(tree: ast.AST) -> Iterator[Use]:
    imports = imported_names(tree)
    for node in ast.walk(tree):
        yield Use(node, called(node, imports), imports)


def imported_names(tree: ast.AST) -> dict[str, str]:
    """What each imported name stands for: {"sleep": "asyncio.sleep", "np": "numpy"}."""
    names: dict[str, str] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom):
            names |= {a.asname or a.name: f"{node.module or '.'}.{a.name}" for a in node.names}
        elif isinstance(node, ast.Import):
            names |= dict(bound(a) for a in node.names)
    return names


def bound(alias: ast.alias) -> tuple[str, str]:
    # `import a.b` binds a; `import a.b as c` binds c to a.b.
    first = alias.name.split(".")[0]
    return (alias.asname, alias.name) if alias.asname else (first, first)


def called(node: ast.AST, imports: dict[str, str]) -> str:
    if not isinstance(node, ast.Call):
        return ""
    first, dot, rest = ast.unparse(node.func).partition(".")
    return imports.get(first, first) + dot + rest


def imported_roots(node: ast.Import | ast.ImportFrom) -> list[str]:
    modules = [a.name for a in node.names] if isinstance(node, ast.Import) else [node.module or ""]
    return [module.split(".")[0] for module in modules]


def is_constant(node: ast.expr, value: object) -> bool:
    return isinstance(node, ast.Constant) and node.value == value


# --- the rules themselves bite --------------------------------------------------------------------


@pytest.mark.parametrize(
    ("rule", "text"),
    [
        (unpickles, "import pickle"),
        (unpickles, "from marshal import loads"),
        (unpickles, "import torch as t\nt.load(path)"),
        (unpickles, "from torch import load\nload(path)"),
        (unpickles, "np.load(path, allow_pickle=True)"),
        (unpickles, "eval('1')"),
        (reads_the_wall_clock, "import time as t\nt.time()"),
        (reads_the_wall_clock, "from time import time\ntime()"),
        (sleeps, "import time\ntime.sleep(0)"),
        (sleeps, "import asyncio\nasync def f(): await asyncio.sleep(0.01)"),
        (sleeps, "from asyncio import sleep\nsleep(delay)"),
        (opens_a_zmq_socket, "import zmq.asyncio\nzmq.asyncio.Context().socket(zmq.ROUTER)"),
        (opens_a_zmq_socket, "from zmq import Socket\nSocket(context, 1)"),
    ],
)
def test_a_breach_is_found_at_its_line(rule: Rule, text: str) -> None:
    assert breaches(rule, text) == [len(text.splitlines())]


@pytest.mark.parametrize(
    ("rule", "text"),
    [
        (unpickles, "model.eval()"),
        (unpickles, "np.load(path, allow_pickle=False)"),
        (unpickles, "import tomllib\ntomllib.load(file)"),
        (reads_the_wall_clock, "import time\ntime.monotonic()"),
        (sleeps, "import asyncio\nasyncio.sleep(0)"),
        (opens_a_zmq_socket, "import socket, zmq\nsocket.socket()"),
        (opens_a_zmq_socket, "import zmq\nzmq.zmq_version()"),
    ],
)
def test_what_is_fine_passes(rule: Rule, text: str) -> None:
    assert breaches(rule, text) == []
