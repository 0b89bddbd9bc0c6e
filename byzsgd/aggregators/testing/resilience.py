"""Checks of what liars can do to a rule."""

from collections.abc import Iterable

import torch
from torch import Tensor

from byzsgd.aggregators.testing import clouds
from byzsgd.aggregators.testing.clouds import PLACES, Attack
from byzsgd.aggregators.testing.equivariance import compare
from byzsgd.aggregators.testing.expectations import AMONG_EQUALS
from byzsgd.aggregators.testing.subject import Failure, NotApplicable, Subject


def totality(subject: Subject) -> str:
    """With f rows of NaN, Inf, 1e20 or ±1e38, or with one NaN or Inf, the result is finite and near
    the honest vectors; if they are not finite, it is as if they were infinitely far (as the twin
    has it, where there is one). f + 1 rows of NaN are refused, if not survived as well.

    A NaN costs a liar nothing, and every model that adds it is lost.
    """
    _need_liars(subject)
    n, f = subject.n, subject.f
    truths = clouds.honest(n - f, subject.d, subject.seed)
    worst = _worst(subject, truths, clouds.spoiled(truths, f), PLACES)
    _within_reach(subject, worst)
    _as_the_twin(subject, truths)
    more = clouds.placed(truths[:-1], torch.full((f + 1, subject.d), torch.nan), "among")
    near = subject.reach * clouds.diameter(truths)
    if subject.answers(more, f) and not _distance(subject(more), truths) <= near:
        raise Failure(f"{f + 1} rows of NaN are not refused, and the result is none")
    return f"{f} such rows drag it {worst[0]:.2g} honest diameters at most"


def breakdown(subject: Subject) -> str:
    """What f liars who know everything send, near by and up to 1e30 honest diameters away, together
    or apart, drags the result no farther from the honest mean than 2n / (n−2f) honest diameters; if
    all honest vectors are equal, not at all.

    This is what a robust rule is for.
    """
    _need_liars(subject)
    n, f = subject.n, subject.f
    truths = clouds.honest(n - f, subject.d, subject.seed)
    worst = _worst(subject, truths, clouds.attacks(truths, f, subject.seed), PLACES)
    _within_reach(subject, worst)
    _holds_among_equals(subject, truths[:1].expand(n - f, -1))
    return f"{f} liars drag it {worst[0]:.2g} honest diameters at most ({worst[1]})"


def beyond(subject: Subject) -> str:
    """With the fewest vectors that it takes for f, the rule must refuse f + 1, or hold.

    What is told here besides is what f + 1 liars do to it while it is told f: with n = 2f + 1 the
    liars are the majority then, and no rule can hold that held before.
    """
    _need_liars(subject)
    f, n = subject.f, least(subject)
    truths = clouds.honest(n - f - 1, subject.d, subject.seed)
    attacks = list(clouds.attacks(truths, f + 1, subject.seed))
    honest = clouds.honest(n, subject.d, subject.seed)
    if subject.answers(honest, f + 1):
        dragged, how = _worst(subject, truths, attacks, PLACES[:1], told=f + 1, may_raise=True)
        if not dragged <= _limit(n):
            raise Failure(f"answers for f={f + 1} of n={n}, and is dragged {dragged:.2g} ({how})")
        answer = f"n={n} holds for f={f + 1}"
    else:
        answer = f"n={n} refuses f={f + 1}"
    dragged, how = _worst(subject, truths, attacks, PLACES[:1], may_raise=True)
    if dragged <= _limit(n):
        if n == 2 * f + 1:
            raise Failure(f"{f + 1} of n={n} cannot move it: it is no function of its rows")
        return f"{HOLDS}: {answer}; told {f}, {f + 1} liars drag it {dragged:.2g} diameters at most"
    return f"{BREAKS}: {answer}; told {f}, {f + 1} liars drag it {dragged:.2g} diameters ({how})"


HOLDS, BREAKS = "holds", "breaks"


def least(subject: Subject) -> int:
    """The fewest vectors that the rule takes for f."""
    f = subject.f
    if subject.minimum_n is not None:
        return max(subject.minimum_n(f), 2 * f + 1)
    for n in range(2 * f + 1, subject.n):
        if subject.answers(clouds.honest(n, subject.d, subject.seed), f):
            return n
    return subject.n


def _as_the_twin(subject: Subject, truths: Tensor) -> None:
    for attack in clouds.spoiled(truths, subject.f):
        if subject.twin is not None and not bool(attack.lies.isfinite().all(1).any()):
            vectors = clouds.placed(truths, attack.lies, "among")
            expected = subject.twin(vectors, subject.f)
            compare(subject, subject(vectors), expected, vectors, attack.name)


def _worst(
    subject: Subject,
    truths: Tensor,
    attacks: Iterable[Attack],
    places: Iterable[str],
    told: int | None = None,
    may_raise: bool = False,
) -> tuple[float, str]:
    """How far the best of the attacks drags the rule, in honest diameters, and which it is.

    Where it may, raising is as good as holding.
    """
    far, worst = clouds.diameter(truths), (0.0, "none")
    places = tuple(places)
    for attack in attacks:
        for place in places:
            vectors = clouds.placed(truths, attack.lies, place)
            if may_raise and not subject.answers(vectors, subject.f if told is None else told):
                continue
            dragged = _distance(subject(vectors, told), truths) / far
            worst = max(worst, (dragged, f"{attack.name}, {place}"), key=lambda w: w[0])
    return worst


def _distance(result: Tensor, truths: Tensor) -> float:
    away = float((result.double() - truths.double().mean(0)).norm())
    return away if away < torch.inf else torch.inf  # NaN is as far as can be


def _within_reach(subject: Subject, worst: tuple[float, str]) -> None:
    dragged, how = worst
    if dragged > subject.reach:
        what = f"dragged {dragged:.2g} honest diameters, more than {subject.reach:.2g}"
        raise Failure(f"{what if dragged < torch.inf else 'the result is not finite'} ({how})")


def _holds_among_equals(subject: Subject, truths: Tensor) -> None:
    if AMONG_EQUALS in subject.exempt:
        return
    for attack in clouds.attacks(truths, subject.f, subject.seed):
        vectors = clouds.placed(truths, attack.lies, "first")
        away = _distance(subject(vectors), truths)
        if not away <= subject.tolerance * clouds.SPREAD:
            raise Failure(f"n−f equal rows are not the result: off by {away:.2g} ({attack.name})")


def _limit(n: int) -> float:
    """Beyond this many honest diameters a rule has broken down."""
    return 2.0 * n


def _need_liars(subject: Subject) -> None:
    if subject.f == 0:
        raise NotApplicable("f = 0: nobody lies")
