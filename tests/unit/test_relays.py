"""Room for what a lying server relays: on links between liars, and on no other."""

from typing import Any

from byzsgd.experiment.config import Experiment
from byzsgd.experiment.plots import relays_of
from tests.world import servers, workers

S, W = servers(5), workers(7)
ALIE = {"attack": "alie", "z": 1.5}
COLLUDER = {**ALIE, "knowledge": "colluders"}


def experiment(**byzantine: dict[str, Any]) -> Experiment:
    cluster = {"servers": 5, "workers": 7, "f_servers": 1, "f_workers": 2}
    named = {name.replace("_", "-"): lie for name, lie in byzantine.items()}
    plan = {"steps": 5, "window": 3}
    return Experiment(name="relays", cluster=cluster, plan=plan, byzantine=named)


def test_both_ends_of_a_link_that_carries_relays_have_the_same_room() -> None:
    made = experiment(server_0={"attack": "mute"}, worker_0=COLLUDER, worker_1=COLLUDER)
    assert relays_of(made, S[0]) == {W[0]: 21, W[1]: 21}
    assert relays_of(made, W[0]) == relays_of(made, W[1]) == {S[0]: 21}


def test_no_link_of_an_honest_node_has_more_room_than_its_window() -> None:
    made = experiment(server_0={"attack": "mute"}, worker_0=COLLUDER, worker_1=ALIE)
    for node in (*S[1:], *W[1:]):
        assert relays_of(made, node) == {}


def test_where_nobody_relays_no_link_has_more_room() -> None:
    made = experiment(server_0={"attack": "mute"}, worker_0=ALIE)
    assert all(relays_of(made, node) == {} for node in (*S, *W))
