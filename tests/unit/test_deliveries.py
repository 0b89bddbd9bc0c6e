"""What machines were told, written down and read again."""

from pathlib import Path

import pytest

from byzsgd.cluster import Cluster, NodeId, Plan
from byzsgd.errors import ConfigError
from byzsgd.experiment.deliveries import (
    Deliveries,
    Delivery,
    Recorded,
    deliveries_path,
    delivery,
    read_deliveries,
)
from byzsgd.protocol import (
    Contracted,
    Done,
    Effect,
    Event,
    Forged,
    Gradient,
    GradientComputed,
    Model,
    Received,
    Send,
    Server,
    Started,
    TimerFired,
    Updated,
    Whisper,
    Worker,
)

SERVER, WORKER = NodeId("server", 0), NodeId("worker", 1)
CLUSTER, PLAN = Cluster(1, 2), Plan(2, gather_every=1)


@pytest.mark.parametrize(
    ("event", "line"),
    [
        (Started(), ("started", 5)),
        (Received(SERVER, Model(4, "v", 2)), ("received", "server-0", "Model", 4, 2)),
        (Received(WORKER, Gradient(4, "v")), ("received", "worker-1", "Gradient", 4, 0)),
        (Received(WORKER, Whisper(4, "v")), ("received", "worker-1", "Whisper", 4, 0)),
        (TimerFired("patience", 3), ("timer", "patience", 3)),
        (GradientComputed(3, "v"), ("computed", "GradientComputed", 3)),
        (Updated(3, "v", (WORKER,)), ("computed", "Updated", 3)),
        (Contracted(3, "v"), ("computed", "Contracted", 3)),
        (Forged((Send((SERVER,), Gradient(3, "v")),)), ("computed", "Forged", 3)),
        (Forged(()), ("computed", "Forged", 5)),
    ],
)
def test_each_kind_of_event_has_its_line(event: Event, line: Delivery, tmp_path: Path) -> None:
    assert delivery(event, step=5) == line
    with Deliveries(deliveries_path(tmp_path, SERVER)) as deliveries:
        deliveries.write(event, step=5)
    assert read_deliveries(tmp_path, SERVER) == [line]


def run_worker(machine: Worker | Recorded) -> list[list[Effect]]:
    return [
        machine.handle(event, now=0.0)
        for event in (
            Started(),
            Received(SERVER, Model(0, "m")),
            Received(SERVER, Model(0, "late")),
            Contracted(0, "m"),
            GradientComputed(0, "g"),
        )
    ]


def test_a_recorded_machine_is_no_other_machine(tmp_path: Path) -> None:
    bare = Worker(WORKER, CLUSTER, PLAN)
    with Deliveries(deliveries_path(tmp_path, WORKER)) as deliveries:
        recorded = Recorded(Worker(WORKER, CLUSTER, PLAN), deliveries)
        assert run_worker(recorded) == run_worker(bare)
        assert (recorded.step, recorded.phase) == (bare.step, bare.phase) == (1, "models")
        assert recorded.refused == bare.refused
        assert recorded.kept(SERVER) == bare.kept(SERVER)
    assert read_deliveries(tmp_path, WORKER) == [
        ("started", 0),
        ("received", "server-0", "Model", 0, 0),
        ("received", "server-0", "Model", 0, 0),
        ("computed", "Contracted", 0),
        ("computed", "GradientComputed", 0),
    ]


def test_all_that_led_to_a_word_is_in_the_file_before_the_word_is_out(tmp_path: Path) -> None:
    """So that of a killed process nobody has heard anything that cannot be replayed."""
    log = Deliveries(deliveries_path(tmp_path, SERVER))
    server = Recorded(Server(SERVER, CLUSTER, PLAN, "m"), log)
    events: tuple[Event, ...] = (
        Started(),
        Received(NodeId("worker", 0), Gradient(0, "g")),
        Received(WORKER, Gradient(0, "g")),
        Received(WORKER, Gradient(0, "g")),
        Updated(0, "m"),
        Received(WORKER, Gradient(1, "g")),
        Received(NodeId("worker", 0), Gradient(1, "g")),
        Updated(1, "m"),
    )
    for told, event in enumerate(events, start=1):
        effects = server.handle(event, now=0.0)
        if any(isinstance(effect, Send | Done) for effect in effects):
            assert len(read_deliveries(tmp_path, SERVER)) == told
    assert server.phase == "done"
    log.close()


def test_most_events_do_not_touch_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    flushes = 0

    def flush(log: Deliveries) -> None:
        nonlocal flushes
        flushes += 1

    monkeypatch.setattr(Deliveries, "flush", flush)
    with Deliveries(deliveries_path(tmp_path, WORKER)) as log:
        run_worker(Recorded(Worker(WORKER, CLUSTER, PLAN), log))
        assert flushes == 1, "the gradient"


def test_another_process_goes_on_in_the_same_file(tmp_path: Path) -> None:
    path = deliveries_path(tmp_path, WORKER)
    with Deliveries(path) as log:
        log.write(Started(), 0)
        log.write(TimerFired("patience", 0), 0)
    with path.open("a") as file:
        file.write('["received","ser')  # and then it was killed
    assert len(read_deliveries(tmp_path, WORKER)) == 2
    with Deliveries(path, restarted=True) as log:
        log.write(Started(), 30)
    assert read_deliveries(tmp_path, WORKER) == [
        ("started", 0),
        ("timer", "patience", 0),
        ("restarted", 30),
    ]


def test_nothing_recorded_is_nothing_to_read(tmp_path: Path) -> None:
    assert read_deliveries(tmp_path, WORKER) == []


@pytest.mark.parametrize(
    "line", ["no json", "{}", "[]", '["received","server-0"]', '["sent",1]', "3", '["timer",1,2,3]']
)
def test_a_damaged_line_is_named(line: str, tmp_path: Path) -> None:
    path = deliveries_path(tmp_path, WORKER)
    path.parent.mkdir()
    path.write_text(f'["started",0]\n{line}\n["timer","patience",0]\n')
    with pytest.raises(ConfigError, match=r"worker-1\.jsonl:2: is no"):
        read_deliveries(tmp_path, WORKER)
