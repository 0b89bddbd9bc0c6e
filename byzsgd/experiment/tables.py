"""`[network]`, `[simulation]`, `[record]` and `[expect]`."""

from typing import Literal

from pydantic import Field, field_validator

from byzsgd.errors import unknown_name
from byzsgd.experiment.complaints import Table
from byzsgd.experiment.named import Named, joined, split


class Network(Table):
    """How vectors travel: their type, and the largest piece one is cut into."""

    dtype: Literal["float32", "bfloat16", "float16"] = "float32"
    chunk_kib: int = Field(
        default=1024, ge=256, le=1024, description="a whole number from 256 to 1024"
    )


class Simulation(Table):
    """What only `byzsgd simulate` heeds.

    `scheduler` decides the order of delivery, until `peace_s` if that is given. `cost` is how long
    computations take in virtual time: "uniform", "measured" on this machine, or a file of costs.
    With `wire` every message is encoded and decoded. `checks` are of "all" invariants, of those on
    "messages", which cost nothing of a vector's size, or "none"; by default of all for small
    models. `gradients` is how those of several workers are computed together.
    """

    scheduler: Named = "network"
    peace_s: float | None = Field(default=None, ge=0, description="a time in seconds, 0 or more")
    cost: str = "uniform"
    wire: bool = False
    checks: Literal["auto", "all", "messages", "none"] = "auto"
    gradients: Literal["auto", "loop", "threads", "stacked"] = "auto"

    @field_validator("scheduler", mode="before")
    @classmethod
    def _known(cls, given: object) -> Named:
        from byzsgd.simulation.schedulers import SCHEDULERS

        name, options = split(given)
        if name not in SCHEDULERS:
            raise unknown_name("scheduler", name, SCHEDULERS)
        for option in options:
            if option not in SCHEDULERS[name].options:
                known = SCHEDULERS[name].options
                raise unknown_name(f"option of scheduler {name}", option, known)
        return joined(name, options)


class Recorded(Table):
    """What the record says beyond what it always does. It changes nothing of what happens.

    With `resilience` servers measure at each update whether the assumptions of the rule's theorem
    held, and what lies did to it; and all note by marks whom they heard say what.
    """

    resilience: bool = True


class Expect(Table):
    """What must hold at the end, or the run counts as failed."""

    accuracy: float | None = Field(
        default=None, ge=0, le=1, description="a share from 0 to 1, such as 0.93"
    )
