"""What liars know of others, when they wait for it, and when they are honest."""

from typing import Any

import pytest

from byzsgd.attacks import ATTACKS, Byzantine, Knowledge, Plot, Window
from byzsgd.attacks.knowledge import SLOTS_MAX, slot_of
from byzsgd.cluster import Cluster, NodeId, Plan
from byzsgd.experiment.config import Experiment
from byzsgd.experiment.plots import fellows_of, knowledge_of, plot_of
from byzsgd.protocol import (
    ComputeGradient,
    Contracted,
    Effect,
    Event,
    Forge,
    Forged,
    Gradient,
    GradientComputed,
    Machine,
    Model,
    Overheard,
    Received,
    Recompute,
    Recomputed,
    Send,
    Server,
    SetTimer,
    Started,
    TimerFired,
    Whisper,
    Worker,
)
from tests.world import servers, workers

CLUSTER = Cluster(servers=5, workers=7, f_servers=1, f_workers=2)
PLAN = Plan(steps=6, gather_every=3)
S, W = servers(5), workers(7)


def a_liar(plot: Plot | None = None, rushing: bool = False, needed: int = 2) -> Byzantine:
    honest = Worker(W[0], CLUSTER, PLAN, quorum=1)
    return Byzantine(honest, ATTACKS["alie"], {}, plot, Knowledge(rushing, needed))


def hear(machine: Machine, *events: Event) -> list[Effect]:
    return [effect for event in events for effect in machine.handle(event, 0.0)]


def a_step(liar: Byzantine, step: int) -> list[Effect]:
    """All that a liar wants done in a step of its own."""
    begin = [Started()] if step == 0 else []
    told = hear(liar, *begin, Received(S[1], Model(step, f"θ{step}")), Contracted(step, f"x{step}"))
    return [*told, *hear(liar, GradientComputed(step, f"own {step}"))]


def only(effects: list[Effect], kind: type[Any]) -> list[Any]:
    return [effect for effect in effects if isinstance(effect, kind)]


def said(worker: int, step: int) -> Event:
    return Overheard(W[worker], Send(S, Gradient(step, f"g{worker}.{step}")))


# -- what is known -------------------------------------------------------------------------------


def test_who_does_not_rush_knows_of_the_honest_what_they_said_a_step_before() -> None:
    liar = a_liar()
    hear(liar, said(3, 0), said(4, 0), said(3, 1), said(4, 1))
    a_step(liar, 0)
    [lie] = only(a_step(liar, 1), Forge)
    assert lie.known == ("g3.0", "g4.0")


def test_who_rushes_knows_what_they_say_now() -> None:
    liar = a_liar(rushing=True)
    hear(liar, said(3, 0), said(4, 0))
    [lie] = only(a_step(liar, 0), Forge)
    assert lie.known == ("g3.0", "g4.0")


def test_of_one_honest_vector_nothing_can_be_made_without_its_own() -> None:
    liar = a_liar(rushing=True, needed=1)
    hear(liar, said(3, 0))
    [lie] = only(a_step(liar, 0), Forge)
    assert lie.known == ("own 0", "g3.0")


def test_only_the_last_slots_are_kept() -> None:
    knowledge = Knowledge(rushing=True)
    for step in range(3 * SLOTS_MAX):
        knowledge.learned(W[3], (step, 0, "server"), step)
    known = [knowledge.of_honest((step, 0, "server")) for step in range(3 * SLOTS_MAX)]
    assert known[: 2 * SLOTS_MAX] == [()] * (2 * SLOTS_MAX), "that and all before is forgotten"
    assert known[2 * SLOTS_MAX :] == [(step,) for step in range(2 * SLOTS_MAX, 3 * SLOTS_MAX)]


# -- when a liar waits ---------------------------------------------------------------------------


def test_who_rushes_waits_for_as_many_as_are_needed_and_then_lies_once() -> None:
    liar = a_liar(rushing=True)
    assert not only(a_step(liar, 0), Forge)
    assert not hear(liar, said(3, 0))
    [lie] = hear(liar, said(4, 0))
    assert isinstance(lie, Forge)
    assert lie.known == ("g3.0", "g4.0")
    assert not hear(liar, said(5, 0)), "it was said"


def test_what_waits_in_vain_is_said_with_the_next_step_and_before_it() -> None:
    liar = a_liar(rushing=True)
    a_step(liar, 0)
    hear(liar, said(3, 1), said(4, 1))
    first, second = only(a_step(liar, 1), Forge)
    assert [lie.sends[0].message.step for lie in (first, second)] == [0, 1]
    assert second.known == ("g3.1", "g4.1")


# -- where it comes from -------------------------------------------------------------------------


def test_a_lying_server_relays_what_honest_workers_sent_it_and_nothing_of_liars() -> None:
    plot = Plot(listeners=(W[0],), accomplices=frozenset({W[0], W[1]}))
    liar = Byzantine(Server(S[0], CLUSTER, PLAN, "θ"), ATTACKS["mute"], {}, plot)
    hear(liar, Started())
    told = hear(liar, Received(W[3], Gradient(0, "g3")), Received(W[1], Gradient(0, "lie")))
    assert only(told, Send) == [Send((W[0],), Whisper(0, "g3", about=3))]


def test_a_worker_believes_a_relay_of_accomplices_only() -> None:
    liar = a_liar(Plot(accomplices=frozenset({S[0]})), rushing=True)
    hear(liar, *(Received(S[0], Whisper(0, f"g{who}", about=who)) for who in (3, 4)))
    hear(liar, Received(S[1], Whisper(0, "poison", about=5)))
    [lie] = only(a_step(liar, 0), Forge)
    assert lie.known == ("g3", "g4")


def test_an_omniscient_worker_of_a_real_run_recomputes_with_what_it_recomputed_before() -> None:
    others = (W[3], W[4])
    liar = a_liar(Plot(recomputed=others), rushing=True)
    told = a_step(liar, 0)
    assert only(told, Recompute) == [Recompute(0, "x0", others, ())]
    assert told.index(only(told, ComputeGradient)[0]) < told.index(only(told, Recompute)[0])
    found = tuple((worker, f"g{worker}") for worker in others)
    [lie] = hear(liar, Recomputed(0, found))
    assert isinstance(lie, Forge)
    assert lie.known == ("gworker-3", "gworker-4")
    assert only(a_step(liar, 1), Recompute) == [Recompute(1, "x1", others, found)]


# -- when it lies --------------------------------------------------------------------------------


@pytest.mark.parametrize("attack", ["alie", "mute", "sign_flip"])
def test_before_and_after_its_time_it_is_honest(attack: str) -> None:
    plot = Plot(Window(1, 3))
    liar = Byzantine(Worker(W[0], CLUSTER, PLAN, quorum=1), ATTACKS[attack], {}, plot)
    truths = {}
    for step in range(5):
        sends = only(a_step(liar, step), Send)
        truths[step] = any(send.message == Gradient(step, f"own {step}") for send in sends)
    assert truths == {0: True, 1: False, 2: False, 3: True, 4: True}


def test_it_counts_its_words_and_those_that_were_no_truth() -> None:
    liar = Byzantine(Worker(W[0], CLUSTER, PLAN, 1), ATTACKS["sign_flip"], {}, Plot(Window(2)))
    for step in range(4):
        for lie in only(a_step(liar, step), Forge):
            hear(liar, Forged(lie.sends, changed=1))
    assert (liar.words.said, liar.words.changed) == (2, 2), "of the time in which it lies"


def test_what_is_held_is_said_late_in_its_order_with_one_timer() -> None:
    liar = Byzantine(Worker(W[0], CLUSTER, PLAN, 1), ATTACKS["slow"], {"delay_s": 5.0})
    told = [*a_step(liar, 0), *a_step(liar, 1)]
    assert not only(told, Send)
    timers = [timer for timer in only(told, SetTimer) if timer.name == "held"]
    assert [timer.at for timer in timers] == [5.0]
    first = liar.handle(TimerFired("held", 0), 5.0)
    steps = [send.message.step for send in only(first, Send)]
    assert steps == [0, 1], "both were due"
    assert liar.words.changed == 2


# -- it does not contradict itself by accident -----------------------------------------------------


def test_what_is_repeated_is_the_same_lie_whatever_it_has_learned_since() -> None:
    liar = a_liar(Plot(accomplices=frozenset({W[1]})))
    [lie] = only(a_step(liar, 0), Forge)
    told = hear(liar, Forged((Send(S, Gradient(0, "lie")),), changed=1))
    assert told == [Send(S, Gradient(0, "lie"))]
    hear(liar, Received(W[1], Whisper(0, "news")))
    again = liar.handle(TimerFired("patience", 1), 9.0)
    assert lie.known == ("own 0",)
    assert Send(S, Gradient(0, "lie")) in again
    assert not only(again, Forge)
    assert (liar.words.said, liar.words.changed) == (2, 2)


def test_what_is_repeated_while_it_waits_is_forged_once() -> None:
    liar = a_liar(rushing=True)
    a_step(liar, 0)
    for _ in range(20):
        assert not only(liar.handle(TimerFired("patience", 1), 9.0), Forge)
    assert len(hear(liar, said(3, 0), said(4, 0))) == 1


def test_a_lie_is_made_of_what_belongs_to_its_step_however_long_it_waits() -> None:
    liar = a_liar(rushing=True)
    a_step(liar, 0)
    hear(liar, said(3, 1), said(4, 1))
    first, second = only(a_step(liar, 1), Forge)
    assert (first.params, second.params) == ("x0", "x1")


def test_what_waits_when_the_time_of_lies_is_over_is_said() -> None:
    liar = a_liar(Plot(Window(until_step=1)), rushing=True)
    a_step(liar, 0)
    [late] = only(a_step(liar, 1), Forge)
    assert late.sends[0].message.step == 0


def test_the_models_of_a_gather_are_not_taken_for_those_that_are_scattered_after_it() -> None:
    knowledge = Knowledge(rushing=True, needed=1)
    knowledge.learned(S[1], slot_of(Send(S[2:], Model(3, "before", 0))), "before")
    after = slot_of(Send(W, Model(3, "after", 0)))
    assert not knowledge.enough(after)
    knowledge.learned(S[1], after, "after")
    assert knowledge.of_honest(after) == ("after",)


# -- who conspires -------------------------------------------------------------------------------


def an_experiment(**byzantine: Any) -> Experiment:
    cluster = {"servers": 5, "workers": 7, "f_servers": 1, "f_workers": 2}
    named = {name.replace("_", "-"): lie for name, lie in byzantine.items()}
    return Experiment(name="plots", cluster=cluster, plan={"steps": 5}, byzantine=named)


def test_liars_of_different_attacks_tell_those_who_make_something_of_it() -> None:
    experiment = an_experiment(worker_0={"attack": "alie"}, worker_1={"attack": "sign_flip"})
    assert plot_of(experiment, W[0], real=True).fellows == ()
    assert plot_of(experiment, W[1], real=True).fellows == (W[0],)
    assert fellows_of(experiment, W[0]) == (W[1],), "they have a link"


def test_who_rushes_leaves_room_for_all_liars_in_the_quorum() -> None:
    lie = {"attack": "alie", "knowledge": "omniscient", "rushing": True}
    experiment = an_experiment(worker_0=lie, worker_1={"attack": "nan"}, server_0=lie)
    assert knowledge_of(experiment, W[0]).needed == 5 - 2
    assert knowledge_of(experiment, S[0]).needed == 4 - 1


def test_only_in_real_runs_does_anybody_recompute() -> None:
    experiment = an_experiment(worker_0={"attack": "ipm", "knowledge": "omniscient"})
    assert plot_of(experiment, W[0], real=False).recomputed == ()
    assert plot_of(experiment, NodeId("worker", 0), real=True).recomputed == W[1:]
