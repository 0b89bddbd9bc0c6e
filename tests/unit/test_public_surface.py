"""What users call: every name and signature of the design's section 4."""

import inspect
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import typer
from torch import nn

import byzsgd
from byzsgd import cli
from byzsgd.aggregators import AGGREGATORS, aggregate
from byzsgd.attacks import ATTACKS, forge
from byzsgd.cluster import Cluster
from byzsgd.errors import ConfigError
from byzsgd.experiment.load import EXAMPLES
from byzsgd.experiment.record import Record

QUICKSTART = EXAMPLES / "quickstart.toml"


def python(code: str) -> str:
    command = [sys.executable, "-W", "error", "-c", code]
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout


def parameters(function: object) -> str:
    assert callable(function)
    signature = inspect.signature(function)
    return ", ".join(
        ("*" if parameter.kind is parameter.VAR_POSITIONAL else "")
        + ("**" if parameter.kind is parameter.VAR_KEYWORD else "")
        + name
        + ("" if parameter.default is parameter.empty else f"={parameter.default!r}")
        for name, parameter in signature.parameters.items()
    )


# --- the package ----------------------------------------------------------------------------------


def test_importing_the_package_imports_nothing_heavy() -> None:
    modules = ("torch", "numpy", "zmq", "pydantic", "rich", "typer", "asyncio", "byzsgd.experiment")
    code = f"import sys, byzsgd; print([m for m in {modules} if m in sys.modules])"
    assert python(code) == "[]\n"


def test_reading_records_and_asking_for_help_import_no_torch() -> None:
    code = "import sys, byzsgd.cli, byzsgd; byzsgd.Run, byzsgd.load; print('torch' in sys.modules)"
    assert python(code) == "False\n"


def test_what_the_package_has() -> None:
    assert set(byzsgd.__all__) <= set(dir(byzsgd))
    for name in byzsgd.__all__:
        assert getattr(byzsgd, name) is not None
    assert byzsgd.__version__[0].isdigit()
    assert byzsgd.errors.ConfigError is ConfigError
    with pytest.raises(AttributeError, match="has no attribute 'simulte'"):
        _ = byzsgd.simulte


def test_signatures() -> None:
    assert parameters(byzsgd.load) == "path, overrides=None"
    assert parameters(byzsgd.run) == "experiment, runs='runs', quiet=True, deliveries=False"
    assert parameters(byzsgd.simulate) == "experiment, runs='runs', quiet=True"
    assert parameters(aggregate) == "name, vectors, f=0, pre=(), out=None, **options"
    assert parameters(forge) == "name, honest, n=0, f=0, **options"
    sizes = "servers, workers, f_servers=0, f_workers=0, q_servers=0, q_workers=0"
    assert parameters(Cluster) == sizes


def test_an_experiment_from_a_file_or_from_tables() -> None:
    experiment = byzsgd.load(QUICKSTART, overrides={"plan.steps": 50})
    assert isinstance(experiment, byzsgd.Experiment)
    assert (experiment.name, experiment.plan.steps) == ("quickstart", 50)
    again = byzsgd.Experiment(**experiment.to_dict())
    assert again.digest == experiment.digest
    assert byzsgd.load(str(QUICKSTART)).plan.steps == 300
    with pytest.raises(ConfigError, match="plan"):
        byzsgd.Experiment(name="x", cluster={"servers": 1, "workers": 1})


def test_what_a_run_has(tmp_path: Path) -> None:
    record = Record.begin(byzsgd.load(QUICKSTART), tmp_path)
    run = record.finish("finished", accuracy=0.95, steps=300, diameter=0.5, seconds=9.0)
    assert isinstance(run, byzsgd.Run)
    assert (run.accuracy, run.steps, run.diameter, run.status) == (0.95, 300, 0.5, "finished")
    assert run.path.is_dir()
    assert parameters(byzsgd.Run.model) == "self"
    assert byzsgd.Run.open(run.path).accuracy == 0.95


# --- rules, attacks, bounds -----------------------------------------------------------------------


def test_rules() -> None:
    assert {"average", "median", "mda"} <= set(AGGREGATORS)
    vectors = torch.tensor([[1.0, 1.0], [1.1, 1.0], [0.9, 1.0], [50.0, -9.0], [1.0, 1.1]])
    for name in ("median", "mda"):
        result = aggregate(name, vectors, f=2)
        assert result.shape == (2,)
        assert (result - 1).abs().max() < 0.2
    assert 3 not in AGGREGATORS["mda"].select(vectors, f=2)
    with pytest.raises(ValueError, match="did you mean 'mda'"):
        aggregate("mdaa", vectors, f=2)


def test_attacks() -> None:
    assert {"equivocate", "mute", "sign_flip", "alie", "nan"} <= set(ATTACKS)
    honest = torch.randn(26, 10, generator=torch.Generator().manual_seed(1))
    for name, attack in ATTACKS.items():
        if attack.vector is not None and not attack.trains:
            assert forge(name, honest, n=50, f=24).shape == (10,)
    assert torch.equal(forge("sign_flip", honest, factor=2.0), -2.0 * honest[0])
    with pytest.raises(ConfigError, match="did you mean 'alie'"):
        forge("allie", honest)


def test_bounds() -> None:
    cluster = Cluster(servers=5, workers=7, f_servers=1, f_workers=2)
    assert (cluster.q_servers, cluster.q_workers) == (4, 5)
    with pytest.raises(ConfigError, match="servers ≥ 3 f_servers \\+ 2"):
        Cluster(servers=4, workers=7, f_servers=1, f_workers=2)


def test_a_task_of_ones_own_needs_these_names() -> None:
    from byzsgd.training import Examples, Task

    x, y = torch.zeros(4, 2), torch.zeros(4, dtype=torch.long)
    data = Examples(x, y)
    task = Task("mine", lambda: nn.Linear(2, 2), nn.functional.cross_entropy, data, data)
    assert task.training.batch(torch.tensor([0]))[0].shape == (1, 2)


# --- the command line -----------------------------------------------------------------------------


def test_commands_and_their_common_options() -> None:
    group = typer.main.get_command(cli.app)
    commands = getattr(group, "commands")  # noqa: B009  (of click's Group, which typer vendors)
    expected = {"demo", "run", "report", "plan", "doctor", "keygen", "node", "list"}
    assert expected <= set(commands)
    options = {
        name: {option for parameter in command.params for option in parameter.opts}
        for name, command in commands.items()
    }
    assert all("--json" in options[name] for name in expected - {"keygen", "node"})
    for name in ("demo", "run", "plan", "keygen", "node"):
        assert {"--set", "--seed"} <= options[name]


@pytest.mark.parametrize("module", ["server", "worker", "adversary"])
def test_node_processes_take_what_the_readme_says(
    module: str, capsys: pytest.CaptureFixture[str]
) -> None:
    from nodes.process import main

    with pytest.raises(SystemExit) as stopped:
        main(module, ["--help"])
    assert stopped.value.code == 0
    told = capsys.readouterr().out
    for option in ("--experiment", "--roster", "--node", "--key", "--out"):
        assert option in told
    with pytest.raises(SystemExit) as mistaken:
        main(module, ["--node", "server-0"])
    assert mistaken.value.code == 2
