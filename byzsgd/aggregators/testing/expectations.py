"""What each rule is not asked for, and why; whatever is not in this table is asked of everybody."""

from collections.abc import Mapping

from byzsgd.aggregators import Rule

NO_LIES = "one lie sets a mean"
SHUFFLED = "which rows share a bucket depends on their order"
AROUND_ZERO = "lengths are measured from zero"
MIXED = "it sees means of rows, whose ties are rounded"
AMONG_EQUALS = "breakdown at f, among equals"
"""No check of its own: the part of one in which all honest vectors are equal."""

NOT_BY_DISTANCE = "it compares values, not distances"

EXEMPT: Mapping[str, Mapping[str, str]] = {
    "average": {"totality": NO_LIES, "breakdown at f": NO_LIES, "f + 1": NO_LIES},
    "geometric_median": {"ties": "it takes no rows; where several points are best, any will do"},
    "bulyan": {"permutation": "its last picks go by one neighbour each, and neighbours tie"},
    # before a rule
    "nnm": {"ties": MIXED},
    "bucketing": {
        "permutation": SHUFFLED,
        "ties": MIXED,
        "precision": "means of buckets tie where single rows do not",
    },
    "clipping": {"translation": AROUND_ZERO, "ties": MIXED},
    # other libraries'
    "byzfl Average": {"totality": NO_LIES, "breakdown at f": NO_LIES, "f + 1": NO_LIES},
    "byzfl CenteredClipping": {
        "translation": "it starts at zero",
        "scale": "its radius is a fixed length",
    },
}

WITH_OPTION: Mapping[tuple[str, str], Mapping[str, str]] = {
    ("centered_clipping", "radius"): {
        "scale": "its radius is a fixed length",
        AMONG_EQUALS: "liars within its radius pull",
    },
    ("centered_clipping", "center"): {
        "translation": "its centre is a fixed point",
        "scale": "its centre is a fixed point",
        "identical rows": "its centre is a fixed point",
        AMONG_EQUALS: "its centre is a fixed point",
    },
}
"""The same where a rule was made with this option."""

INEXACT_TIES = frozenset({"medoid", "centered_clipping"})
"""They add square roots, which are rounded; on one line with whole distances they tie exactly."""

TOLERANCES: Mapping[str, float] = {"geometric_median": 1e-4, "byzfl GeometricMedian": 1e-4}
"""Of rules that iterate until they are near enough."""

TOLERANCE = 1e-5


def exemptions(name: str, rule: Rule | None = None) -> dict[str, str]:
    """Check → reason, for a rule's name such as "mda", "nnm + mda" or "byzfl Average"."""
    found: dict[str, str] = {}
    for part in name.split(" + "):
        found |= EXEMPT.get(part, {})
    if rule is not None:
        if rule.choose is None and not rule.by_distance:
            found["precision"] = NOT_BY_DISTANCE
        for (maker, option), reasons in WITH_OPTION.items():
            if rule.name == maker and rule.options.get(option) is not None:
                found |= reasons
    return found


def tolerance(name: str) -> float:
    return TOLERANCES.get(name.split(" + ")[-1], TOLERANCE)
