"""Computations against the formulas, on a model small enough to do by hand."""

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from byzsgd.aggregators import AGGREGATORS, Choice
from byzsgd.aggregators.rows import Rows
from byzsgd.attacks import forge
from byzsgd.cluster import Cluster, NodeId
from byzsgd.compute import Compute, Settings
from byzsgd.observe import Outcome
from byzsgd.protocol import (
    ComputeGradient,
    Contract,
    Contracted,
    Forge,
    Forged,
    Gradient,
    GradientComputed,
    Model,
    Prepare,
    Send,
    Update,
    Updated,
    vector_of,
)
from byzsgd.protocol.effects import Computation, Inputs
from byzsgd.training.batches import batch_indices
from byzsgd.training.examples import Examples
from byzsgd.training.flat import FlatModel
from byzsgd.training.gradient import GradientSettings
from byzsgd.training.schedule import Schedule
from byzsgd.training.task import Task
from byzsgd.wire import DType, Frames, Layout, frames_of
from tests.world import servers, workers

CLUSTER = Cluster(servers=5, workers=7, f_servers=1, f_workers=2)
S, W = servers(5), workers(7)
D = 3
SEED = 7
SHARD = torch.tensor([1, 3, 4, 6, 7])
INPUTS = torch.randn(8, 2, generator=torch.Generator().manual_seed(1))
TARGETS = torch.randn(8, generator=torch.Generator().manual_seed(2))
LONG = "hidden_vulnerability"
RATE = Schedule(0.5, shape="inverse", r=10)


def squared(outputs: Tensor, targets: Tensor) -> Tensor:
    return ((outputs[:, 0] - targets) ** 2).mean()


TASK = Task(
    "line",
    lambda: nn.Linear(2, 1),
    squared,
    Examples(INPUTS, TARGETS),
    Examples(INPUTS, TARGETS),
    metric=lambda outputs, targets: 0.0,
)


def compute(
    me: NodeId = W[0],
    gradient: GradientSettings | None = None,
    gradients: str = "mda",
    model: nn.Module | None = None,
) -> Compute:
    settings = Settings(
        cluster=CLUSTER,
        seed=SEED,
        batch=3,
        gradient=gradient or GradientSettings(),
        rate=RATE,
        gradients=AGGREGATORS[gradients],
        models=AGGREGATORS["median"],
        liars={"worker": 2, "server": 1},
    )
    shard = SHARD if me.role == "worker" else None
    flat = FlatModel(model or nn.Linear(2, 1))
    return Compute(me, TASK, flat, settings, shard, clock=itertools.count(0.0, 1.0).__next__)


def random_vector(seed: int) -> Tensor:
    return torch.randn(D, generator=torch.Generator().manual_seed(seed))


def inputs(nodes: Sequence[NodeId], vectors: Sequence[Any]) -> Inputs:
    return tuple(zip(nodes, vectors, strict=True))


def by_hand(step: int, params: Tensor, worker: int = 0) -> tuple[list[float], float]:
    """The gradient of mean((w·x + b − y)²) over the batch, and that mean, in Python's numbers."""
    w0, w1, b = params.double().tolist()
    drawn = SHARD[batch_indices(SEED, worker, step, len(SHARD), 3)].tolist()
    gradient, loss = [0.0, 0.0, 0.0], 0.0
    for example in drawn:
        x0, x1 = INPUTS[example].tolist()
        error = w0 * x0 + w1 * x1 + b - float(TARGETS[example])
        loss += error**2 / 3
        gradient = [g + 2 * error * x / 3 for g, x in zip(gradient, (x0, x1, 1.0), strict=True)]
    return gradient, loss


def result(outcome: Outcome) -> Tensor:
    event = outcome.event
    assert isinstance(event, GradientComputed | Updated | Contracted)
    vector = event.vector if isinstance(event, GradientComputed) else event.params
    assert isinstance(vector, Tensor)
    return vector


# -- gradients -----------------------------------------------------------------------------------


@pytest.mark.parametrize("worker", [0, 3])
@pytest.mark.parametrize("step", [0, 5])
def test_a_gradient_is_what_it_is_by_hand(step: int, worker: int) -> None:
    params = random_vector(3)
    outcome = compute(W[worker]).run(ComputeGradient(step, params))
    gradient, loss = by_hand(step, params, worker)
    assert isinstance(outcome.event, GradientComputed)
    assert outcome.event.step == step
    torch.testing.assert_close(result(outcome), torch.tensor(gradient))
    assert outcome.notes == {"loss": pytest.approx(loss, rel=1e-5)}
    assert outcome.measures == {"compute_s": 1.0}


@pytest.mark.parametrize("clip", [None, 0.5, 1e3])
@pytest.mark.parametrize("decay", [0.0, 0.1])
def test_momentum_decay_and_clipping_are_applied_before_it_is_sent(
    clip: float | None, decay: float
) -> None:
    node = compute(gradient=GradientSettings(momentum=0.9, weight_decay=decay, clip=clip))
    expected, last = [0.0] * D, None
    for step in range(4):
        params = random_vector(step)
        gradient, _ = by_hand(step, params)
        gradient = [g + decay * p for g, p in zip(gradient, params.tolist(), strict=True)]
        norm = math.hypot(*gradient)
        shrink = min(1.0, clip / norm) if clip else 1.0
        expected = [0.9 * e + shrink * g for e, g in zip(expected, gradient, strict=True)]
        last = result(node.run(ComputeGradient(step, params, last)))
        torch.testing.assert_close(last, torch.tensor(expected), rtol=1e-4, atol=1e-5)


def test_the_same_step_gives_the_same_gradient_and_another_does_not() -> None:
    params = random_vector(3)
    first, second = (result(compute().run(ComputeGradient(4, params))) for _ in range(2))
    assert torch.equal(first, second)
    node = compute()
    result(node.run(ComputeGradient(0, random_vector(9))))
    assert torch.equal(result(node.run(ComputeGradient(4, params))), first), "nothing is remembered"
    assert not torch.equal(result(node.run(ComputeGradient(5, params))), first)
    assert not torch.equal(result(compute(W[1]).run(ComputeGradient(4, params))), first)


def test_dropout_draws_from_seed_worker_and_step() -> None:
    model = nn.Sequential(nn.Dropout(0.5), nn.Linear(2, 1))

    def gradient(worker: int, step: int) -> Tensor:
        torch.rand(worker + step)  # whatever happened to torch's own state
        node = compute(W[worker], model=model)
        return result(node.run(ComputeGradient(step, torch.ones(D))))

    assert torch.equal(gradient(0, 1), gradient(0, 1))
    drawn = [gradient(0, step) for step in range(8)]
    assert len({tuple(vector.tolist()) for vector in drawn}) > 4


@pytest.mark.parametrize("frames", [False, True])
@pytest.mark.parametrize("step", [1, 30])
def test_how_far_a_pulled_model_is_from_the_step_before_is_measured(
    step: int, frames: bool
) -> None:
    """By the rate of the step before, which led from there to here."""
    here, before, last = (random_vector(seed) for seed in (3, 4, 5))
    models = [received(one, "float32", 8) if frames else one for one in (here, before)]
    node = compute(gradient=GradientSettings(momentum=0.9))
    outcome = node.run(ComputeGradient(step, models[0], last, models[1]))
    assert isinstance(outcome.event, GradientComputed)
    moved = [RATE.at(step - 1) * g for g in last.tolist()]
    guess = [b - m for b, m in zip(before.tolist(), moved, strict=True)]
    expected = (
        math.dist(guess, here.tolist()),
        math.dist(result(outcome).tolist(), last.tolist()),
        math.hypot(*moved),
    )
    change = outcome.event.change
    assert change
    assert (change.model, change.gradient, change.stride) == pytest.approx(expected, rel=1e-5)
    alone = compute(gradient=GradientSettings(momentum=0.9)).run(ComputeGradient(step, here, last))
    assert torch.equal(result(alone), result(outcome)), "to be measured changes nothing"
    assert isinstance(alone.event, GradientComputed)
    assert alone.event.change is None


def test_what_is_no_number_is_measured_as_none() -> None:
    lie = torch.full((D,), math.nan)
    event = compute().run(ComputeGradient(1, lie, random_vector(5), random_vector(4))).event
    assert isinstance(event, GradientComputed)
    assert event.change
    assert math.isnan(event.change.model)
    assert math.isnan(event.change.gradient)
    assert event.change.stride > 0


def test_a_server_has_no_data_and_computes_no_gradient() -> None:
    with pytest.raises(AssertionError, match="server-0 has no data"):
        compute(S[0]).run(ComputeGradient(0, random_vector(1)))


# -- updates -------------------------------------------------------------------------------------

HONEST = [torch.tensor([1.0, 0, 0]) + 0.01 * random_vector(seed) for seed in range(5)]


def an_update(step: int, liars: Sequence[Tensor], gradients: str = "mda") -> Outcome:
    """Workers 0, 1, … lie; the others, as many as are needed for five, are honest."""
    vectors = [*liars, *HONEST[len(liars) :]]
    return compute(S[0], gradients=gradients).run(
        Update(step, torch.zeros(D), inputs(W[:5], vectors))
    )


@pytest.mark.parametrize("step", [0, 10])
def test_an_update_goes_against_what_mda_chose(step: int) -> None:
    liars = [torch.full((D,), 100.0), torch.full((D,), -100.0)]
    outcome = an_update(step, liars)
    rate = 0.5 * 10 / (step + 10)
    expected = -rate * torch.stack(HONEST[2:]).mean(dim=0)
    torch.testing.assert_close(result(outcome), expected)
    assert outcome.event == Updated(step, result(outcome), W[2:5])
    assert outcome.notes == {
        "quorum": [f"worker-{index}" for index in range(5)],
        "chosen": ["worker-2", "worker-3", "worker-4"],
    }
    assert outcome.measures == {"stack_s": 1.0, "aggregate_s": 1.0, "apply_s": 1.0}


def test_a_rule_that_selects_nobody_has_chosen_nobody() -> None:
    outcome = an_update(0, [], gradients="median")
    torch.testing.assert_close(result(outcome), -0.5 * torch.stack(HONEST).median(dim=0).values)
    assert outcome.event == Updated(0, result(outcome), ())


@pytest.mark.parametrize("poison", [math.nan, math.inf, -math.inf, 3e38])
@pytest.mark.parametrize("count", [1, 2])
def test_as_many_poisoned_gradients_as_declared_change_nothing(poison: float, count: int) -> None:
    outcome = an_update(0, [torch.full((D,), poison)] * count)
    torch.testing.assert_close(result(outcome)[0], torch.tensor(-0.5), rtol=0.02, atol=0.02)
    assert "refused_updates" not in outcome.measures


@pytest.mark.parametrize("count", [3, 4, 5])
def test_more_gradients_that_are_no_numbers_than_declared_are_no_step_at_all(count: int) -> None:
    params = random_vector(5)
    vectors = [torch.full((D,), math.nan)] * count + HONEST[count:]
    outcome = compute(S[0]).run(Update(3, params, inputs(W[:5], vectors)))
    assert torch.equal(result(outcome), params)
    assert result(outcome).data_ptr() != params.data_ptr()
    assert outcome.event == Updated(3, result(outcome), ())
    assert outcome.measures["refused_updates"] == 1
    assert outcome.measures.keys() == {"stack_s", "aggregate_s", "apply_s", "refused_updates"}


@pytest.mark.parametrize("quorum", [1, 2, 3, 4])
def test_a_liars_smaller_quorum_is_aggregated_as_far_as_it_goes(quorum: int) -> None:
    outcome = compute(S[0]).run(Update(0, torch.zeros(D), inputs(W[:quorum], HONEST[:quorum])))
    assert isinstance(outcome.event, Updated)
    kept = quorum - (quorum - 1) // 2
    assert len(outcome.event.chosen) == kept


def tolerating(me: NodeId, tolerated: int | None, gradients: str) -> Compute:
    """A node of a cluster that declares nobody, and whose rule for gradients may tolerate some."""
    node = compute(me, gradients=gradients)
    cluster = Cluster(servers=1, workers=7)
    node.settings = replace(node.settings, cluster=cluster, tolerated=tolerated)
    return node


@pytest.mark.parametrize(("tolerated", "f"), [(None, 0), (0, 0), (2, 2)])
def test_a_rule_may_tolerate_more_than_the_cluster_declares(tolerated: int | None, f: int) -> None:
    vectors = [random_vector(seed) for seed in range(7)]
    effect = Update(0, torch.zeros(D), inputs(W, vectors))
    chosen = AGGREGATORS["mda"].select(vectors, f)
    outcome = tolerating(S[0], tolerated, "mda").run(effect)
    assert outcome.event == Updated(0, result(outcome), tuple(W[row] for row in chosen))
    assert len(chosen) == 7 - f


@pytest.mark.parametrize(("tolerated", "f"), [(None, 0), (0, 0), (2, 2)])
def test_a_liar_plays_with_what_the_rule_really_tolerates(tolerated: int | None, f: int) -> None:
    known = torch.stack([random_vector(seed) for seed in range(5)])
    forge_it = Forge((Send(S[:1], Gradient(1, known[0])),), LONG, {}, tuple(known))
    event = tolerating(W[0], tolerated, "krum").run(forge_it).event
    assert isinstance(event, Forged)
    told: dict[str, Any] = {"n": 7, "f": 2, "rule": "krum", "awaited": 7}
    assert torch.equal(vector_of(event.sends[0].message), forge(LONG, known, **told, declared=f))
    other = forge(LONG, known, **told, declared=2 - f)
    assert not torch.equal(other, forge(LONG, known, **told, declared=f))


# -- contractions --------------------------------------------------------------------------------


@pytest.mark.parametrize("count", [1, 2, 3, 4, 5])
def test_a_contraction_is_the_median_of_every_coordinate(count: int) -> None:
    models = [random_vector(seed) for seed in range(count)]
    outcome = compute().run(Contract(4, inputs(S[:count], models)))
    columns = [sorted(column) for column in torch.stack(models).double().T.tolist()]
    low, high = (count - 1) // 2, count // 2
    expected = [(column[low] + column[high]) / 2 for column in columns]
    torch.testing.assert_close(result(outcome), torch.tensor(expected))
    assert outcome.event == Contracted(4, result(outcome))
    assert outcome.measures == {"stack_s": 1.0, "contract_s": 1.0}


@pytest.mark.parametrize("poison", [math.nan, math.inf, -math.inf, 1e30])
def test_a_poisoned_model_stays_out_of_the_median(poison: float) -> None:
    models = [torch.full((D,), value) for value in (1.0, 2.0, 3.0)]
    outcome = compute().run(Contract(0, inputs(S[:4], [*models, torch.full((D,), poison)])))
    assert result(outcome).min() >= 1
    assert result(outcome).max() <= 3


@pytest.mark.parametrize("count", [2, 3, 4])
def test_more_poisoned_models_than_declared_end_no_node(count: int) -> None:
    models = [torch.full((D,), math.nan)] * count + [torch.ones(D)] * (4 - count)
    outcome = compute().run(Contract(0, inputs(S[:4], models)))
    assert result(outcome).isfinite().all()
    assert outcome.measures["refused_contractions"] == 1


def test_a_selection_that_is_only_approximate_is_recorded() -> None:
    def fill(rows: Rows, f: int, out: Tensor) -> Choice:
        out.zero_()
        return Choice((0, 1, 2), exact=False)

    node = compute(S[0])
    rule = replace(AGGREGATORS["mda"], fill=fill)
    node.settings = replace(node.settings, gradients=rule)
    outcome = node.run(Update(0, torch.zeros(D), inputs(W[:5], HONEST)))
    assert outcome.measures["approximate_selections"] == 1
    assert outcome.event == Updated(0, result(outcome), W[:3])


def test_what_is_prepared_changes_nothing_but_the_time() -> None:
    vectors = inputs(W[:5], HONEST)
    update = Update(3, torch.zeros(D), vectors)
    prepared = compute(S[0])
    for sender, vector in (vectors[3], vectors[0]):
        assert prepared.prepare(Prepare(3, sender, vector)) == {"prepare_s": 1.0}
    assert torch.equal(result(prepared.run(update)), result(compute(S[0]).run(update)))


# -- what is handed out --------------------------------------------------------------------------

MODELS = inputs(S[:4], [random_vector(seed) for seed in range(4)])
OTHER_MODELS = inputs(S[:4], [random_vector(seed) for seed in range(10, 14)])
PARAMS = random_vector(20)
TWICE: Mapping[str, tuple[NodeId, Computation, Computation]] = {
    "gradient": (
        W[0],
        ComputeGradient(0, random_vector(0), random_vector(1)),
        ComputeGradient(1, random_vector(2), random_vector(3)),
    ),
    "gradient at a pulled model": (
        W[0],
        ComputeGradient(1, random_vector(0), random_vector(1), random_vector(2)),
        ComputeGradient(2, random_vector(2), random_vector(3), random_vector(4)),
    ),
    "update": (
        S[0],
        Update(0, PARAMS, inputs(W[:5], HONEST)),
        Update(1, PARAMS, inputs(W[:5], [-vector for vector in HONEST])),
    ),
    "contraction": (W[0], Contract(0, MODELS), Contract(1, OTHER_MODELS)),
    "contraction of one": (W[0], Contract(0, MODELS[:1]), Contract(1, OTHER_MODELS[:1])),
}


@pytest.mark.parametrize("name", TWICE)
def test_a_result_is_not_touched_by_what_is_computed_next(name: str) -> None:
    """It is sent without a copy, long after the next computation has begun."""
    me, first, second = TWICE[name]
    node = compute(me, gradient=GradientSettings(momentum=0.9))
    vector = result(node.run(first))
    before = vector.clone()
    others = [result(node.run(effect)) for effect in (second, first, second)]
    assert torch.equal(vector, before)
    addresses = {one.untyped_storage().data_ptr() for one in (vector, *others)}
    assert len(addresses) == 4
    assert not vector.requires_grad
    assert vector.is_contiguous()


@pytest.mark.parametrize("name", TWICE)
def test_a_result_shares_no_memory_with_what_was_given(name: str) -> None:
    me, effect, _ = TWICE[name]
    given = vectors_in(effect)
    before = [value.clone() for value in given]
    result(compute(me).run(effect)).fill_(99.0)
    assert all(map(torch.equal, given, before))


def vectors_in(effect: Computation) -> list[Tensor]:
    match effect:
        case ComputeGradient(_, params, last, last_params):
            return [params, last, *([] if last_params is None else [last_params])]
        case Update(_, params, gradients):
            return [params, *(vector for _, vector in gradients)]
        case Contract(_, models):
            return [vector for _, vector in models]
    raise AssertionError(effect)


def received(vector: Tensor, dtype: DType, chunk_bytes: int) -> Frames:
    layout = Layout(D, dtype, chunk_bytes)
    return Frames(layout, [memoryview(bytearray(frame)) for frame in frames_of(vector, layout)])


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16"])
@pytest.mark.parametrize("chunk_bytes", [4, 8, 1 << 20])
def test_what_came_in_frames_counts_as_the_vector_it_is(dtype: DType, chunk_bytes: int) -> None:
    """Frames, tensors, and both of them mixed, as a server's own model is no frame."""
    rounded = [vector.to(Layout(1, dtype).torch_dtype).float() for _, vector in MODELS]
    framed: list[Tensor | Frames] = [received(vector, dtype, chunk_bytes) for vector in rounded]
    mixed = [rounded[0], *framed[1:]]
    for effect in (
        lambda vectors: Contract(0, inputs(S[:4], vectors)),
        lambda vectors: Update(0, PARAMS, inputs(W[:4], vectors)),
    ):
        plain = compute(S[0]).run(effect(rounded))
        for vectors in (framed, mixed):
            outcome = compute(S[0]).run(effect(vectors))
            assert torch.equal(result(outcome), result(plain))
            assert outcome.notes == plain.notes


def test_a_forgery_is_timed_too() -> None:
    sends = (Send(S, Gradient(0, PARAMS)), Send(S[:1], Model(1, PARAMS)))
    outcome = compute().run(Forge(sends, "sign_flip", {"factor": 2.0}, (PARAMS,)))
    assert outcome.measures == {"forge_s": 1.0}
    assert isinstance(outcome.event, Forged)
    lies = outcome.event.sends
    assert [lie.to for lie in lies] == [S, S[:1]]
    assert all(torch.equal(vector_of(lie.message), -2 * PARAMS) for lie in lies)
