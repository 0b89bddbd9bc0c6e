"""What nodes tell at their end, and how often honest servers were not believed."""

import json
from collections import Counter
from typing import Any

from byzsgd.cluster import Cluster, Plan
from byzsgd.experiment.totals import false_rejections, told
from byzsgd.protocol import Gradient, Received, Server, Started, Worker
from tests.world import servers, workers

S, W = servers(5), workers(7)
CLUSTER = Cluster(5, 7, f_servers=1, f_workers=2)


def test_a_worker_tells_what_became_of_the_models_that_it_pulled() -> None:
    worker = Worker(W[0], CLUSTER, Plan(5, mode="sync"))
    worker.judged.update({(S[1], "accepted"): 3, (S[1], "late"): 1, (S[0], "not finite"): 2})
    totals = told(Counter({2: 1, -1: 4}), worker)
    assert json.loads(json.dumps(totals)) == {
        "lags": {"-1": 4, "2": 1},
        "judged": {"server-0": {"not finite": 2}, "server-1": {"accepted": 3, "late": 1}},
    }


def test_a_server_tells_of_what_it_had_no_use_for() -> None:
    server = Server(S[0], CLUSTER, Plan(5), "θ")
    server.handle(Started(), 0.0)
    server.handle(Received(W[1], Gradient(99, "g")), 0.0)
    for _ in range(2):
        server.handle(Received(W[2], Gradient(0, "g")), 0.0)
    malformed = Counter({(W[3], "header"): 2, (W[3], "order"): 1})
    assert told({}, server, malformed) == {
        "lags": {},
        "refused": {"worker-1": {"unasked": 1}, "worker-2": {"duplicate": 1}},
        "malformed": {"worker-3": {"header": 2, "order": 1}},
    }


def test_who_judges_nothing_tells_nothing_of_it() -> None:
    for machine in (Server(S[0], CLUSTER, Plan(5), "θ"), Worker(W[0], CLUSTER, Plan(5))):
        assert told({}, machine) == {"lags": {}}


def test_false_rejections_are_of_honest_servers_and_leave_the_late_out() -> None:
    events: list[dict[str, Any]] = [
        {"event": "ready", "node": "worker-0"},
        {"event": "totals", "node": "server-0", "lags": {}},
        {
            "event": "totals",
            "node": "worker-0",
            "judged": {
                "server-0": {"accepted": 100, "outlier": 100},
                "server-1": {"accepted": 7, "lipschitz": 2, "late": 50},
            },
        },
        {
            "event": "totals",
            "node": "worker-1",
            "judged": {"server-2": {"outlier": 1, "not finite": 1, "accepted": 1}},
        },
    ]
    assert false_rejections(events, S[1:]) == (4, 12)
    assert false_rejections(events, S) == (104, 212)
    assert false_rejections([], S) == (0, 0)
