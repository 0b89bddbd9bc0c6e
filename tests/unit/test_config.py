"""Experiments: what is accepted, what is refused and in which words, and what names them."""

import copy
import json
import pickle
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from byzsgd.cluster import Cluster, NodeId, Plan
from byzsgd.errors import ConfigError
from byzsgd.experiment.config import Experiment, load
from byzsgd.experiment.lies import Lie
from byzsgd.experiment.load import EXAMPLES, parse_settings, with_overrides

CLUSTER = {"servers": 5, "workers": 7, "f_servers": 1, "f_workers": 2}


def tables(**more: Any) -> dict[str, Any]:
    return {"name": "test", "cluster": CLUSTER, "plan": {"steps": 100}, **more}


def complaint(**more: Any) -> str:
    with pytest.raises(ConfigError) as caught:
        Experiment.from_dict(tables(**more), "test.toml")
    return str(caught.value)


def training(**more: Any) -> str:
    return complaint(training=more)


# --- what is accepted -----------------------------------------------------------------------------


def test_defaults_are_filled_in() -> None:
    experiment = Experiment(**tables())
    assert experiment.seed == 1
    assert experiment.cluster == Cluster(5, 7, 1, 2, q_servers=4, q_workers=5)
    assert experiment.plan == Plan(steps=100, save_every=5)
    assert (experiment.aggregation.gradients, experiment.aggregation.models) == ("mda", "median")
    assert (experiment.training.task, experiment.training.model) == ("digits", None)
    assert experiment.training.partition.kind == "iid"
    assert (experiment.network.dtype, experiment.network.chunk_kib) == ("float32", 1024)
    assert experiment.expect.accuracy is None
    assert experiment.liars == {}
    assert experiment.honest == experiment.cluster.nodes
    assert experiment.warnings == ()


@pytest.mark.parametrize(("steps", "saves"), [(1, 1), (19, 1), (40, 2), (300, 15)])
def test_models_are_saved_twenty_times_unless_said(steps: int, saves: int) -> None:
    assert Experiment(**tables(plan={"steps": steps})).plan.save_every == saves
    assert Experiment(**tables(plan={"steps": steps, "save_every": 0})).plan.save_every == 0


def test_the_dataclasses_themselves_are_accepted() -> None:
    cluster, plan = Cluster(5, 7, 1, 2), Plan(steps=100, save_every=5)
    assert Experiment(name="test", cluster=cluster, plan=plan) == Experiment(**tables())


def test_a_range_of_nodes_is_the_same_as_each_of_them() -> None:
    lie = {"attack": "alie", "z": 1.5}
    ranged = Experiment(**tables(byzantine={"worker-0..1": lie, "server-3": {"attack": "mute"}}))
    single = Experiment(
        **tables(byzantine={"server-3": {"attack": "mute"}, "worker-1": lie, "worker-0": lie})
    )
    assert ranged == single
    assert ranged.digest == single.digest
    assert list(ranged.liars) == [NodeId("server", 3), NodeId("worker", 0), NodeId("worker", 1)]
    assert ranged.liars[NodeId("worker", 1)] == Lie("alie", {"z": 1.5})
    assert [str(node) for node in ranged.honest_servers] == [f"server-{i}" for i in (0, 1, 2, 4)]
    assert len(ranged.honest) == 9


def test_aliases_become_canonical_names() -> None:
    experiment = Experiment(
        **tables(aggregation={"gradients": "brute"}, byzantine={"worker-0": {"attack": "little"}})
    )
    assert experiment.aggregation.gradients == "mda"
    assert experiment.byzantine["worker-0"].attack == "alie"


def test_rules_may_have_options_and_steps_before_them() -> None:
    wide = {"cluster": {**CLUSTER, "workers": 16, "f_workers": 2}}
    experiment = Experiment(
        **tables(
            **wide,
            aggregation={
                "gradients": {"name": "bulyan", "base": "mda"},
                "pre": ["nnm", {"name": "clipping", "threshold": 2}],
                "models": {"name": "trmean"},
            },
        )
    )
    rule = experiment.aggregation.gradient_rule
    assert rule.name == "nnm + clipping + bulyan"
    assert rule.options == {"base": "mda", "variant": "paper"}
    assert experiment.aggregation.models == "trimmed_mean"
    assert Experiment.from_dict(experiment.to_dict()) == experiment
    plain = Experiment(**tables(**wide, aggregation={"gradients": "bulyan"}))
    assert plain.digest != experiment.digest


def test_more_liars_than_declared_are_a_warning() -> None:
    experiment = Experiment(**tables(byzantine={"worker-0..2": {"attack": "nan"}}))
    assert experiment.warnings == (
        "3 workers lie (worker-0, worker-1, worker-2) but f_workers = 2 is declared: "
        "no guarantee holds in this run",
    )


@pytest.mark.parametrize(
    ("rate", "at_0", "at_50"),
    [
        (0.5, 0.5, 0.5),
        (1, 1.0, 1.0),
        ({"kind": "inverse", "rate": 0.5, "r": 50}, 0.5, 0.25),
        ({"kind": "step", "rate": 0.5, "milestones": [10, 50], "factor": 0.1}, 0.5, 0.005),
        ({"kind": "cosine", "rate": 0.5}, 0.5, 0.25),
        ({"kind": "cosine", "rate": 0.5, "steps": 50}, 0.5, 0.0),
    ],
)
def test_learning_rates(rate: object, at_0: float, at_50: float) -> None:
    schedule = Experiment(**tables(training={"learning_rate": rate})).schedule
    assert schedule.at(0) == pytest.approx(at_0)
    assert schedule.at(50) == pytest.approx(at_50)


def test_own_functions_are_named_by_their_path() -> None:
    experiment = Experiment(**tables(training={"task": "mine:task", "model": "mine.nets:small"}))
    assert experiment.training.task == "mine:task"


@pytest.mark.parametrize("path", sorted(EXAMPLES.glob("*.toml")), ids=lambda path: path.stem)
def test_the_examples_are_sound(path: Path) -> None:
    experiment = load(path)
    assert experiment.name == path.stem
    assert experiment.warnings == ()


@pytest.mark.parametrize(("more", "f"), [({}, 2), ({"f": 0}, 0), ({"f": 1}, 1)])
def test_what_the_rule_tolerates_is_known_to_whoever_computes(more: Any, f: int) -> None:
    from byzsgd.experiment.build import settings_of

    settings = settings_of(Experiment(**tables(aggregation={"gradients": "mda", **more})))
    assert settings.gradients_tolerated == f


# --- what is refused ------------------------------------------------------------------------------


def test_all_faults_are_told_at_once_under_their_keys() -> None:
    text = complaint(
        name="a/b",
        seed=-1,
        cluster={"servers": 4, "workers": 3, "f_servers": 1, "f_workers": 1},
        plan={"stepz": 3, "gather_every": 0, "patience_s": "long"},
        training={"task": "digit", "batch": 0, "lr": 1},
        network={"chunk_kib": 8},
        byzantine={"server-9": {"attack": "alie"}},
    )
    head, *lines = text.splitlines()
    assert head == "test.toml: 12 faults"
    keys = [line.split(":")[0].split(" = ")[0].strip() for line in lines]
    assert keys == [
        "name",
        "seed",
        "cluster",
        "cluster",
        "plan.steps",
        "plan.patience_s",
        "plan.stepz",
        "plan.gather_every",
        "training.task",
        "training.batch",
        "training.lr",
        "network.chunk_kib",
    ]


def test_liars_are_checked_although_other_tables_are_wrong() -> None:
    text = complaint(plan={}, byzantine={"server-9": {"attack": "alie"}})
    assert "plan.steps: is missing" in text
    assert "byzantine.server-9: is not in the cluster, which has server-0 to server-4" in text


def test_nothing_given_at_all() -> None:
    with pytest.raises(ConfigError, match=r"(?s)name: is missing.*cluster: is.*plan: is missing"):
        Experiment()


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"name": ""}, 'name = "": must be 1 to 64 letters'),
        ({"name": "../up"}, 'name = "../up": must be 1 to 64 letters'),
        ({"name": "x\n"}, r'name = "x\n": must be'),
        ({"name": 3}, "name = 3: must be 1 to 64 letters"),
        ({"seed": True}, "seed = true: must be a whole number from 0 to 2^64 - 1"),
        ({"seed": 2**64}, "must be a whole number from 0 to 2^64 - 1"),
        ({"cluster": "big"}, 'cluster = "big": must be a table'),
        ({"cluster": {"servers": 5}}, "cluster.workers: is missing"),
        ({"cluster": {**CLUSTER, "servers": "5"}}, 'cluster.servers = "5": must be a whole number'),
        ({"cluster": {**CLUSTER, "q_workers": 6}}, "q_workers = 6 breaks 2 f_workers + 1 ≤"),
        ({"cluster": {**CLUSTER, "f_server": 1}}, "unknown key 'f_server'; did you mean 'f_serv"),
        ({"plan": {"steps": 1.0}}, "plan.steps = 1.0: must be a whole number"),
        ({"plan": {"steps": 0}}, "plan.steps = 0: must be a whole number, at least 1"),
        ({"plan": {"steps": 1, "window": -1}}, "plan.window = -1: must be a whole number, at"),
        ({"plan": {"steps": 1, "patience_s": 0}}, "plan.patience_s = 0.0: must be a positive time"),
        ({"plan": {"steps": 1, "catch_up": 1}}, "plan.catch_up = 1: must be true or false"),
        ({"plan": {"steps": 1, "deadline_s": 0}}, "plan.deadline_s = 0.0: must be a positive time"),
        ({"plan": {"steps": 1, "mode": "fast"}}, 'plan.mode = "fast": must be "async"'),
        ({"faults": {"delay": {}}}, "faults.delay.mean: is missing"),
        ({"sweep": {}}, "sweep: describes several experiments: use byzsgd sweep FILE"),
        ({"aggregation": {"pre": "nnm"}}, 'aggregation.pre = "nnm": must be a list of steps'),
        ({"aggregation": {"pre": ["nmn"]}}, "unknown preaggregation 'nmn'; did you mean 'nnm'?"),
        ({"aggregation": {"gradients": {"name": "krum", "m": 2}}}, "krum has no option m: it has"),
        ({"aggregation": {"gradients": {"base": "mda"}}}, "must be a name, or a table such as"),
        ({"aggregation": {"gradients": 3}}, "aggregation.gradients = 3: must be a name, or"),
        (
            {"aggregation": {"gradients": {"name": "cc", "radius": True}}},
            "radius = true: must be text or a number",
        ),
        (
            {"aggregation": {"gradients": {"name": "cc", "radius": "far"}}},
            "centered_clipping cannot take {'radius': 'far'}",
        ),
        ({"aggregation": {"models": "medain"}}, "'medain'; did you mean 'median'?"),
        ({"network": {"dtype": "int8"}}, 'must be "float32", "bfloat16" or "float16"'),
        ({"network": {"chunk_kib": 2048}}, "network.chunk_kib = 2048: must be a whole number from"),
        ({"expect": {"accuracy": 93}}, "expect.accuracy = 93: must be a share from 0 to 1"),
        ({"trainig": {}}, "trainig: unknown key 'trainig'; did you mean 'training'?"),
    ],
)
def test_refused(more: dict[str, Any], words: str) -> None:
    text = complaint(**more)
    assert text.startswith("test.toml: ")
    assert words in text
    assert "\n" not in text, "one fault, one line"


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"task": "mnits"}, "training.task = \"mnits\": unknown task 'mnits'; did you mean 'mnist"),
        ({"model": "mpl"}, "training.model = \"mpl\": unknown model 'mpl'; did you mean 'mlp'?"),
        ({"batch": 0}, "training.batch = 0: must be a whole number, at least 1"),
        ({"learning_rate": "fast"}, 'learning_rate = "fast": must be a number, or a table such as'),
        ({"learning_rate": 0}, "training.learning_rate: the learning rate must be positive"),
        ({"learning_rate": True}, "training.learning_rate = true: must be a number, or a table"),
        ({"learning_rate": {"rate": 1}}, "training.learning_rate: must be a number, or a table"),
        ({"learning_rate": {"kind": "inverze", "rate": 1}}, "did you mean 'inverse'?"),
        ({"learning_rate": {"kind": "inverse"}}, "training.learning_rate.rate: is missing"),
        (
            {"learning_rate": {"kind": "step", "rate": 1, "milestones": [5, 5]}},
            "training.learning_rate: milestones must be rising step numbers",
        ),
        (
            {"learning_rate": {"kind": "step", "rate": 1, "milestones": [5, "x"]}},
            'training.learning_rate.milestones = [5, "x"]: must be a list of whole numbers',
        ),
        ({"learning_rate": float("nan")}, "training.learning_rate.rate = nan: must be a finite"),
        ({"momentum": 1.0}, "momentum must be at least 0 and below 1"),
        ({"clip": 0.0}, "clip must be positive, or left out"),
        ({"weight_decay": -1.0}, "weight_decay must be 0 or more"),
        ({"partition": "dii"}, "unknown kind 'dii'; did you mean 'iid'?"),
        ({"partition": "dirichlet"}, "training.partition.alpha: is missing"),
        ({"partition": {"kind": "dirichlet", "alpha": 0}}, "alpha = 0: must be a positive number"),
    ],
)
def test_training_refused(given: dict[str, Any], words: str) -> None:
    assert words in training(**given)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ([], "byzantine = []: must be a table, such as"),
        ({"sever-0": {"attack": "nan"}}, "byzantine.sever-0: is no node: write server-0, worker-3"),
        ({"worker-7": {"attack": "nan"}}, "is not in the cluster, which has worker-0 to worker-6"),
        ({"worker-5..7": {"attack": "nan"}}, 'byzantine."worker-5..7": is not in the cluster'),
        ({"worker-2..1": {"attack": "nan"}}, "is an empty range: write the lower number first"),
        ({"worker-1": {"attack": "alei"}}, "unknown attack 'alei'; did you mean 'alie'?"),
        ({"worker-1": {"attack": "alie", "zz": 1}}, "unknown option of attack alie 'zz'; did you"),
        ({"worker-1": {"attack": "alie", "z": "big"}}, "alie: z = 'big': give a finite number"),
        (
            {"worker-1": {"attack": "alie", "z": float("inf")}},
            "z = inf: must be a finite number, text",
        ),
        ({"worker-1": "alie"}, 'must be a table with an attack, such as { attack = "alie" }'),
        ({"worker-1": {"z": 1}}, 'must be a table with an attack, such as { attack = "alie" }'),
        (
            {"worker-0..1": {"attack": "nan"}, "worker-1": {"attack": "mute"}},
            'byzantine.worker-1: covers worker-1, which "worker-0..1" covers as well',
        ),
    ],
)
def test_liars_refused(given: object, words: str) -> None:
    text = complaint(byzantine=given)
    assert text.startswith("test.toml: byzantine")
    assert words in text


def test_a_rule_must_see_enough_vectors_for_its_own_f() -> None:
    assert complaint(aggregation={"gradients": "krum", "f": 2}) == (
        'test.toml: aggregation.gradients = "krum": needs n ≥ 2f+3: 7 vectors for f = 2, '
        "but sees q_workers = 5; raise workers, lower f or take another rule"
    )


def test_a_rule_must_see_enough_vectors(monkeypatch: pytest.MonkeyPatch) -> None:
    from dataclasses import replace

    from byzsgd.aggregators import AGGREGATORS

    greedy = replace(AGGREGATORS["mda"], bound="n ≥ 4f+3", minimum_n=lambda f: 4 * f + 3)
    monkeypatch.setitem(AGGREGATORS, "mda", greedy)
    assert complaint(aggregation={"gradients": "mda"}) == (
        'test.toml: aggregation.gradients = "mda": needs n ≥ 4f+3: 11 vectors for f_workers = 2, '
        "but sees q_workers = 5; raise workers, lower f_workers or take another rule"
    )
    # without liars on the workers' side 3 vectors are enough
    Experiment(**tables(cluster={"servers": 1, "workers": 3}, aggregation={"gradients": "mda"}))


# --- files and overrides --------------------------------------------------------------------------


def written(folder: Path, text: str | bytes) -> Path:
    path = folder / "some.toml"
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return path


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    def words(path: Path) -> str:
        with pytest.raises(ConfigError) as caught:
            load(path)
        return str(caught.value)

    assert words(tmp_path / "no.toml") == f"{tmp_path}/no.toml: there is no such file"
    assert f"the example is {EXAMPLES}/quickstart.toml" in words(tmp_path / "quickstart.toml")
    assert words(tmp_path) == f"{tmp_path}: cannot be read: Is a directory"
    path = written(tmp_path, 'name = "x"\n[plan]\nsteps = = 3\n')
    assert words(path).startswith(f"{path}:3:9: Invalid value")
    path = written(tmp_path, 'name = "x"\n[plan')
    assert words(path).startswith(f"{path}:2: ")
    path = written(tmp_path, b'name = "x"\nother = "\xff"\n')
    assert words(path) == f"{path}:2: is not UTF-8 text"
    broken = tmp_path / "x.json"
    broken.write_text('{\n"name": }')
    assert words(broken) == f"{broken}:2:9: Expecting value"


def test_the_source_of_a_fault_says_what_was_overridden() -> None:
    path = EXAMPLES / "quickstart.toml"
    with pytest.raises(ConfigError) as caught:
        load(path, {"plan.steps": "many"})
    words = f'{path} (with plan.steps set): plan.steps = "many": must be a whole number'
    assert str(caught.value) == words


@pytest.mark.parametrize(
    ("setting", "key", "value"),
    [
        ("plan.steps=50", "plan.steps", 50),
        ("training.learning_rate = 1e-2", "training.learning_rate", 0.01),
        ("training.task=mnist", "training.task", "mnist"),
        ('training.task="mnist"', "training.task", "mnist"),
        ("training.task=pkg.mod:fn", "training.task", "pkg.mod:fn"),
        ("plan.catch_up=false", "plan.catch_up", False),
        ("x=[1, 2]", "x", [1, 2]),
        ('x={ kind = "step" }', "x", {"kind": "step"}),
        ("x=a=b", "x", "a=b"),
        ("x=1\ny=2", "x", "1\ny=2"),
        ("x=", "x", ""),
    ],
)
def test_settings_are_typed_as_in_the_file(setting: str, key: str, value: object) -> None:
    parsed = parse_settings([setting])
    assert parsed == {key: value}
    assert type(parsed[key]) is type(value)


@pytest.mark.parametrize("setting", ["plan.steps", "=3", ""])
def test_settings_that_are_none(setting: str) -> None:
    with pytest.raises(ConfigError, match=r"write KEY=VALUE, such as plan\.steps=50"):
        parse_settings([setting])


@pytest.mark.parametrize("key", ["byzantine.worker-0..1.z", 'byzantine."worker-0..1".z'])
def test_overrides_reach_into_quoted_keys(key: str) -> None:
    given = {"byzantine": {"worker-0..1": {"attack": "alie"}}}
    result = with_overrides(given, {key: 2})
    assert result == {"byzantine": {"worker-0..1": {"attack": "alie", "z": 2}}}
    assert given == {"byzantine": {"worker-0..1": {"attack": "alie"}}}, "the given is not changed"


def test_overrides_are_left_as_they_were_given() -> None:
    """A later one reaches into the table that an earlier one has set."""
    plan = {"steps": 1}
    assert with_overrides({}, {"plan": plan, "plan.steps": 2}) == {"plan": {"steps": 2}}
    assert plan == {"steps": 1}


def test_overrides_make_tables_and_replace_them() -> None:
    assert with_overrides({}, {"a.b": 1, "a.c": 2}) == {"a": {"b": 1, "c": 2}}
    assert with_overrides({"a": {"b": 1}}, {"a": {}}) == {"a": {}}
    with pytest.raises(ConfigError, match=r"seed\.x: cannot be set, because seed is not a table"):
        with_overrides({"seed": 1}, {"seed.x": 2})
    for key in ("", "a..b", "a b", "a=1\nb"):
        with pytest.raises(ConfigError, match="is no key, such as"):
            with_overrides({}, {key: 1})


# --- digest and round trip ------------------------------------------------------------------------


def test_the_digest_names_the_science() -> None:
    base = Experiment(**tables())
    same = [
        tables(name="other", expect={"accuracy": 0.5}),
        dict(reversed(tables().items())),
        tables(cluster={**CLUSTER, "q_servers": 4, "q_workers": 5}),
        tables(plan={"save_every": 5, "steps": 100}),
        tables(training={"learning_rate": {"kind": "constant", "rate": 0.1}, "partition": "iid"}),
        tables(training={"weight_decay": 0}),
    ]
    for given in same:
        assert Experiment(**given).digest == base.digest, given
    different = [
        tables(seed=2),
        tables(plan={"steps": 101}),
        tables(training={"momentum": 0.8}),
        tables(byzantine={"worker-0": {"attack": "nan"}}),
        tables(network={"dtype": "bfloat16"}),
    ]
    digests = {Experiment(**given).digest for given in different}
    assert len(digests | {base.digest}) == 1 + len(different)


def test_the_digest_is_the_same_in_another_process() -> None:
    path = EXAMPLES / "quickstart.toml"
    code = f"import byzsgd; print(byzsgd.load({str(path)!r}).digest)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == load(path).digest


@pytest.mark.parametrize("path", sorted(EXAMPLES.glob("*.toml")), ids=lambda path: path.stem)
def test_round_trips(path: Path, tmp_path: Path) -> None:
    experiment = load(path)
    recorded = tmp_path / "experiment.json"
    recorded.write_text(json.dumps(experiment.to_dict(), allow_nan=False))
    for other in (
        load(recorded),
        pickle.loads(pickle.dumps(experiment)),
        copy.deepcopy(experiment),
    ):
        assert other == experiment
        assert other.digest == experiment.digest
        assert other.liars == experiment.liars


def test_an_experiment_does_not_change() -> None:
    experiment = Experiment(**tables())
    with pytest.raises(ValueError, match="frozen"):
        experiment.seed = 2
    with pytest.raises(ValueError, match="frozen"):
        experiment.training.batch = 2


def test_nothing_imports_torch_before_a_name_is_checked(tmp_path: Path) -> None:
    path = written(tmp_path, "name = ")
    code = f"""
import sys, byzsgd
try:
    byzsgd.load({str(path)!r})
except byzsgd.errors.ConfigError as error:
    print(error)
byzsgd.Experiment, byzsgd.Run, byzsgd.run, byzsgd.__version__
assert "torch" not in sys.modules
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout == f"{path}:1: Invalid value\n"
