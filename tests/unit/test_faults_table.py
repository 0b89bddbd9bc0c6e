"""`[faults]`: what may be written, what it means, what is refused and when promises end."""

import copy
import json
import math
import pickle
import tomllib
from itertools import product
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from byzsgd.cluster import Cluster, NodeId
from byzsgd.errors import ConfigError
from byzsgd.experiment.config import Experiment
from byzsgd.experiment.faults import FaultTable
from byzsgd.experiment.guarantees import beyond_declared
from byzsgd.experiment.patterns import all_of, patterns_of
from byzsgd.faults import (
    Chance,
    Constant,
    Crash,
    Delay,
    Exponential,
    FaultPlan,
    Lognormal,
    Partition,
    Slow,
    Uniform,
)

CLUSTER = {"servers": 5, "workers": 7, "f_servers": 1, "f_workers": 2}
S = [NodeId("server", index) for index in range(5)]
W = [NodeId("worker", index) for index in range(7)]


def experiment(faults: object, **more: Any) -> Experiment:
    tables = {"name": "test", "cluster": CLUSTER, "plan": {"steps": 100}, "faults": faults, **more}
    return Experiment.from_dict(tables, "test.toml")


def plan(text: str) -> FaultPlan:
    return of(experiment(tomllib.loads(text)))


def of(one: Experiment) -> FaultPlan:
    return one.faults.plan(one.cluster)


def complaint(text: str, **more: Any) -> str:
    with pytest.raises(ConfigError) as caught:
        experiment(tomllib.loads(text), **more)
    return str(caught.value)


# --- what is accepted -----------------------------------------------------------------------------


def test_without_a_table_nothing_goes_wrong() -> None:
    none = Experiment(name="test", cluster=CLUSTER, plan={"steps": 100})
    assert of(none) == FaultPlan()
    empty: list[object] = [{}, {"loss": []}, FaultTable()]
    for nothing in empty:
        assert experiment(nothing) == none
        assert experiment(nothing).digest == none.digest
    assert none.to_dict()["faults"] == {}


@pytest.mark.parametrize(
    ("text", "delays"),
    [
        ("delay = 0.2", [Delay(Constant(0.2))]),
        ("delay = 1", [Delay(Constant(1.0))]),
        ("delay = { mean = 0.002 }", [Delay(Exponential(0.002))]),
        ('delay = { kind = "uniform", high = 2 }', [Delay(Uniform(0.0, 2.0))]),
        (
            'delay = [{ kind = "lognormal", mean = 0.05, sigma = 0.5 }, '
            '{ kind = "constant", mean = 0.2, sender = "worker-0..2", receiver = "server-1" }, 3]',
            [
                Delay(Lognormal(0.05, 0.5)),
                Delay(Constant(0.2), senders=tuple(W[:3]), receivers=(S[1],)),
                Delay(Constant(3.0)),
            ],
        ),
    ],
)
def test_delays(text: str, delays: list[Delay]) -> None:
    assert plan(text) == FaultPlan(delays=tuple(delays))


@pytest.mark.parametrize(
    ("key", "field"), [("loss", "losses"), ("duplicate", "duplicates"), ("reorder", "reorders")]
)
def test_chances(key: str, field: str) -> None:
    assert getattr(plan(f"{key} = 0.01"), field) == (Chance(0.01),)
    text = (
        f'{key} = [1, {{ probability = 0, sender = ["servers", "worker-3"], from = 1, until = 5 }}]'
    )
    spared = Chance(0.0, senders=(*S, W[3]), from_s=1.0, until_s=5.0)
    expected: dict[str, Any] = {field: (Chance(1.0), spared)}
    assert plan(text) == FaultPlan(**expected)


def test_partitions_slow_nodes_and_crashes() -> None:
    text = """
        slow = { nodes = "worker-3", factor = 10 }
        [[partition]]
        nodes = ["server-0", "worker-0..2"]
        direction = "in"
        from = 1.0
        until = 2.0
        [[partition]]
        nodes = "server-4"
        kind = "lose"
        [[crash]]
        node = "server-2"
        from = 3
        until = 6
        [[crash]]
        node = "worker-1"
    """
    assert plan(text) == FaultPlan(
        partitions=(
            Partition((S[0], *W[:3]), "in", "hold", from_s=1.0, until_s=2.0),
            Partition((S[4],), "both", "lose"),
        ),
        slow=(Slow((W[3],), 10.0),),
        crashes=(Crash(W[1], 0.0), Crash(S[2], 3.0, 6.0)),
    ), "crashes in order of time"


def test_slow_times_and_crashes_may_follow_each_other() -> None:
    text = """
        slow = [
            { nodes = "workers", factor = 2, until = 3 },
            { nodes = "worker-1", factor = 3, from = 3 },
        ]
        crash = [{ node = "server-1", from = 1, until = 2 }, { node = "server-1", from = 2.5 }]
    """
    assert len(plan(text).slow) == len(plan(text).crashes) == 2


def test_the_same_nodes_are_the_same_science() -> None:
    said = [
        ["worker-0..2", "server-4"],
        ["server-4", "worker-2", "worker-1", "worker-0", "worker-1"],
        ["worker-1..2", "worker-0", "server-4..4"],
    ]
    one, *others = [experiment({"slow": {"nodes": nodes, "factor": 2}}) for nodes in said]
    for other in others:
        assert other == one
        assert other.digest == one.digest
    assert one.to_dict()["faults"]["slow"] == [
        {"nodes": ["server-4", "worker-0..2"], "factor": 2.0}
    ]


@pytest.mark.parametrize("everybody", ["all", ["servers", "workers"], ["server-0..4", "workers"]])
def test_everybody_is_the_same_as_nobody_in_particular(everybody: object) -> None:
    loss = {"probability": 0.1, "sender": everybody, "receiver": "all", "from": 0}
    assert experiment({"loss": loss}) == experiment({"loss": 0.1})
    assert experiment({"loss": loss}).to_dict()["faults"] == {"loss": [{"probability": 0.1}]}


def test_faults_are_part_of_the_science() -> None:
    given = [
        {},
        {"loss": 0.1},
        {"loss": 0.2},
        {"duplicate": 0.1},
        {"delay": 0.1},
        {"delay": {"mean": 0.1}},
        {"crash": {"node": "server-1"}},
        {"crash": {"node": "server-1", "from": 1}},
        {"partition": {"nodes": "server-1"}},
        {"partition": {"nodes": "server-1", "kind": "lose"}},
    ]
    assert len({experiment(faults).digest for faults in given}) == len(given)


def test_round_trips() -> None:
    one = experiment(
        {
            "delay": [
                0.1,
                {"mean": 0.2, "sender": "workers", "until": 3},
                {"kind": "uniform", "high": 1},
            ],
            "loss": 0.1,
            "reorder": [{"probability": 0.5, "from": 2}],
            "partition": {"nodes": "server-0", "direction": "out", "kind": "lose", "until": 9},
            "slow": {"nodes": ["worker-0", "worker-2"], "factor": 4},
            "crash": [{"node": "server-1", "from": 1, "until": 2}],
        }
    )
    text = json.dumps(one.to_dict(), allow_nan=False)
    again = Experiment.from_dict(json.loads(text))
    for other in (again, pickle.loads(pickle.dumps(one)), copy.deepcopy(one)):
        assert other == one
        assert other.digest == one.digest
        assert of(other) == of(one)
    assert experiment(one.faults) == one
    assert experiment({"loss": one.faults.loss, "delay": one.faults.delay[1]}).faults.delay == (
        one.faults.delay[1],
    )
    with pytest.raises(ValueError, match="frozen"):
        one.faults.loss = ()


def test_a_table_for_another_cluster_is_checked_again() -> None:
    big = Experiment(
        name="test",
        cluster={"servers": 9, "workers": 9},
        plan={"steps": 1},
        faults={"crash": {"node": "server-8"}},
    )
    with pytest.raises(ConfigError, match=r"server-8.*is not in the cluster"):
        experiment(big.faults)


# --- patterns -------------------------------------------------------------------------------------


@given(st.sets(st.sampled_from([*S, *W])))
def test_patterns_name_exactly_their_nodes(nodes: set[NodeId]) -> None:
    patterns = patterns_of(nodes)
    assert all_of(patterns, Cluster(**CLUSTER)) == tuple(sorted(nodes))
    assert len(patterns) == len([n for n in nodes if n._replace(index=n.index - 1) not in nodes])


# --- what is refused ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (
            'delay = "long"',
            'delay = "long": must be a number, a table such as { mean = 0.002 }, or',
        ),
        (
            "delay = true",
            "delay = true: must be a number, a table such as { mean = 0.002 }, or a l",
        ),
        ("delay = -1", "delay.mean = -1: must be a time in seconds, from 0 to 1e9"),
        ("delay = inf", "delay.mean = inf: must be a time in seconds, from 0 to 1e9"),
        ("delay = nan", "delay.mean = nan: must be a time in seconds, from 0 to 1e9"),
        ("delay = 1e10", "delay.mean = 10000000000.0: must be a time in seconds, from 0 to 1e9"),
        ("delay = {}", "delay.mean: is missing"),
        ("delay = { mean = true }", "delay.mean = true: must be a time in seconds"),
        (
            'delay = { kind = "normal" }',
            "delay.kind = \"normal\": unknown kind 'normal'; did you m",
        ),
        ("delay = { kind = [] }", "delay.kind = []: unknown kind '[]'"),
        ('delay = { kind = "lognormal", mean = 1 }', "delay.sigma: is missing"),
        ('delay = { kind = "lognormal", mean = 1, sigma = 11 }', "must be a number from 0 to 10"),
        ('delay = { kind = "uniform", low = 2, high = 1 }', "delay.high = 1: must be at least low"),
        ("delay = { mean = 1, sigma = 1 }", "delay.sigma = 1: unknown key 'sigma'"),
        ("loss = 1.1", "loss.probability = 1.1: must be a number from 0 to 1"),
        ("loss = -0.1", "loss.probability = -0.1: must be a number from 0 to 1"),
        ("duplicate = nan", "duplicate.probability = nan: must be a number from 0 to 1"),
        (
            "reorder = [[1]]",
            "reorder = [1]: must be a number, a table such as { probability = 0.01",
        ),
        ("loss = { form = 1, probability = 1 }", "unknown key 'form'; did you mean 'from'? (known"),
        (
            "loss = { from_s = 1, probability = 1 }",
            "loss.from_s = 1: unknown key 'from_s'; did you",
        ),
        ("loss = { probability = 1, from = -1 }", "loss.from = -1: must be a time in seconds"),
        ("loss = { probability = 1, from = inf }", "loss.from = inf: must be a time in seconds"),
        ("loss = { probability = 1, until = inf }", "loss.until = inf: must be a time in seconds"),
        ("loss = { probability = 1, until = 0 }", "loss.until = 0: must be later than from = 0"),
        (
            "loss = { probability = 1, from = 2, until = 2 }",
            "until = 2: must be later than from = 2",
        ),
        ("loss = { probability = 1, sender = 3 }", "loss.sender = 3: must be nodes, such as"),
        (
            'loss = { probability = 1, sender = "x-1" }',
            'loss.sender = "x-1": is no node: write ser',
        ),
        (
            'loss = { probability = 1, receiver = "server-3..5" }',
            'receiver = "server-3..5": is not in the cluster, which has server-0 to server-4',
        ),
        (
            'loss = { probability = 1, receiver = ["server-0", "server-2..1"] }',
            'receiver = ["server-0", "server-2..1"]: "server-2..1" is an empty range: write',
        ),
        ("partition = 3", "partition = 3: must be a table such as { nodes ="),
        ("partition = {}", "partition.nodes: is missing"),
        ("partition = { nodes = [] }", "partition.nodes = []: names no node"),
        ('partition = { nodes = "all" }', 'nodes = "all": are all the nodes there are: leave out'),
        (
            'partition = { nodes = "server-0", kind = "drop" }',
            'kind = "drop": must be "hold" or "l',
        ),
        ('partition = { nodes = "server-0", direction = "up" }', 'must be "both", "in" or "out"'),
        ('slow = "worker-3"', 'slow = "worker-3": must be a table such as { nodes ='),
        ('slow = { nodes = "worker-3" }', "slow.factor: is missing"),
        ('slow = { nodes = "worker-3", factor = 0.5 }', "slow.factor = 0.5: must be a number from"),
        ('slow = { nodes = "worker-3", factor = inf }', "slow.factor = inf: must be a number from"),
        (
            'crash = { node = "servers" }',
            'crash.node = "servers": must be one node: write an entry',
        ),
        ('crash = { node = "worker-0..1" }', 'crash.node = "worker-0..1": must be one node'),
        (
            'crash = { node = ["server-1"] }',
            'node = ["server-1"]: must be one node, such as "serve',
        ),
        ('crash = { node = "worker-7" }', "is not in the cluster, which has worker-0 to worker-6"),
        ("dealy = 1", "faults.dealy = 1: unknown key 'dealy'; did you mean 'delay'?"),
        (
            'crash = [{ node = "server-1", from = 1, until = 5 }, { node = "server-2" }, '
            '{ node = "server-1", from = 4 }]',
            "crash: entries 1 and 3 have server-1 down at once, from 4 s to 5 s: let it restart",
        ),
        (
            'crash = [{ node = "server-1", from = 6 }, { node = "server-1", from = 1, until = 6 }]',
            "crash: entries 1 and 2 have server-1 down at once, at 6 s: let it restart",
        ),
        (
            'crash = [{ node = "server-1" }, { node = "server-1", from = 7 }]',
            "crash: entries 1 and 2 have server-1 down at once, from 7 s on: let it restart",
        ),
        (
            'slow = [{ nodes = "worker-2..6", factor = 2 }, '
            '{ nodes = ["worker-1..3", "worker-6"], factor = 3, from = 1 }]',
            "slow: entries 1 and 2 slow worker-2..3, worker-6 at once, from 1 s on: let one end",
        ),
    ],
)
def test_refused(text: str, words: str) -> None:
    said = complaint(text)
    assert said.startswith("test.toml: faults.")
    assert words in said
    assert "\n" not in said, "one fault, one line"


def test_all_faults_are_told_at_once_with_their_entries() -> None:
    text = """
        delay = [0.1, { mean = -1, from = 3, until = 2 }]
        loss = 2
        crash = [{ node = "server-9" }, { node = "server-1" }, { node = "server-1" }]
        slow = [{ nodes = "workers", factor = 2 }, { nodes = "worker-1", factor = 2 }]
        [[partition]]
        nodes = ["server-1", "server-7"]
        kind = "drop"
    """
    head, *lines = complaint(text, seed=-1).splitlines()
    assert head == "test.toml: 8 faults"
    starts = [
        "seed = -1: must be",
        "faults.delay.until = 2: must be later than from = 3 (entry 2)",
        "faults.delay.mean = -1: must be a time in seconds, from 0 to 1e9 (entry 2)",
        "faults.loss.probability = 2: must be",
        'faults.partition.nodes = ["server-1", "server-7"]: "server-7" is not in the cluster',
        'faults.partition.kind = "drop": must be',
        "faults.slow: entries 1 and 2 slow worker-1 at once",
        'faults.crash.node = "server-9": is not in the cluster, which has server-0 to serv',
    ]
    assert [line.strip()[: len(start)] for line, start in zip(lines, starts, strict=True)] == starts


def test_types_are_checked_although_the_cluster_is_wrong() -> None:
    said = complaint('loss = 2\ncrash = { node = "server-99" }', cluster={"servers": 5})
    assert said.splitlines()[1:] == [
        "  cluster.workers: is missing",
        "  faults.loss.probability = 2: must be a number from 0 to 1",
    ]
    with pytest.raises(ConfigError, match="faults = 3: must be a table"):
        experiment(3)


# --- when no promise holds ------------------------------------------------------------------------


def warnings(text: str, **more: Any) -> tuple[str, ...]:
    return experiment(tomllib.loads(text), **more).warnings


LIAR = {"byzantine": {"server-0": {"attack": "mute"}}}


@pytest.mark.parametrize(
    "text",
    [
        'crash = { node = "server-1", from = 3 }',
        'crash = [{ node = "server-1", until = 2 }, { node = "server-2", from = 2 }]',
        'crash = [{ node = "worker-1" }, { node = "worker-2" }, { node = "server-2" }]',
        'partition = { nodes = ["server-1", "worker-1..2"] }',
        'partition = { nodes = ["server-0..3", "worker-0..4"] }',
        'partition = { nodes = "workers", until = 5 }',
        'partition = { nodes = "servers", kind = "lose", until = 5 }',
        'partition = { nodes = "server-1", direction = "in" }\ncrash = { node = "server-1" }',
        'slow = { nodes = "all", factor = 100 }\nloss = 0.5',
    ],
)
def test_within_what_is_declared_there_is_no_warning(text: str) -> None:
    assert warnings(text) == ()


def test_a_node_that_is_down_counts_while_it_is() -> None:
    text = """
        [[crash]]
        node = "server-1"
        from = 1
        until = 3
        [[crash]]
        node = "server-2"
        from = 2
        until = 5.5
    """
    assert warnings(text) == (
        "from 2 s to 3 s f_servers = 1 is exceeded (down: server-1..2): no guarantee holds then",
    )
    assert warnings(text, **LIAR) == (
        "from 1 s to 2 s f_servers = 1 is exceeded (lying: server-0; down: server-1): "
        "no guarantee holds then",
        "from 2 s to 3 s f_servers = 1 is exceeded (lying: server-0; down: server-1..2): "
        "no guarantee holds then",
        "from 3 s to 5.5 s f_servers = 1 is exceeded (lying: server-0; down: server-2): "
        "no guarantee holds then",
    )


def test_a_time_is_not_divided_by_what_changes_elsewhere() -> None:
    text = """
        crash = [
            { node = "worker-0", from = 2, until = 3 },
            { node = "server-0", from = 1, until = 2.5 },
            { node = "server-1", from = 1 }, { node = "server-2", from = 1 },
        ]
    """
    assert [said.split(" f_")[0] for said in warnings(text)] == [
        "from 1 s to 2.5 s",
        "from 2.5 s on",
    ]


def test_a_liar_that_crashes_counts_once() -> None:
    assert warnings('crash = { node = "server-0", from = 1 }', **LIAR) == ()
    assert warnings('partition = { nodes = "server-0", from = 1 }', **LIAR) == ()


def test_both_sides_are_told() -> None:
    crash = [
        {"node": f"{role}-{index}", "from": 1}
        for role in ("server", "worker")
        for index in (1, 2, 3)
    ]
    assert experiment({"crash": crash}).warnings == (
        "from 1 s on f_servers = 1 is exceeded (down: server-1..3): no guarantee holds then",
        "from 1 s on f_workers = 2 is exceeded (down: worker-1..3): no guarantee holds then",
    )


def test_liars_alone_are_told_once() -> None:
    liars = {"byzantine": {"server-0..1": {"attack": "mute"}}}
    assert len(warnings('crash = { node = "server-0", from = 1 }', **liars)) == 1
    both = warnings('crash = { node = "server-4", from = 1 }', **liars)
    assert [said.split(" (")[0] for said in both] == [
        "2 servers lie",
        "from 1 s on f_servers = 1 is exceeded",
    ]


@pytest.mark.parametrize("kind", ["hold", "lose"])
@pytest.mark.parametrize("direction", ["both", "in", "out"])
def test_who_is_cut_off_for_ever_is_missing(kind: str, direction: str) -> None:
    text = f"""
        crash = {{ node = "server-1", from = 4, until = 5 }}
        partition = {{ nodes = "server-4", kind = "{kind}", direction = "{direction}", from = 2 }}
    """
    assert warnings(text) == (
        "from 4 s to 5 s f_servers = 1 is exceeded (down: server-1; cut off: server-4): "
        "no guarantee holds then",
    )


def test_the_many_go_on_whichever_of_them_are_named() -> None:
    few, many = ["server-0..1", "worker-0"], ["server-2..4", "worker-1..6"]
    told = (
        "from 1 s on f_servers = 1 is exceeded (cut off: server-0..1): no guarantee holds then",
    )
    for nodes in (few, many):
        assert experiment({"partition": {"nodes": nodes, "from": 1}}).warnings == told


def test_two_partitions_for_ever_cut_off_the_nodes_of_both() -> None:
    cuts = [{"nodes": "server-0"}, {"nodes": ["server-1", "worker-0..2"], "from": 3}]
    assert experiment({"partition": cuts}).warnings == (
        "from 3 s on f_servers = 1 is exceeded (cut off: server-0..1): no guarantee holds then",
        "from 3 s on f_workers = 2 is exceeded (cut off: worker-0..2): no guarantee holds then",
    )


crashes = st.builds(
    lambda node, start, more: Crash(node, start, start + more if more else None),
    st.sampled_from([*S, *W]),
    st.integers(0, 4).map(float),
    st.sampled_from([0.0, 1.0, 2.0]),
)


@given(st.sets(st.sampled_from([*S, *W]), max_size=3), st.lists(crashes, max_size=6))
def test_the_warnings_cover_exactly_the_times_of_too_many(
    liars: set[NodeId], down: list[Crash]
) -> None:
    cluster = Cluster(**CLUSTER)
    said = list(beyond_declared(cluster, sorted(liars), FaultPlan(crashes=tuple(down))))
    allowed = {"server": 1, "worker": 2}
    for role, at in product(("server", "worker"), (0.5, 1.5, 2.5, 3.5, 4.5, 5.5, 6.5)):
        lying = {node for node in liars if node.role == role}
        away = {c.node for c in down if c.node.role == role and c.at_s <= at < c.ends_s}
        expected = len(lying | away) > allowed[role] and not away <= lying
        spans = [span(text) for text in said if f" f_{role}s " in text]
        assert sum(begin <= at < end for begin, end in spans) == expected


def span(text: str) -> tuple[float, float]:
    words = text.split()
    return float(words[1]), math.inf if words[3] == "on" else float(words[4])
