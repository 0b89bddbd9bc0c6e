"""What machines do, and in which order, is the same in every process."""

import os
import subprocess
import sys
from dataclasses import replace

from byzsgd.cluster import Plan
from byzsgd.faults import Chance, Slow
from byzsgd.simulation.parts import Conditions
from tests.simulation.worlds import COST, MIDDLE, NETWORK, Diary, honest, with_liars, world
from tests.world import Babbler, Equivocator, Turncoat, servers, symbol, workers

S, W = servers(5), workers(7)


def history(seed: int) -> str:
    """A digest of all that happened in an eventful world."""
    plan = Plan(steps=10, gather_every=2, patience_s=0.2)
    faults = replace(
        NETWORK,
        losses=(Chance(0.1),),
        duplicates=(Chance(0.1),),
        slow=(Slow((S[3],), 5.0),),
    )
    liars = {S[0]: Babbler, W[0]: Equivocator, W[1]: Turncoat}
    make, diary = with_liars(honest(MIDDLE, plan), liars), Diary()
    world(plan, Conditions(faults, seed, COST), diary, cluster=MIDDLE, make=make).run(until_s=3.0)
    return symbol("history", diary.entries)


def test_one_seed_has_one_history_and_another_has_another() -> None:
    assert history(1) == history(1) != history(2)


def test_a_history_is_the_same_in_every_process() -> None:
    def elsewhere(hash_seed: str) -> str:
        code = f"from {__name__} import history; print(history(1))"
        environment = {**os.environ, "PYTHONHASHSEED": hash_seed}
        return subprocess.run(
            [sys.executable, "-c", code],
            env=environment,
            check=True,
            capture_output=True,
            text=True,
        ).stdout.strip()

    assert elsewhere("1") == elsewhere("2") == history(1)
