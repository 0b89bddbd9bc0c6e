"""What an experiment takes: counted here by hand, or by walking over every pair of nodes."""

import json
from typing import Any

import pytest

from byzsgd.experiment.config import Experiment
from byzsgd.experiment.plan import PROCESS_RSS_BYTES, describe, dimension_of
from byzsgd.experiment.text import plan_text, size, table


def experiment(
    servers: int = 5, workers: int = 7, f_servers: int = 1, f_workers: int = 2, **more: Any
) -> Experiment:
    cluster = {
        "servers": servers,
        "workers": workers,
        "f_servers": f_servers,
        "f_workers": f_workers,
    }
    return Experiment(
        name="sized", cluster=cluster, plan={"steps": 100} | more.pop("plan", {}), **more
    )


def test_a_synchronous_step_moves_fewer_models_and_keeps_more_gradients() -> None:
    """Every worker pulls one model, but for the tenth step; a server takes all gradients."""
    report = describe(experiment(plan={"mode": "sync", "gather_every": 10}), dimension=1000)
    assert report.vectors == pytest.approx(7 * 5 + 7 * 0.9 + 7 * 5 / 10 + 5 * 4 / 10)
    assert report.memory[0].workspace == (7 + 4 + 4) * 4 * 1000
    assert report.memory[0].outboxes == 11 * (4 + 1) * 4000


def test_the_quickstart_by_hand() -> None:
    report = describe(experiment(byzantine={"server-0": {"attack": "nan"}}), dimension=1000)
    servers, workers = report.sides
    assert (servers.nodes, servers.f, servers.f_max) == (5, 1, 1)
    assert (servers.quorum, servers.quorum_min, servers.quorum_max) == (4, 4, 4)
    assert (workers.nodes, workers.f, workers.f_max) == (7, 2, 2)
    assert (workers.quorum, workers.quorum_min, workers.quorum_max) == (5, 5, 5)
    assert (servers.liars, workers.liars) == ({"server-0": "nan"}, {})
    assert report.vectors == 2 * 7 * 5 + 5 * 4 / 10 == 72.0
    assert report.vectors_plain == 14
    assert report.step_bytes == 72 * 4000
    assert report.lipschitz_max == pytest.approx(1 / (3 * 10 * 0.1))
    server, worker = report.memory
    assert (server.links, worker.links) == (11, 5)
    assert server.held == 11 * (4 + 2) * 4000
    assert worker.held == 5 * (4 + 2) * 4000
    assert server.outboxes == (4 + 11) * 4000
    assert worker.outboxes == (4 + 5) * 4000
    assert server.workspace == (5 + 4 + 4) * 4 * 1000
    assert worker.workspace == (4 + 4) * 4 * 1000
    assert server.total == 264_000 + 60_000 + 52_000 + PROCESS_RSS_BYTES
    assert report.warnings == ()


@pytest.mark.parametrize(("servers", "f", "workers"), [(1, 0, 4), (5, 1, 7), (8, 2, 4), (9, 2, 13)])
@pytest.mark.parametrize(("period", "rounds"), [(1, 1), (10, 1), (7, 3)])
def test_vectors_and_links_counted_one_by_one(
    servers: int, f: int, workers: int, period: int, rounds: int
) -> None:
    plan = {"gather_every": period, "gather_rounds": rounds}
    report = describe(experiment(servers, workers, f, 1, plan=plan), dimension=10)
    nodes = [("s", i) for i in range(servers)] + [("w", i) for i in range(workers)]
    pairs = [(a, b) for a in nodes for b in nodes if a != b]
    scattered = sum(a[0] != b[0] for a, b in pairs) * period
    gathered = sum(a[0] == b[0] == "s" for a, b in pairs) * rounds
    assert report.vectors == pytest.approx((scattered + gathered) / period)
    assert report.links == sum("s" in (a[0], b[0]) for a, b in pairs) // 2


def test_half_precision_halves_the_wire_and_not_the_work() -> None:
    full = describe(experiment(), dimension=1000)
    half = describe(experiment(network={"dtype": "bfloat16"}), dimension=1000)
    assert half.step_bytes == full.step_bytes / 2
    assert half.memory[0].held == full.memory[0].held / 2
    assert half.memory[0].workspace == full.memory[0].workspace


def test_a_wider_cluster_leaves_a_choice_of_quorums() -> None:
    servers, workers = describe(experiment(9, 13, 1, 1), dimension=10).sides
    assert (servers.f_max, servers.quorum_min, servers.quorum_max) == (2, 4, 8)
    assert (workers.f_max, workers.quorum_min, workers.quorum_max) == (4, 3, 12)


@pytest.mark.parametrize(("servers", "f", "warns"), [(5, 1, False), (8, 2, True), (9, 2, False)])
def test_a_server_that_may_never_return_is_a_warning(servers: int, f: int, warns: bool) -> None:
    warnings = describe(experiment(servers, 7, f, 2), dimension=10).warnings
    assert [warning for warning in warnings if "may never find" in warning] == list(warnings)
    assert bool(warnings) is warns
    if warns:
        assert "servers = 8 is below 4 f_servers + 1 = 9" in warnings[0]
        assert "may never find 5 models of one step" in warnings[0]


def test_more_liars_than_declared_are_a_warning_here_too() -> None:
    lying = experiment(byzantine={"worker-0..2": {"attack": "mute"}})
    assert "3 workers lie" in describe(lying, dimension=10).warnings[0]


def test_the_text_has_the_figures() -> None:
    lying = experiment(byzantine={"server-0": {"attack": "nan"}, "worker-0..1": {"attack": "alie"}})
    text = plan_text(describe(lying, dimension=79_510))
    assert "100 steps of 79,510 parameters" in text
    assert "lies: worker-0 (alie), worker-1 (alie)" in text
    assert "72.0 vectors a step over 45 links, 22.9 MB" in text
    assert "T ≤ 1/(3 l η₁), which holds for l ≤ 0.333" in text
    assert "260 MB for Python, torch and numba" in text
    plain = plan_text(describe(experiment(1, 4, 0, 0), dimension=10))
    assert "gather" not in plain
    assert "8.0 vectors a step over 4 links" in plain


def test_the_report_is_plain_data() -> None:
    report = describe(experiment(), dimension=1000)
    data = json.loads(json.dumps(report.to_dict(), allow_nan=False))
    assert data["step_bytes"] == 288_000
    assert data["server_bytes"] == report.memory[0].total


def test_the_dimension_is_that_of_the_tasks_model() -> None:
    assert dimension_of(experiment(training={"model": "linear"})) == 64 * 10 + 10


def test_sizes_and_tables() -> None:
    assert [size(n) for n in (0, 999, 1000, 22_898_880, 2e9, 5e12, 3e15)] == [
        "0 B", "999 B", "1 kB", "22.9 MB", "2 GB", "5 TB", "3e+03 TB",
    ]  # fmt: skip
    assert table([("", "n"), ("long", "1,000"), ("x", "2")]) == [
        "          n",
        "long  1,000",
        "x         2",
    ]
