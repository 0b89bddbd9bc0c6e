"""A liar around an honest machine: every word of it rewritten, and not one word more."""

import random
from typing import Any

import pytest
import torch

from byzsgd.aggregators import AGGREGATORS
from byzsgd.attacks import ATTACKS, Byzantine, Plot
from byzsgd.cluster import Cluster, NodeId, Plan
from byzsgd.compute import Compute, Settings
from byzsgd.protocol import (
    ComputeGradient,
    Contract,
    Contracted,
    Effect,
    Event,
    Forge,
    Forged,
    Gradient,
    GradientComputed,
    Machine,
    Message,
    Model,
    Received,
    Send,
    Server,
    SetTimer,
    Started,
    TimerFired,
    Update,
    Updated,
    Whisper,
    Worker,
    vector_of,
)
from byzsgd.training.flat import FlatModel
from byzsgd.training.gradient import GradientSettings
from byzsgd.training.schedule import Schedule
from tests.world import servers, workers

CLUSTER = Cluster(servers=5, workers=7, f_servers=1, f_workers=2)
PLAN = Plan(steps=6, gather_every=3)
S, W = servers(5), workers(7)
FELLOWS = (W[1], W[2])
STRANGE = NodeId("worker", 99)


def a_worker(attack: str = "sign_flip", **plot: Any) -> Byzantine:
    known = {"accomplices": frozenset(plot.get("fellows", ())), **plot}
    return Byzantine(Worker(W[0], CLUSTER, PLAN), ATTACKS[attack], {}, Plot(**known))


def a_server(attack: str = "sign_flip", **plot: Any) -> Byzantine:
    return Byzantine(Server(S[0], CLUSTER, PLAN, "θ"), ATTACKS[attack], {}, Plot(**plot))


def hear(machine: Machine, *events: Event) -> list[Effect]:
    return [effect for event in events for effect in machine.handle(event, 0.0)]


def models(step: int) -> list[Event]:
    return [Received(server, Model(step, f"θ{server}")) for server in S[1:]]


def gradients(step: int) -> list[Event]:
    return [Received(worker, Gradient(step, f"g{worker}")) for worker in W[2:]]


def a_gradient(machine: Machine, step: int = 0) -> list[Effect]:
    """What a worker wants done once its gradient of `step` is computed."""
    start = [Started()] if step == 0 else []
    hear(machine, *start, *models(step), Contracted(step, "x"))
    return hear(machine, GradientComputed(step, f"own {step}"))


def only(effects: list[Effect], kind: type[Any]) -> list[Any]:
    return [effect for effect in effects if isinstance(effect, kind)]


# -- every word is rewritten ---------------------------------------------------------------------


@pytest.mark.parametrize("attack", ["sign_flip", "nan", "alie", "equivocate"])
def test_a_workers_gradient_becomes_a_lie_in_its_place(attack: str) -> None:
    liar = a_worker(attack)
    honest = Send(S, Gradient(0, "own 0"))
    effects = a_gradient(liar)
    assert effects[0] == Forge((honest,), attack, {}, ("own 0",), (), "x")
    assert not only(effects, Send)
    assert only(effects, SetTimer), "and the rest is as it was"


@pytest.mark.parametrize("attack", ["sign_flip", "nan", "alie", "equivocate"])
def test_a_servers_models_become_lies_to_workers_and_to_servers(attack: str) -> None:
    liar = a_server(attack)
    told = hear(liar, Started())
    assert only(told, Forge) == [Forge((Send(W, Model(0, "θ")),), attack, {}, ("θ",), ())]
    for step in range(3):
        told = hear(liar, *gradients(step), Updated(step, f"θ{step + 1}"))
    [lie] = only(told, Forge)
    assert lie.sends == (Send(S[1:], Model(3, "θ3", 0)),)
    assert lie.gradients == tuple(f"g{worker}" for worker in W[2:])


def test_what_was_forged_is_said() -> None:
    sends = (Send((S[0],), Gradient(0, "lie")), Send((S[1],), Gradient(0, "another")))
    assert hear(a_worker(), Forged(sends)) == list(sends)


@pytest.mark.parametrize("liar", [a_worker, a_server])
def test_mute_says_nothing_and_goes_on(liar: Any) -> None:
    machine = liar("mute")
    effects = hear(machine, Started())
    for step in range(6):
        effects += hear(machine, *models(step), Contracted(step, "x"), GradientComputed(step, "g"))
        effects += hear(machine, *gradients(step), Updated(step, "θ"))
        effects += hear(machine, *models(step + 1), Contracted(step + 1, "θ"))
    assert not only(effects, Send)
    assert not only(effects, Forge)
    assert machine.step == 6


def test_options_go_with_the_lie_and_are_the_liars_own_copy() -> None:
    options = {"factor": 3.0}
    liar = Byzantine(Worker(W[0], CLUSTER, PLAN), ATTACKS["sign_flip"], options)
    options["factor"] = 0.0
    [lie] = only(a_gradient(liar), Forge)
    assert lie.options == {"factor": 3.0}


def test_state_is_that_of_the_machine_within() -> None:
    liar = a_worker()
    hear(liar, Started(), Received(S[1], Model(0, "θ")), Received(S[1], Model(0, "θ")))
    assert (liar.step, liar.phase) == (0, "models")
    assert liar.kept(S[1]) == 1
    assert liar.refused == {(S[1], "duplicate"): 1}


# -- colluding -----------------------------------------------------------------------------------


def test_a_liar_tells_its_fellows_what_it_would_have_said_and_nobody_else() -> None:
    liar = a_worker("alie", fellows=FELLOWS)
    assert only(a_gradient(liar), Send) == [Send(FELLOWS, Whisper(0, "own 0"))]


def test_without_fellows_nothing_is_whispered() -> None:
    assert not only(a_gradient(a_worker("alie")), Send)


def test_a_lie_is_made_of_what_fellows_told_last_in_their_order() -> None:
    liar = a_worker("alie", fellows=FELLOWS)
    hear(
        liar,
        Received(W[2], Whisper(0, "two")),
        Received(W[1], Whisper(0, "old")),
        Received(W[1], Whisper(1, "one")),
    )
    [lie] = only(a_gradient(liar), Forge)
    assert lie.known == ("own 0", "one", "two")


def test_a_liar_does_not_wait_for_its_fellows() -> None:
    [lie] = only(a_gradient(a_worker("alie", fellows=FELLOWS)), Forge)
    assert lie.known == ("own 0",)


@pytest.mark.parametrize("stranger", [W[3], S[1], STRANGE])
def test_whispers_of_others_are_not_believed(stranger: NodeId) -> None:
    liar = a_worker("alie", fellows=FELLOWS)
    assert hear(liar, Received(stranger, Whisper(0, "poison"))) == []
    [lie] = only(a_gradient(liar), Forge)
    assert lie.known == ("own 0",)


def test_an_honest_machine_takes_no_whisper() -> None:
    for machine in (Worker(W[0], CLUSTER, PLAN), Server(S[0], CLUSTER, PLAN, "θ")):
        hear(machine, Started())
        before = (machine.step, machine.phase)
        assert hear(machine, Received(W[1], Whisper(0, "psst"))) == []
        assert (machine.step, machine.phase) == before
        assert machine.kept(W[1]) == 0


def test_a_servers_models_are_not_whispered() -> None:
    assert not only(hear(a_server("alie", fellows=FELLOWS), Started()), Send)


def test_models_and_gradients_of_accomplices_are_ignored() -> None:
    worker = a_worker(accomplices=frozenset({S[1], W[0]}))
    hear(worker, Started(), *models(0))
    assert worker.phase == "models"
    assert worker.kept(S[1]) == 0
    server = a_server(accomplices=frozenset({W[2]}))
    effects = hear(server, Started(), *gradients(0), Received(W[1], Gradient(0, "g")))
    [update] = only(effects, Update)
    assert W[2] not in dict(update.gradients)


# -- never a word more than an honest machine would say ------------------------------------------


def random_event(dice: random.Random, machine: Machine) -> Event:
    step = max(0, machine.step + dice.choice((-1, 0, 0, 0, 0, 1)))
    message: Message = dice.choice(
        (
            Model(step, "m", dice.choice((0, 0, 0, 1))),
            Gradient(step, "g"),
            Whisper(step, "w"),
        )
    )
    return dice.choice(
        (
            Received(dice.choice((*S, *W, STRANGE)), message),
            Received(dice.choice(S), Model(machine.step, "m")),
            Received(dice.choice(W), Gradient(machine.step, "g")),
            Updated(step, "u"),
            Contracted(step, "c"),
            GradientComputed(step, "g"),
            TimerFired("patience", step),
        )
    )


@pytest.mark.parametrize("attack", [a.name for a in ATTACKS.values() if a.vector] + ["mute"])
@pytest.mark.parametrize("make", [a_worker, a_server])
def test_a_liar_says_exactly_when_and_to_whom_the_honest_machine_would(
    make: Any, attack: str
) -> None:
    """An honest twin hears the same, but for whispers and what comes from accomplices."""
    forged = said = 0
    for seed in range(30):
        dice = random.Random(seed)
        accomplices = frozenset(dice.sample((*S, *W), 2))
        liar = make(attack, fellows=FELLOWS, accomplices=accomplices)
        twin = make().honest
        for _ in range(200):
            event = random_event(dice, twin) if twin.phase != "starting" else Started()
            effects = hear(liar, event)
            believed = not isinstance(event, Received) or (
                event.sender not in accomplices and not isinstance(event.message, Whisper)
            )
            honest = hear(twin, event) if believed else []
            sends, others = only(honest, Send), [e for e in honest if not isinstance(e, Send)]
            whispers = [s for s in only(effects, Send) if isinstance(s.message, Whisper)]
            again = [s for s in only(effects, Send) if s not in whispers]
            asked = [hear(liar, Forged(lie.sends)) for lie in only(effects, Forge)]
            lies = [*again, *(send for told in asked for send in told)]
            assert sorted(lies, key=str) == ([] if attack == "mute" else sorted(sends, key=str))
            assert len(whispers) == sum(isinstance(send.message, Gradient) for send in sends)
            assert [e for e in effects if not isinstance(e, Forge | Send)] == others
            assert (liar.step, liar.phase) == (twin.step, twin.phase)
            forged, said = forged + len(lies), said + len(sends)
    assert said > 30
    assert forged == (0 if attack == "mute" else said)


# -- what becomes of the lies --------------------------------------------------------------------

D = 4
RATE = 0.5


def a_compute(me: NodeId, liars: int = 3) -> Compute:
    settings = Settings(
        cluster=CLUSTER,
        seed=7,
        batch=1,
        gradient=GradientSettings(),
        rate=Schedule(RATE),
        gradients=AGGREGATORS["mda"],
        models=AGGREGATORS["median"],
        liars={"worker": liars, "server": 1},
    )
    return Compute(me, None, FlatModel(torch.nn.Linear(D - 1, 1)), settings)  # type: ignore[arg-type]


def lies_of(me: NodeId, forge: Forge) -> tuple[Send, ...]:
    event = a_compute(me).run(forge).event
    assert isinstance(event, Forged)
    return event.sends


def vector_in(send: Send) -> torch.Tensor:
    vector = vector_of(send.message)
    assert isinstance(vector, torch.Tensor)
    return vector


def test_equivocate_tells_every_receiver_something_else() -> None:
    own = torch.ones(D)
    lies = lies_of(W[0], Forge((Send(S, Gradient(2, own)),), "equivocate", {}, (own,)))
    assert [lie.to for lie in lies] == [(server,) for server in S]
    assert all(type(lie.message) is Gradient and lie.message.step == 2 for lie in lies)
    vectors = [vector_in(lie) for lie in lies]
    for index, vector in enumerate(vectors):
        assert not any(torch.equal(vector, other) for other in (*vectors[:index], own))


def told_alone(to: NodeId, options: dict[str, Any]) -> torch.Tensor:
    """What server-0 says of its model to this node, in a word of its own, as to who pulls it."""
    own = torch.ones(D)
    forge = Forge((Send((to,), Model(2, own)),), "equivocate", options, (own,))
    [lie] = lies_of(S[0], forge)
    return vector_in(lie)


def test_receivers_are_numbered_by_their_names_whoever_else_is_told() -> None:
    for nodes in (W, S[1:]):
        camps = [told_alone(node, {"kind": "camps"}) for node in nodes]
        for node, told in zip(nodes, camps, strict=True):
            assert torch.equal(told, camps[0]) == (node.index % 2 == nodes[0].index % 2), node
        victims = [told_alone(node, {"kind": "victim", "victim": 3}) for node in nodes]
        fooled = [not torch.equal(told, torch.ones(D)) for told in victims]
        assert fooled == [node.index == 3 for node in nodes]


def test_equivocate_repeats_itself_to_one_receiver_and_not_at_another_step_or_node() -> None:
    own = torch.ones(D)

    def said(me: NodeId, step: int) -> torch.Tensor:
        forge = Forge((Send(S, Gradient(step, own)),), "equivocate", {}, (own,))
        return vector_in(lies_of(me, forge)[3])

    assert torch.equal(said(W[0], 2), said(W[0], 2))
    assert not torch.equal(said(W[0], 2), said(W[0], 3))
    assert not torch.equal(said(W[0], 2), said(W[1], 2))


@pytest.mark.parametrize("attack", ["sign_flip", "nan", "alie"])
def test_one_lie_for_all_is_encoded_once(attack: str) -> None:
    own = torch.ones(D)
    [lie] = lies_of(W[0], Forge((Send(S, Gradient(1, own)),), attack, {}, (own,)))
    assert (lie.to, type(lie.message), lie.message.step) == (S, Gradient, 1)
    assert vector_in(lie).data_ptr() != own.data_ptr()


def test_a_lying_model_keeps_step_and_round() -> None:
    own = torch.arange(D).float()
    [lie] = lies_of(S[0], Forge((Send(S[1:], Model(6, own, 2)),), "sign_flip", {}, (own,)))
    assert lie.message == Model(6, vector_in(lie), 2)
    assert torch.equal(vector_in(lie), -own)


def test_colluding_workers_lie_about_the_mean_of_what_they_know() -> None:
    known = torch.randn(3, D, generator=torch.Generator().manual_seed(0))
    forge = Forge((Send(S, Gradient(1, known[0])),), "alie", {"z": 1.5}, tuple(known))
    [lie] = lies_of(W[0], forge)
    expected = known.mean(dim=0) - 1.5 * known.std(dim=0, correction=0)
    torch.testing.assert_close(vector_in(lie), expected)


def test_alie_knows_how_many_lie_on_its_own_side() -> None:
    known = torch.randn(3, D, generator=torch.Generator().manual_seed(0))
    forge = Forge((Send(S, Gradient(1, known[0])),), "alie", {}, tuple(known))
    [lie] = lies_of(W[0], forge)
    z = 0.6744897501960817  # Φ⁻¹(3/4): of 7 workers 3 lie, so s = 1 and p = 3/4
    expected = known.mean(dim=0) - z * known.std(dim=0, correction=0)
    torch.testing.assert_close(vector_in(lie), expected)


def test_a_colluding_server_knows_models_from_the_gradients_it_was_sent() -> None:
    """Its own model, and where each single gradient would have taken it."""
    generator = torch.Generator().manual_seed(0)
    own, gradients = torch.randn(D, generator=generator), torch.randn(5, D, generator=generator)
    sends = (Send(W, Model(3, own)),)
    [lie] = lies_of(S[0], Forge(sends, "alie", {"z": 1.0}, (own,), tuple(gradients)))
    moved = [own - RATE * (gradient - gradients.mean(dim=0)) for gradient in gradients]
    known = torch.stack([own, *moved])
    expected = known.mean(dim=0) - known.std(dim=0, correction=0)
    torch.testing.assert_close(vector_in(lie), expected)


@pytest.mark.parametrize("attack", ["sign_flip", "equivocate"])
def test_a_server_that_does_not_collude_lies_about_its_own_model(attack: str) -> None:
    own = torch.ones(D)
    sends = (Send(W, Model(3, own)),)
    with_gradients = lies_of(S[0], Forge(sends, attack, {}, (own,), (torch.zeros(D),) * 5))
    without = lies_of(S[0], Forge(sends, attack, {}, (own,)))
    for one, other in zip(with_gradients, without, strict=True):
        assert torch.equal(vector_in(one), vector_in(other))


def test_the_first_model_is_lied_about_before_there_was_any_gradient() -> None:
    own = torch.ones(D)
    [lie] = lies_of(S[0], Forge((Send(W, Model(0, own)),), "alie", {}, (own,)))
    assert torch.equal(vector_in(lie), own), "a single vector has no deviation"


def test_what_was_given_to_forge_is_left_as_it_was() -> None:
    own, gradients = torch.ones(D), torch.randn(5, D)
    before = gradients.clone()
    for name, attack in ATTACKS.items():
        if attack.vector and not attack.trains:
            forge = Forge((Send(W, Model(1, own)),), name, {}, (own,), tuple(gradients))
            for lie in lies_of(S[0], forge):
                vector_in(lie).fill_(9.0)
    assert torch.equal(own, torch.ones(D))
    assert torch.equal(gradients, before)


def test_computations_of_the_machine_within_pass_unchanged() -> None:
    liar = a_worker()
    effects = hear(liar, Started(), *models(0))
    assert only(effects, Contract) == [Contract(0, tuple((s, f"θ{s}") for s in S[1:]))]
    assert only(hear(liar, Contracted(0, "x")), ComputeGradient) == [ComputeGradient(0, "x", None)]


def test_noise_that_is_the_same_for_all_is_so_whoever_is_told_first() -> None:
    """A pulled model goes to one worker at a time: two who compare must hear the same."""
    own = torch.ones(D)
    told = [
        lies_of(S[0], Forge((Send((worker,), Model(1, own)),), "gaussian", {}, (own,)))
        for worker in W[2:4]
    ]
    [first], [second] = told
    assert torch.equal(vector_in(first), vector_in(second))
