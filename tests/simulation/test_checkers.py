"""Each checker sees its own invariant broken, and none sees anything where nothing is."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import pytest
import torch

from byzsgd.cluster import Cluster, NodeId, Plan
from byzsgd.experiment.build import Saved, machine_of
from byzsgd.experiment.config import Experiment
from byzsgd.faults import Chance, Crash, FaultPlan, Partition
from byzsgd.observe import Outcome
from byzsgd.protocol import (
    ComputeGradient,
    Contract,
    Done,
    Effect,
    Event,
    Machine,
    Model,
    Save,
    Send,
    Server,
    Update,
    Updated,
    Vector,
    Worker,
)
from byzsgd.protocol.effects import Inputs
from byzsgd.simulation.checkers import ALWAYS, Checker, Law, Ledger, Liveness, Violation, checkers
from byzsgd.simulation.checkers.contraction import Box, ExactMedian
from byzsgd.simulation.checkers.finite import Finite
from byzsgd.simulation.checkers.mda import PROMISES, Mda
from byzsgd.simulation.checkers.pulled import Pulled
from byzsgd.simulation.checkers.quorums import (
    GatherQuorum,
    GradientQuorum,
    RejoinQuorum,
    ScatterQuorum,
)
from byzsgd.simulation.checkers.steps import Bounded, Restart, Steps
from byzsgd.simulation.checkers.values import Sight, distances, same
from byzsgd.simulation.checkers.words import OwnWords, PublishOnce, Unaltered
from byzsgd.simulation.digest import Digest
from byzsgd.simulation.watch import Watcher
from byzsgd.simulation.world import World
from byzsgd.wire import Frames, Layout, frames_of
from tests.properties.test_protocol import Extremist, numbers
from tests.simulation.checked import Case, Told, case, drawn, in_rounds, play, trouble
from tests.simulation.mutants import IN_ROUNDS, MUTANTS
from tests.world import Fickle, Liar, Mute, servers, workers

S, W = servers(8), workers(8)
MIDDLE = Cluster(5, 7, f_servers=1, f_workers=2)
PLAN = Plan(steps=6, gather_every=2, patience_s=0.2, save_every=1)
SEEDS = 8
"""Any mutant is found within so many worlds; most in the first."""


# -- what checkers find --------------------------------------------------------------------------


def held_up(seed: int) -> Case:
    """What a server and a worker are told over many steps reaches them all at once."""
    cut = Partition((S[3], W[4]), "in", "hold", from_s=0.1, until_s=0.8)
    return case(MIDDLE, replace(PLAN, steps=20), seed, FaultPlan(partitions=(cut,)), lying={})


def all_are_needed(seed: int) -> Case:
    """As many workers are silent as declared, and messages are lost."""
    losses = (Chance(0.2, until_s=0.5),)
    return case(MIDDLE, PLAN, seed, FaultPlan(losses=losses), lying={W[0]: Mute, W[1]: Mute})


def all_ask(seed: int) -> Case:
    """Messages are lost and patience is short: so wishes come at any time, in a gather as well."""
    plan = replace(PLAN, steps=20, patience_s=0.04, mode="sync", deadline_s=0.1)
    losses = (Chance(0.3, until_s=2.0),)
    return case(MIDDLE, plan, seed, FaultPlan(losses=losses), lying={})


BEST_SEEN: dict[str, Callable[[int], Case]] = {
    "a server's window without end": held_up,
    "a worker's window without end": held_up,
    "workers say nothing again": all_are_needed,
    "a model shown while it is gathered": all_ask,
}
"""Worlds of symbols for mutants that are rarely seen amid other trouble."""


def alone(law: Law, kind: type[Checker]) -> list[Watcher]:
    ledger = Ledger(law)
    return [ledger, kind(law, ledger)]


def violation(watchers: Callable[[Case], Sequence[Watcher]], name: str) -> Violation:
    """The first that is found of this mutant."""
    usual = in_rounds if name in IN_ROUNDS else trouble
    mutant, world = MUTANTS[name], BEST_SEEN.get(name, usual)
    for seed in range(SEEDS):
        one, answers = world(seed), Told() if name in BEST_SEEN else None
        try:
            play(one, watchers(one), mutant.machine, mutant.answers, answers)
        except Violation as found:
            return found
    raise AssertionError(f"nothing found in {SEEDS} worlds")


@pytest.mark.parametrize("name", MUTANTS)
def test_every_mutant_is_found(name: str) -> None:
    violation(lambda one: checkers(one.law), name)


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        (Steps, "a step done again"),
        (Steps, "an end one step late"),
        (Bounded, "a server's window without end"),
        (Bounded, "a worker's window without end"),
        (GradientQuorum, "one gradient short of a quorum"),
        (GradientQuorum, "a sender's gradients counted twice"),
        (GradientQuorum, "a stale gradient taken"),
        (ScatterQuorum, "one model short of a scatter"),
        (ScatterQuorum, "a stale model taken"),
        (GatherQuorum, "one model short of a gather"),
        (GatherQuorum, "one's own model counted twice"),
        (GatherQuorum, "rounds of a gather mixed up"),
        (RejoinQuorum, "a gather without one's own model"),
        (RejoinQuorum, "a rejoin from one model"),
        (RejoinQuorum, "a rejoin from f + 1 models"),
        (Unaltered, "gradients taken for those of another sender"),
        (PublishOnce, "something else said again"),
        (PublishOnce, "a gather's model shown to workers"),
        (OwnWords, "a gradient at the last step's median"),
        (OwnWords, "an old model saved"),
        (Restart, "a restart with the initial model"),
        (Restart, "a restart from nothing"),
        (Restart, "a restart one step ahead"),
        (Box, "the mean instead of the median"),
        (ExactMedian, "the lower median"),
        (ExactMedian, "the upper median"),
        (Finite, "a median that NaN spoils"),
        (Finite, "the mean instead of MDA"),
        (Liveness, "servers say nothing again"),
        (Liveness, "workers say nothing again"),
        (Liveness, "an end one step early"),
        (GradientQuorum, "a round that ends one gradient short"),
        (GradientQuorum, "a round that ends before its deadline"),
        (GradientQuorum, "a deadline that is too soon"),
        (OwnWords, "the last step's model shown for this one's"),
        (Pulled, "no filters"),
        (Pulled, "no Lipschitz filter"),
        (Pulled, "a quantile of what was accepted"),
        (Pulled, "a rejected gradient submitted"),
        (Pulled, "a model believed that nobody asked for"),
        (Pulled, "one model believed at a gather"),
        (Liveness, "one server asked for ever"),
    ],
)
def test_a_checker_needs_no_other(kind: type[Checker], name: str) -> None:
    found = violation(lambda one: alone(one.law, kind), name)
    assert found.checker == kind.name
    assert str(found).startswith(f"{found.checker}: ")


@pytest.mark.parametrize(
    ("promise", "name"),
    [
        ("mda", "the mean instead of MDA"),
        ("mda", "the sum instead of the mean"),
        ("mda's choice", "the first gradients instead of MDA's"),
        ("exact mda", "the mean instead of MDA"),
        ("exact mda", "momentum at the servers"),
    ],
)
def test_each_promise_of_mda_needs_no_other(promise: str, name: str) -> None:
    assert set(PROMISES) == {"mda", "mda's choice", "exact mda"}

    def watchers(one: Case) -> list[Watcher]:
        ledger = Ledger(one.law)
        return [ledger, Mda(one.law, ledger, [promise])]

    assert violation(watchers, name).checker == promise


# -- histories that are forged in one place ------------------------------------------------------


class Forger:
    """A machine whose effects are rewritten."""

    def __init__(self, inner: Server | Worker, forge: Callable[[Effect, int], Effect]) -> None:
        self.inner = inner
        self.forge = forge
        self.params = inner.params if isinstance(inner, Server) else None

    @property
    def step(self) -> int:
        return self.inner.step

    @property
    def phase(self) -> str:
        return self.inner.phase

    @property
    def refused(self) -> Counter[tuple[NodeId, str]]:
        return self.inner.refused

    def kept(self, sender: NodeId) -> int:
        return self.inner.kept(sender)

    def handle(self, event: Event, now: float) -> list[Effect]:
        return [self.forge(effect, self.step) for effect in self.inner.handle(event, now)]


def gradients(change: Callable[[Inputs], Inputs]) -> Callable[[Effect, int], Effect]:
    def forge(effect: Effect, step: int) -> Effect:
        if isinstance(effect, Update) and step == 3:
            return replace(effect, gradients=change(effect.gradients))
        return effect

    return forge


def models(change: Callable[[Inputs], Inputs]) -> Callable[[Effect, int], Effect]:
    def forge(effect: Effect, step: int) -> Effect:
        if isinstance(effect, Contract) and step == 4:
            return replace(effect, models=change(effect.models))
        return effect

    return forge


def missing(inputs: Inputs, side: Sequence[NodeId]) -> NodeId:
    return next(node for node in side if node not in [sender for sender, _ in inputs])


def with_a_stranger(inputs: Inputs) -> Inputs:
    return (*inputs[:-1], (NodeId("worker", 99), inputs[-1][1]))


def with_another(side: Sequence[NodeId]) -> Callable[[Inputs], Inputs]:
    """In place of the first sender one that has not been heard of, or was too late."""
    return lambda inputs: tuple(sorted([(missing(inputs, side), inputs[0][1]), *inputs[1:]]))


def altered(inputs: Inputs) -> Inputs:
    return tuple((sender, f"{vector}!") for sender, vector in inputs)


def said(change: Callable[[Send], Send]) -> Callable[[Effect, int], Effect]:
    def forge(effect: Effect, step: int) -> Effect:
        return change(effect) if isinstance(effect, Send) and step == 3 else effect

    return forge


def told_something_else(send: Send) -> Send:
    assert isinstance(send.message, Model)
    return Send(send.to, replace(send.message, params="something else"))


def told_too_early(send: Send) -> Send:
    return Send(send.to, replace(send.message, step=send.message.step + 1))


def of_another(
    kind: type[Update | ComputeGradient | Save | Done],
) -> Callable[[Effect, int], Effect]:
    def forge(effect: Effect, step: int) -> Effect:
        if isinstance(effect, kind) and (step == 3 or kind is Done):
            return replace(effect, params="another")
        return effect

    return forge


def at_another_step(effect: Effect, step: int) -> Effect:
    return replace(effect, step=step + 1) if isinstance(effect, Update | Contract) else effect


FORGED: list[tuple[NodeId, Callable[[Effect, int], Effect], type[Checker]]] = [
    (S[1], gradients(lambda inputs: inputs[1:]), GradientQuorum),
    (S[1], gradients(lambda inputs: (*inputs[:-1], inputs[0])), GradientQuorum),
    (S[1], gradients(lambda inputs: inputs[::-1]), GradientQuorum),
    (S[1], gradients(lambda inputs: inputs[1:] + inputs[:1]), GradientQuorum),
    (S[1], gradients(with_a_stranger), GradientQuorum),
    (S[1], gradients(with_another(W)), GradientQuorum),
    (S[1], gradients(lambda inputs: (*inputs, (W[7], "?"))), GradientQuorum),
    (S[1], at_another_step, GradientQuorum),
    (S[1], gradients(altered), Unaltered),
    (W[1], models(lambda inputs: inputs[1:]), ScatterQuorum),
    (W[1], models(lambda inputs: (*inputs[:-1], inputs[0])), ScatterQuorum),
    (W[1], models(with_another(S)), ScatterQuorum),
    (W[1], at_another_step, ScatterQuorum),
    (W[1], models(altered), Unaltered),
    (S[1], models(lambda inputs: inputs[:2]), GatherQuorum),
    (S[1], models(lambda inputs: (*inputs, (S[1], "mine"))), GatherQuorum),
    (S[1], models(with_a_stranger), GatherQuorum),
    (S[1], models(altered), Unaltered),
    (S[1], models(lambda inputs: tuple(p for p in inputs if p[0] != S[1])), RejoinQuorum),
    (S[1], said(told_something_else), OwnWords),
    (S[1], said(told_too_early), PublishOnce),
    (W[1], said(told_too_early), PublishOnce),
    (S[1], of_another(Update), OwnWords),
    (S[1], of_another(Save), OwnWords),
    (S[1], of_another(Done), OwnWords),
    (W[1], of_another(ComputeGradient), OwnWords),
]


@pytest.mark.parametrize(("node", "forge", "kind"), FORGED)
def test_a_forged_history_is_seen_by_one_checker_alone(
    node: NodeId, forge: Callable[[Effect, int], Effect], kind: type[Checker]
) -> None:
    def make(experiment: Experiment, me: NodeId, saved: Saved) -> Machine:
        inner = machine_of(experiment, me, saved)
        assert isinstance(inner, Server | Worker)
        return Forger(inner, forge) if me == node else inner

    one = case(MIDDLE, PLAN)
    with pytest.raises(Violation) as found:
        play(one, alone(one.law, kind), make, answers=Told())
    assert (found.value.checker, found.value.node) == (kind.name, node)


def test_a_first_word_that_was_not_saved_is_no_restart() -> None:
    def make(experiment: Experiment, me: NodeId, saved: Saved) -> Machine:
        inner = machine_of(experiment, me, saved)
        assert isinstance(inner, Server | Worker)
        first = said(told_something_else)
        return Forger(inner, lambda effect, step: first(effect, 3)) if me == S[1] else inner

    one = case(MIDDLE, PLAN)
    with pytest.raises(Violation, match="first that it had not saved"):
        play(one, alone(one.law, Restart), make, answers=Told())


def test_servers_that_begin_with_different_models_are_found() -> None:
    def make(experiment: Experiment, me: NodeId, saved: Saved) -> Machine:
        return machine_of(experiment, me, Saved(0, f"initial of {me}"))

    one = case(MIDDLE, PLAN)
    with pytest.raises(Violation, match="restart: server-1"):
        play(one, alone(one.law, Restart), make, answers=Told())


class Spoilt(Told):
    """The last update is no number."""

    def answer(self, ticket: int) -> Outcome:
        outcome = super().answer(ticket)
        if isinstance(outcome.event, Updated) and outcome.event.step == PLAN.steps - 1:
            return Outcome(replace(outcome.event, params=float("nan")))
        return outcome


def test_an_update_that_is_no_number_is_found() -> None:
    one = case(MIDDLE, PLAN)
    with pytest.raises(Violation, match=r"finite: .* update of step 5"):
        play(one, alone(one.law, Finite), answers=Spoilt(numbers), initial=1.0)


# -- quiet worlds --------------------------------------------------------------------------------


class Census(Watcher):
    """Counts what happened, so that a quiet world was no empty one."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()

    def crashed(self, now: float, node: NodeId) -> None:
        self.counts[f"{node.role} crashes"] += 1

    def restarted(self, now: float, node: NodeId, step: int, params: Vector) -> None:
        self.counts[f"{node.role} restarts"] += 1
        self.counts["restarts from a checkpoint"] += step > 0

    def ended(self, world: World, rest: object) -> None:
        for one in world.machines.values():
            if isinstance(one, Server | Worker):
                self.counts["catch-ups"] += one.catch_ups
                self.counts.update(reason for _, reason in one.refused)


def quiet(one: Case, census: Census, told: Told | None = None, initial: Vector = "θ0") -> bool:
    """Whether all are done: only where it is explained they need not be."""
    watchers = checkers(one.law)
    _, rest = play(one, [*watchers, census], answers=told, initial=initial)
    liveness = watchers[-1]
    assert isinstance(liveness, Liveness)
    assert (rest.why == "done") == (liveness.explained is None)
    return rest.why == "done"


def test_worlds_of_symbols_are_quiet() -> None:
    census = Census()
    done = sum(quiet(drawn(seed, symbols=True), census, Told()) for seed in range(100))
    assert done >= 96
    happened = ("server restarts", "worker restarts", "restarts from a checkpoint", "catch-ups")
    refused = ("late", "duplicate", "surplus", "early", "unasked")
    assert all(census.counts[what] for what in (*happened, *refused)), census.counts


def test_worlds_of_tensors_are_quiet() -> None:
    """With lies of every attack, and over the wire."""
    census, cases = Census(), [drawn(seed, symbols=False) for seed in range(24)]
    done = sum(quiet(one, census) for one in (*cases, trouble(0), trouble(1)))
    assert done >= 24
    attacks = {lie.attack for one in cases for lie in one.experiment.liars.values()}
    assert len(attacks) >= 7
    assert {one.experiment.network.dtype for one in cases if one.wire} == {"float32", "bfloat16"}
    assert all(census.counts[what] for what in ("server restarts", "catch-ups"))


def test_worlds_of_numbers_are_quiet_under_extreme_lies() -> None:
    """Their gradients are aggregated by a median, of which nothing is promised here."""
    for seed in range(6):
        one = drawn(seed, symbols=True)
        one = replace(one, lying=dict.fromkeys(one.lying, Extremist))
        watchers = checkers(replace(one.law, gradients="median"))
        assert any(isinstance(watch, Box) for watch in watchers)
        play(one, watchers, answers=Told(numbers), initial=1.0)


def test_worlds_with_more_liars_than_declared_break_no_rule_that_holds_then() -> None:
    """No box, no diameter; but enough of them, distinct ones, and every word as it was said."""
    one = trouble(0)
    lies: dict[str, Mapping[str, object]] = {
        str(node): lie.to_dict() for node, lie in one.experiment.liars.items()
    }
    lies["server-3"] = {"attack": "nan"}
    lies |= {f"worker-{index}": {"attack": "sign_flip", "factor": 9.0} for index in (2, 4)}
    more = case(one.law.cluster, one.law.plan, 0, one.faults, byzantine=lies)
    names = [watch.name for watch in checkers(more.law) if isinstance(watch, Checker)]
    assert not {"box", "mda"} & set(names)
    play(more, checkers(more.law))


def test_checkers_change_nothing() -> None:
    digests = []
    for watchers in ([], checkers(trouble(3).law)):
        digest = Digest(lambda vector: vector.numpy().tobytes())
        play(trouble(3), [digest, *watchers])
        digests.append(digest.hexdigest())
    assert digests[0] == digests[1]


# -- what they cost ------------------------------------------------------------------------------


def test_without_values_nobody_looks_into_a_vector(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also of what came over the wire, where identity does not tell."""

    def look(*vectors: Vector) -> bool:
        raise AssertionError("somebody looked")

    monkeypatch.setattr("byzsgd.simulation.checkers.values.values_of", look)
    monkeypatch.setattr("byzsgd.simulation.checkers.values._equal", look)
    one = replace(trouble(2), wire=True)
    play(one, checkers(one.law, values=False))
    with pytest.raises(AssertionError, match="somebody looked"):
        play(one, checkers(one.law))


def test_what_is_checked_depends_on_what_is_promised() -> None:
    def names(**changes: object) -> set[str]:
        law = replace(case(MIDDLE, PLAN).law, **changes)  # type: ignore[arg-type]
        return {watch.name for watch in checkers(law) if isinstance(watch, Checker)}

    values = {"box", "median", "mda", "finite"}
    assert names() >= values
    assert names(models="average") & values == {"mda", "finite"}
    assert names(gradients="nnm + mda") & values == {"box", "median", "finite"}
    assert names(liars=frozenset(S[:2])) & values == {"median", "mda", "finite"}
    assert names(liars=frozenset(W[:3])) & values == {"box", "median", "finite"}


def test_a_ledger_forgets_what_is_long_ago_and_judges_it_no_more() -> None:
    """A server that was cut off takes what was said long before the others' present steps."""
    faults = FaultPlan(
        partitions=(Partition((S[3],), from_s=0.05, until_s=0.5),),
        losses=(Chance(0.05, until_s=0.6),),
    )
    plan = replace(PLAN, steps=40)
    for seed in range(3):
        one = case(MIDDLE, plan, seed, faults)
        ledger = Ledger(one.law, bytes_max=20_000)
        kinds = (*ALWAYS, Liveness)
        play(one, [ledger, *(kind(one.law, ledger) for kind in kinds)], answers=Told())
        assert ledger.said(S[0], (1, 1)) is None
        assert ledger.said(S[0], (plan.steps - 1, 1))
        assert len(ledger._words) < 8


# -- liveness ------------------------------------------------------------------------------------


def ending(
    cluster: Cluster,
    plan: Plan = PLAN,
    faults: FaultPlan | None = None,
    lying: dict[NodeId, type[Liar]] | None = None,
    seed: int = 0,
) -> Liveness:
    one = case(cluster, plan, seed, faults, lying=lying)
    ledger = Ledger(one.law)
    liveness = Liveness(one.law, ledger)
    play(one, [ledger, liveness], answers=Told())
    return liveness


def test_a_world_that_is_done_has_results() -> None:
    liveness = ending(MIDDLE, lying={S[0]: Mute})
    assert liveness.explained is None
    assert liveness.results == 4


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"lying": {S[0]: Mute, S[1]: Mute}}, "2 servers lie or are down, f_servers is 1"),
        (
            {"faults": FaultPlan(crashes=tuple(Crash(node, 0.1) for node in W[:3]))},
            "3 workers lie or are down",
        ),
        (
            {"faults": FaultPlan(partitions=(Partition((S[2],), from_s=0.05),))},
            "links that are cut for ever",
        ),
        (
            {"faults": FaultPlan(losses=(Chance(1.0, receivers=(S[2],)),))},
            "links that are cut for ever",
        ),
        (
            {
                "faults": FaultPlan(losses=(Chance(0.3, until_s=0.2),)),
                "plan": replace(PLAN, catch_up=False),
            },
            "without catch_up",
        ),
    ],
    ids=["liars", "crashes", "partition", "loss", "no catch-up"],
)
def test_a_stall_that_has_a_reason_is_told_and_no_violation(
    changes: dict[str, object], reason: str
) -> None:
    assert reason in str(ending(MIDDLE, **changes).explained)  # type: ignore[arg-type]


def test_a_lone_server_that_comes_back_with_less_than_it_had_said_is_a_reason() -> None:
    faults = FaultPlan(crashes=(Crash(S[0], 0.2, 0.3),))
    liveness = ending(Cluster(1, 3), replace(PLAN, save_every=0), faults)
    assert "is behind, to return takes 1" in str(liveness.explained)


def test_a_server_that_cannot_return_is_a_reason_below_four_f_and_one_servers() -> None:
    """Liars help some and not others: with 8 servers, 2 of which lie, that may be for good."""
    cluster = Cluster(8, 7, f_servers=2, f_workers=2)
    faults = FaultPlan(
        partitions=(Partition((S[7], S[6]), "in", "lose", from_s=0.05, until_s=0.5),)
    )
    lying: dict[NodeId, type[Liar]] = {S[0]: Fickle, S[1]: Fickle}
    plan = Plan(steps=12, gather_every=50, patience_s=0.2)
    reasons = [ending(cluster, plan, faults, lying, seed).explained for seed in (7, 8, 9)]
    assert any("is behind, to return takes 5" in str(reason) for reason in reasons)


def test_a_stall_without_a_reason_says_who_waits_for_what() -> None:
    found = violation(lambda one: alone(one.law, Liveness), "servers say nothing again")
    assert "waits for gradients, has heard" in found.text
    assert found.node is None


def test_a_world_that_was_stopped_is_not_judged() -> None:
    one, mutant = trouble(0), MUTANTS["servers say nothing again"]
    ledger = Ledger(one.law)
    liveness = Liveness(one.law, ledger)
    world, rest = play(one, [ledger], mutant.machine, mutant.answers)
    liveness.ended(world, replace(rest, why="stopped"))
    assert liveness.explained is None
    with pytest.raises(Violation, match="stalled"):
        liveness.ended(world, rest)


# -- looking into vectors ------------------------------------------------------------------------


def framed(vector: torch.Tensor, layout: Layout) -> Frames:
    return Frames(layout, frames_of(vector, layout))


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16"])
def test_what_came_over_the_wire_is_what_was_said_and_nothing_else_is(dtype: str) -> None:
    layout = Layout(5, dtype, chunk_bytes=8)  # type: ignore[arg-type]
    said = torch.tensor([1.1, -0.0, float("nan"), float("inf"), 3e-9])
    other = said.clone()
    other[4] = 1.0
    assert same(framed(said, layout), said)
    assert not same(framed(other, layout), said)
    assert same(said.clone(), said)
    assert not same(said.clone().double(), said)


def test_vectors_are_looked_at_once_and_symbols_have_nothing_to_see() -> None:
    sight, tensor = Sight(), torch.tensor([1.0, 2.0])
    assert sight.of(tensor) is sight.of(tensor)
    assert sight.of("θ") is None
    assert sight.rows(((S[0], tensor), (S[1], "θ"))) is None
    assert sight.rows(((S[0], tensor), (S[1], 1.0))) is None
    rows = sight.rows(((S[0], tensor), (S[1], (3.0, float("inf"))), (S[2], (4.0, 6.0))))
    assert rows is not None
    far = distances(rows, rows[0])
    assert far[0, 2] == far[2, 0] == 5.0
    assert far[0, 1] == far[1, 2] == float("inf")
    assert not far.diagonal().any()
