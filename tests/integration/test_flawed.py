"""Words that are none, over real links: each is refused and counted, and later words arrive."""

import pytest
import torch

from byzsgd.protocol import FLAWS, Gradient, Malformed
from byzsgd.runtime.flawed import flawed
from byzsgd.wire import KINDS, Layout
from tests.integration.links import OTHER, SERVER, WORKER, Net

SMALL = Layout(20)
CHUNKED = Layout(5000, chunk_bytes=8192)
REASONS = {"empty": "frames", "order": "order", "kind": "header", "step": "header"} | {
    "header": "header"
}


@pytest.mark.parametrize("flaw", FLAWS)
@pytest.mark.parametrize("transport", ["curve", "none", "shared"])
@pytest.mark.parametrize("layout", [SMALL, CHUNKED], ids=["one chunk", "three chunks"])
async def test_each_is_refused_and_later_words_arrive(
    flaw: str, transport: str, layout: Layout
) -> None:
    shared = transport == "shared"
    crowd = [SERVER, WORKER, OTHER]
    with Net(layout, crowd, encryption="none" if shared else transport, shared=shared) as net:  # type: ignore[arg-type]
        await net.linked()
        word = flawed(Malformed(0, flaw), KINDS[Gradient], layout)
        net.open[WORKER].send([SERVER], word)
        misfit = flaw in ("short", "long")
        if flaw == "long" and transport == "curve" and layout is CHUNKED:
            await net.ears[SERVER].link(WORKER, up=False)  # what no frame may be it never reads
            await net.ears[SERVER].link(WORKER)
            await net.ears[WORKER].link(SERVER)
        else:
            reason = ("memory" if shared else "length") if misfit else REASONS[flaw]
            await net.ears[SERVER].refusal(WORKER, reason)
            assert net.ears[SERVER].refusals == {(WORKER, reason): 1}
        for step in range(12):
            for worker in (WORKER, OTHER):
                net.send(worker, [SERVER], step, torch.full((layout.dimension,), float(step)))
                assert float((await net.arrival(SERVER, step)).sum()) == step * layout.dimension


async def test_who_goes_on_so_hurts_nobody_else() -> None:
    """Not even what it is told itself."""
    for shared in (False, True):
        with Net(SMALL, [SERVER, WORKER, OTHER], shared=shared) as net:
            await net.linked()
            refusals = net.ears[SERVER].refusals
            for step in range(20):
                for flaw in FLAWS:
                    before = refusals.total()
                    word = flawed(Malformed(step, flaw), KINDS[Gradient], SMALL)
                    net.open[WORKER].send([SERVER], word)
                    await net.ears[SERVER].until(lambda: refusals.total() > before)  # noqa: B023
                for receiver, sender in ((SERVER, OTHER), (WORKER, SERVER)):
                    net.send(sender, [receiver], step, torch.full((20,), float(step)))
                    assert float((await net.arrival(receiver, step))[0]) == step
            assert not net.ears[WORKER].refusals
            assert {peer for peer, _ in refusals} == {WORKER}
            assert refusals.total() == 20 * len(FLAWS)
