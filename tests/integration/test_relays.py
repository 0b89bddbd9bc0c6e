"""A lying server tells a lying worker what the honest workers sent it, over a real link."""

from collections import Counter
from pathlib import Path

import pytest
import torch

import byzsgd
from byzsgd.experiment.config import Experiment
from byzsgd.experiment.deliveries import read_deliveries
from byzsgd.protocol import Model, Whisper
from byzsgd.runtime.parcel import Parcel
from byzsgd.wire import KINDS, Layout, frames_of
from tests.integration.links import SERVER, WORKER, Net, parcel
from tests.integration.processes import marked

SMALL = Layout(500)

STEPS, WORKERS, F = 15, 7, 1


@pytest.mark.parametrize("shared", [True, False])
async def test_a_link_with_room_for_relays_delivers_them_all_beside_the_models(
    shared: bool,
) -> None:
    """Though the receiver does not move on; but for as much as more models would need."""
    vector = torch.arange(500.0)
    with Net(SMALL, shared=shared, window=2, relays=20) as net:
        await net.linked()
        for about in range(18):
            whisper = Parcel(KINDS[Whisper], 0, about + 1, frames_of(vector, SMALL))
            net.open[SERVER].send([WORKER], whisper)
        for step in range(2):
            net.open[SERVER].send([WORKER], parcel(step, vector, SMALL))
        heard = [(await net.ears[WORKER].message())[1] for _ in range(20)]
    assert [each.step for each in heard if isinstance(each, Model)] == [0, 1]
    assert [each.about for each in heard if isinstance(each, Whisper)] == [*range(18)]
    assert not net.ears[WORKER].refusals


def test_a_lying_worker_is_told_of_a_quorum_of_gradients_at_every_step(tmp_path: Path) -> None:
    experiment = Experiment(
        name="relayed",
        cluster={"servers": 5, "workers": WORKERS, "f_servers": 1, "f_workers": F},
        plan={"steps": STEPS},
        training={"task": "byzsgd.experiment.swarm.task:three_groups", "batch": 8},
        byzantine={
            "server-0": {"attack": "mute"},
            "worker-0": {"attack": "alie", "knowledge": "colluders"},
        },
    )
    with marked():
        run = byzsgd.run(experiment, tmp_path, deliveries=True)
    assert run.status == "finished"
    told = {
        tuple(words[2:])
        for kind, *words in read_deliveries(run.path, "worker-0")
        if kind == "received" and words[:2] == ["server-0", "Whisper"]
    }
    about = Counter(step for step, _ in told)
    assert all(about[step] >= WORKERS - F for step in range(STEPS - 1)), sorted(about.items())
