"""Virtual time: what moves the clock, in which order, and what is left of a node that crashed."""

import math
from dataclasses import replace

import pytest

from byzsgd.cluster import Cluster, NodeId, Plan
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
)
from byzsgd.protocol import Message, Model, Received, Server, Started, TimerFired, Worker
from byzsgd.simulation.cost import Cost
from byzsgd.simulation.digest import Digest
from byzsgd.simulation.parts import Conditions
from byzsgd.simulation.scheduler import Letter
from byzsgd.simulation.trace import Trace
from byzsgd.simulation.world import World
from tests.elsewhere import elsewhere
from tests.simulation.worlds import SMALL, Diary, Symbols, honest, world
from tests.world import INITIAL

S = SMALL.server_ids
W = SMALL.worker_ids
UNIT = FaultPlan(delays=(Delay(Constant(1.0)),))
RANDOM = FaultPlan(delays=(Delay(Exponential(0.01)),))
PLAN = Plan(steps=6, gather_every=2, patience_s=0.5)


def test_a_step_takes_two_one_way_delays_and_a_gather_one_more() -> None:
    for gather_every, delays in ((100, 2 * 6), (2, 2 * 6 + 3), (1, 2 * 6 + 6)):
        plan = Plan(steps=6, gather_every=gather_every, patience_s=100)
        rest = world(plan, Conditions(UNIT)).run()
        assert (rest.why, rest.at_s) == ("done", delays)


@pytest.mark.parametrize("cluster", [SMALL, Cluster(5, 7, f_servers=1, f_workers=2), Cluster(1, 3)])
def test_so_they_do_where_one_model_is_pulled(cluster: Cluster) -> None:
    """The wish is with the server before its model is there."""
    gathers = cluster.servers > 1
    for gather_every, often in ((100, 0), (2, 3), (1, 6)):
        plan = Plan(6, gather_every, mode="sync", patience_s=1000, deadline_s=1000)
        rest = world(plan, Conditions(UNIT), cluster=cluster).run()
        assert (rest.why, rest.at_s) == ("done", 2 * 6 + often * gathers)


def test_a_server_that_does_not_answer_costs_a_part_of_the_deadline() -> None:
    """Somebody asks it at step 2 for the first time, and another one after a quarter."""
    cut = Partition(nodes=(S[0],), kind="lose")
    plan = Plan(3, gather_every=100, mode="sync", patience_s=1000, deadline_s=40)
    honest = [node for node in SMALL.nodes if node != S[0]]
    rest = world(plan, Conditions(replace(UNIT, partitions=(cut,))), honest=honest).run()
    assert rest.at_s == 2 * 3 + 40 / 4


def test_a_worker_that_says_nothing_costs_a_deadline_a_step() -> None:
    """Who waits for a server that waits for its deadline does not take it for a silent one."""
    cut = Partition(nodes=(W[0],), kind="lose")
    plan = Plan(20, gather_every=100, mode="sync", patience_s=1000, deadline_s=40)
    honest = [node for node in SMALL.nodes if node != W[0]]
    running = world(plan, Conditions(replace(UNIT, partitions=(cut,))), honest=honest)
    assert running.run().at_s == 20 * 40
    for node in W[1:]:
        worker = running.machines[node]
        assert isinstance(worker, Worker)
        late = sum(n for (_, verdict), n in worker.judged.items() if verdict == "late")
        assert late <= 2 * SMALL.servers, "but when it has not met that server before"


def test_computations_take_their_time_one_after_the_other() -> None:
    cost = Cost(gradient_s=10, update_s=3, contract_s=2)
    plan = Plan(steps=4, gather_every=100, patience_s=100)
    rest = world(plan, Conditions(UNIT, cost=cost)).run()
    assert rest.at_s == 4 * (1 + 2 + 10 + 1 + 3)


def test_a_slow_node_takes_longer_and_nobody_waits_for_it() -> None:
    cost = Cost(gradient_s=10)
    plan = Plan(steps=4, gather_every=100, patience_s=1000)
    slow = replace(UNIT, slow=(Slow(nodes=(W[0],), factor=7),))
    running = world(plan, Conditions(slow, cost=cost), honest=[n for n in SMALL.nodes if n != W[0]])
    assert running.run().at_s == 4 * (1 + 10 + 1)
    assert running.machines[W[0]].step < 4


def test_sending_takes_its_time_for_each_receiver() -> None:
    plan = Plan(steps=1, gather_every=100, patience_s=100)
    diary = Diary()
    world(plan, Conditions(UNIT, cost=Cost(send_s=0.25)), diary).run()
    heard = [at for node in W for at, event in diary.events_of(node) if isinstance(event, Received)]
    assert sorted(set(heard)) == [1.25, 1.5, 1.75, 2.0]


def test_what_happens_at_one_time_happens_in_the_order_in_which_it_was_decided() -> None:
    diary = Diary()
    world(Plan(steps=2, gather_every=1), Conditions(FaultPlan()), diary).run()
    assert {at for at, *_ in diary.entries} == {0.0}
    senders = [e.sender for _, e in diary.events_of(W[0]) if isinstance(e, Received)]
    assert senders[:5] == list(S)


def test_the_clock_never_goes_back() -> None:
    diary = Diary()
    faults = replace(RANDOM, reorders=(Chance(0.5),), duplicates=(Chance(0.3),))
    world(PLAN, Conditions(faults, seed=3), diary).run()
    times = [at for at, *_ in diary.entries]
    assert times == sorted(times)


def test_a_timer_fires_once_at_its_time_unless_a_later_one_took_its_place() -> None:
    lonely = FaultPlan(partitions=(Partition(nodes=(W[0],), kind="lose"),))
    diary = Diary()
    others = [node for node in SMALL.nodes if node != W[0]]
    faults = replace(UNIT, partitions=lonely.partitions)
    world(
        Plan(steps=3, gather_every=100, patience_s=1.75), Conditions(faults), diary, honest=others
    ).run()
    fired = [(at, e) for at, e in diary.events_of(W[0]) if isinstance(e, TimerFired)]
    assert fired == [(1.75 * k, TimerFired("patience", 0)) for k in range(1, len(fired) + 1)]
    assert len(fired) == 3


def test_what_is_carried_may_be_lost_or_changed() -> None:
    def carry(sender: NodeId, receiver: NodeId, message: Message) -> Message | None:
        if receiver == W[1]:
            return None
        return replace(message, params="twisted") if isinstance(message, Model) else message

    diary = Diary()
    world(Plan(1, gather_every=9), Conditions(UNIT), diary, carry=carry, honest=S).run()
    assert [e for _, e in diary.events_of(W[1])] == [Started()]
    heard = [e for _, e in diary.events_of(W[0]) if isinstance(e, Received)]
    assert {e.message for e in heard} == {Model(0, "twisted")}


# --- crashes --------------------------------------------------------------------------------------


def crashing(*crashes: Crash, plan: Plan = PLAN) -> tuple[World, Diary, Symbols]:
    diary, symbols = Diary(), Symbols()
    cost = Cost(gradient_s=0.01, update_s=0.01, contract_s=0.01)
    conditions = Conditions(replace(RANDOM, crashes=crashes), seed=1, cost=cost, stall_s=20)
    return world(plan, conditions, diary, answers=symbols), diary, symbols


def test_a_crashed_node_hears_nothing_until_it_is_back() -> None:
    running, diary, symbols = crashing(Crash(S[1], 0.05, 0.3))
    assert running.run().why == "done"
    times = [at for at, _ in diary.events_of(S[1])]
    assert max(at for at in times if at <= 0.05) <= 0.05
    assert not [at for at in times if 0.05 < at < 0.3]
    assert running.done[S[1]] is not None
    assert len(symbols.forgotten) <= 1
    assert not symbols.open.keys() & set(symbols.forgotten)


def test_a_restarted_server_goes_on_with_what_it_had_saved() -> None:
    plan = replace(PLAN, save_every=2)
    running, diary, _ = crashing(Crash(S[1], 0.2, 0.4), plan=plan)
    running.run()
    [(at, _, _, step, params)] = [entry for entry in diary.entries if "restarted" in entry]
    assert at == 0.4
    assert step > 0
    assert step % 2 == 0
    saved = [
        e for _, node, *rest in diary.entries if node == S[1] and len(rest) == 2 for e in rest[1]
    ]
    assert any(getattr(effect, "params", None) == params for effect in saved)


def test_one_that_had_saved_nothing_begins_with_the_initial_model() -> None:
    running, diary, _ = crashing(Crash(S[1], 0.02, 0.4), plan=replace(PLAN, save_every=0))
    assert running.run().why == "done"
    [entry] = [entry for entry in diary.entries if "restarted" in entry]
    assert entry[3:] == (0, INITIAL)


def test_a_worker_that_is_restarted_begins_anew_and_skips() -> None:
    running, _, _ = crashing(Crash(W[1], 0.1, 0.2))
    assert running.run().why == "done"
    assert running.machines[W[1]].step == PLAN.steps


def test_nobody_waits_for_one_that_stays_down() -> None:
    running, _, _ = crashing(Crash(S[1], 0.02), Crash(W[1], 0.03))
    assert running.run().why == "done"
    assert S[1] not in running.done
    assert set(running.down.values()) == {math.inf}


def test_the_world_waits_for_one_that_is_to_come_back_after_all_others_are_done() -> None:
    running, _, _ = crashing(Crash(S[1], 0.05, 30.0))
    rest = running.run()
    assert rest.why == "done"
    assert rest.at_s > 30
    assert S[1] in running.done


def test_a_node_that_crashes_after_it_was_done_has_to_be_done_again() -> None:
    running, diary, _ = crashing(Crash(W[0], 0.05, 9.0), Crash(S[2], 8.0, 8.5))
    assert running.run().why == "done"
    assert S[2] in running.done
    assert [entry[1] for entry in diary.entries if "restarted" in entry] == [S[2], W[0]]


def test_what_a_node_had_not_sent_yet_is_gone_with_it() -> None:
    """It takes a second to send each; after a crash at 1.5 s only what had left is heard."""
    diary = Diary()
    faults = replace(UNIT, crashes=(Crash(S[0], 1.5, 100.0),))
    plan = Plan(steps=1, gather_every=9, patience_s=1000)
    world(plan, Conditions(faults, cost=Cost(send_s=1.0)), diary).run()
    heard = [
        (at, node)
        for at, node, event, *_ in diary.entries
        if isinstance(event, Received) and event.sender == S[0] and at < 100
    ]
    assert heard == [(2.0, W[0])]


def test_where_nobody_honest_is_left_nothing_is_done() -> None:
    running = world(PLAN, Conditions(RANDOM), honest=[])
    assert running.run().why == "stalled"


def test_with_more_nodes_down_than_declared_the_world_stalls() -> None:
    running, _, _ = crashing(Crash(S[1], 0.02), Crash(S[2], 0.02))
    rest = running.run()
    assert rest.why == "stalled"
    assert rest.at_s < 0.02 + 20 + 2 * PLAN.patience_s


# --- schedulers, limits ---------------------------------------------------------------------------


class Late:
    """Holds each letter of one node back twice."""

    def __init__(self, victim: NodeId) -> None:
        self.victim = victim
        self.asked = 0

    def postpone(self, letter: Letter, world: World) -> float:
        self.asked += 1
        return 5.0 if letter.sender == self.victim and letter.postponed < 2 else 0.0


def test_a_scheduler_holds_letters_back() -> None:
    diary = Diary()
    world(
        Plan(9, gather_every=9, patience_s=50), Conditions(UNIT, scheduler=Late(S[0])), diary
    ).run()
    heard = [at for at, e in diary.events_of(W[0]) if isinstance(e, Received) and e.sender == S[0]]
    assert heard
    assert heard[0] == 11.0


def test_nobody_asks_the_scheduler_once_there_is_peace() -> None:
    late = Late(S[0])
    plan = Plan(3, gather_every=9, patience_s=50)
    world(plan, Conditions(UNIT, scheduler=late, peace_s=0.5)).run()
    assert late.asked == 0


def test_a_world_goes_on_where_it_was_stopped() -> None:
    once, bits = Diary(), Diary()
    world(PLAN, Conditions(RANDOM, seed=4), once).run()
    stopped = world(PLAN, Conditions(RANDOM, seed=4), bits)
    assert stopped.run(until_s=0.05).why == "stopped"
    assert stopped.run(events=stopped.events + 10).why == "stopped"
    assert stopped.run().why == "done"
    assert once.entries == bits.entries


# --- the same again -------------------------------------------------------------------------------


def eventful(seed: int) -> str:
    """Names the history of a world with everything in it."""
    faults = FaultPlan(
        delays=(Delay(Lognormal(0.01, 1.0)),),
        losses=(Chance(0.05, until_s=0.5),),
        duplicates=(Chance(0.1),),
        reorders=(Chance(0.2),),
        partitions=(Partition(nodes=(S[2], W[1]), from_s=0.1, until_s=0.4),),
        slow=(Slow(nodes=(W[2],), factor=5.0),),
        crashes=(Crash(S[1], 0.1, 0.3),),
    )
    cost = Cost(gradient_s=0.01, update_s=0.01, contract_s=0.01)
    digest = Digest(lambda params: str(params).encode())
    world(PLAN, Conditions(faults, seed, cost), digest, Trace()).run()
    return digest.hexdigest()


def test_one_seed_has_one_history_and_another_another() -> None:
    assert eventful(1) == eventful(1) != eventful(2)


def test_a_history_is_the_same_in_every_process() -> None:
    code = "from tests.simulation.test_world import eventful as e; print(*map(e, range(20)))"
    assert elsewhere(code, 1) == elsewhere(code, 2) == " ".join(map(eventful, range(20)))


def test_the_digest_is_of_the_final_models_too() -> None:
    def of(raw: bytes) -> str:
        digest = Digest(lambda params: raw)
        world(PLAN, Conditions(RANDOM, 1), digest).run()
        return digest.hexdigest()

    assert of(b"one") == of(b"one") != of(b"other")


def test_watching_changes_nothing() -> None:
    alone, watched = (
        world(PLAN, Conditions(RANDOM, 5), *some) for some in ((), (Diary(), Trace()))
    )
    assert alone.run() == watched.run()


@pytest.mark.parametrize("routine", [True, False])
def test_a_trace_has_fixed_columns_and_keeps_the_last_lines(routine: bool) -> None:
    trace = Trace(lines=30, routine=routine)
    world(PLAN, Conditions(RANDOM, 5), trace).run()
    lines = trace.lines()
    assert len(lines) == 30
    for line in lines:
        assert float(line[:11]) > 0
        assert line[13:22].strip() in {str(node) for node in SMALL.nodes}
        assert line[36:41].strip().isdigit()


def test_machines_are_made_by_the_caller() -> None:
    made: list[NodeId] = []
    plan = Plan(1, gather_every=9)

    def make(node: NodeId, saved: object) -> object:
        made.append(node)
        return honest(SMALL, plan)(node, None)

    running = world(plan, Conditions(UNIT), make=make)
    running.run()
    assert made == list(SMALL.nodes)
    assert isinstance(running.machines[S[0]], Server)
