"""`[network]` and `[expect]`."""

from typing import Literal

from pydantic import Field

from byzsgd.experiment.complaints import Table


class Network(Table):
    """How vectors travel: their type, and the largest piece one is cut into."""

    dtype: Literal["float32", "bfloat16", "float16"] = "float32"
    chunk_kib: int = Field(
        default=1024, ge=256, le=1024, description="a whole number from 256 to 1024"
    )


class Expect(Table):
    """What must hold at the end, or the run counts as failed."""

    accuracy: float | None = Field(
        default=None, ge=0, le=1, description="a share from 0 to 1, such as 0.93"
    )
