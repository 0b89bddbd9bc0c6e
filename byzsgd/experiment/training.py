"""`[training]`: what is learnt and how.

Everything of `byzsgd.training` is imported inside functions: it brings torch, which takes seconds
that a file with a missing bracket should not cost. Ranges are asked of those who know them.
"""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import (
    BeforeValidator,
    Field,
    ValidationInfo,
    field_validator,
    model_validator,
)

from byzsgd.errors import unknown_name
from byzsgd.experiment.complaints import Fault, Faults, Table, toml

if TYPE_CHECKING:
    from byzsgd.training.gradient import GradientSettings
    from byzsgd.training.momentum import ServerMomentum
    from byzsgd.training.schedule import Schedule


class _Rate(Table):
    """The learning rate by step number, in one of the shapes of `byzsgd.training.schedule`."""

    kind: str
    rate: float

    def schedule(self, steps: int) -> "Schedule":
        """As a function of the step, for a run of `steps`."""
        from byzsgd.training.schedule import Schedule

        values: dict[str, Any] = self.model_dump(exclude={"rate", "kind"})
        if self.kind == "cosine":
            values["steps"] = values["steps"] or steps
        return Schedule(self.rate, self.kind, **values)

    @model_validator(mode="after")
    def _in_range(self) -> "_Rate":
        self.schedule(steps=1)
        return self


class ConstantRate(_Rate):
    kind: Literal["constant"]


class InverseRate(_Rate):
    kind: Literal["inverse"]
    r: float = 10_000.0


class StepRate(_Rate):
    kind: Literal["step"]
    milestones: tuple[int, ...] = Field(strict=False, description="a list of whole numbers")
    factor: float = 0.1


class CosineRate(_Rate):
    """Down to 0 at `steps`, by default the run's last one."""

    kind: Literal["cosine"]
    steps: int | None = Field(default=None, ge=1, description="a whole number, at least 1")


class Iid(Table):
    kind: Literal["iid"]


class Dirichlet(Table):
    kind: Literal["dirichlet"]
    alpha: float = Field(gt=0, description="a positive number")


def _table_of_number(value: object) -> object:
    number = isinstance(value, int | float) and not isinstance(value, bool)
    return {"kind": "constant", "rate": value} if number else value


def _table_of_word(value: object) -> object:
    return {"kind": value} if isinstance(value, str) else value


def _default_rate() -> ConstantRate:
    return ConstantRate(kind="constant", rate=0.1)


LearningRate = Annotated[
    ConstantRate | InverseRate | StepRate | CosineRate,
    BeforeValidator(_table_of_number),
    Field(
        discriminator="kind",
        description='a number, or a table such as {kind = "inverse", rate = 0.1, r = 10000}',
    ),
]
Partition = Annotated[
    Iid | Dirichlet,
    BeforeValidator(_table_of_word),
    Field(discriminator="kind", description='"iid" or {kind = "dirichlet", alpha = 0.5}'),
]


class Training(Table):
    """The same at every node. `model` is by default the task's own.

    Momentum is the workers', and `momentum_at` the server for comparison. With `nesterov` gradients
    are taken where the momentum is about to lead.
    """

    task: str = "digits"
    model: str | None = None
    batch: int = Field(default=32, ge=1, description="a whole number, at least 1")
    learning_rate: LearningRate = Field(default_factory=_default_rate)
    momentum: float = 0.9
    nesterov: bool = False
    momentum_at: Literal["worker", "server"] = "worker"
    clip: float | None = None
    weight_decay: float = 0.0
    partition: Partition = Iid(kind="iid")

    @property
    def gradient(self) -> "GradientSettings":
        from byzsgd.training.gradient import GradientSettings

        if self.momentum_at == "server":
            return GradientSettings(0.0, self.weight_decay, self.clip)
        return GradientSettings(self.momentum, self.weight_decay, self.clip, self.nesterov)

    def server_momentum(self, steps: int) -> "ServerMomentum | None":
        """For a run of `steps`; None where momentum is the workers', as it should be."""
        from byzsgd.training.momentum import ServerMomentum

        at_server = self.momentum_at == "server"
        return ServerMomentum(self.momentum, self.nesterov, steps) if at_server else None

    def warnings(self, servers: int) -> Iterator[str]:
        if self.momentum_at == "server" and servers > 1:
            yield (
                f'momentum_at = "server": each of the {servers} servers has a velocity of its own, '
                "which no gather brings together with the others': models drift apart; for "
                "comparison only"
            )

    @model_validator(mode="after")
    def _of_effect(self) -> "Training":
        said = {"nesterov": self.nesterov, "momentum_at": self.momentum_at == "server"}
        idle = [key for key, given in said.items() if given and self.momentum == 0]
        if idle:
            text = "has no effect while momentum = 0: give a momentum, or leave it out"
            raise Faults([Fault((key,), text, toml(getattr(self, key))) for key in idle])
        return self

    @field_validator("task", "model")
    @classmethod
    def _known(cls, name: str | None, info: ValidationInfo) -> str | None:
        """Only the names: data and own functions are looked at when the task is loaded."""
        from byzsgd.training import MODELS, TASKS
        from byzsgd.training.named import is_path

        names = TASKS if info.field_name == "task" else MODELS
        if name is None or name in names or is_path(name):
            return name
        raise unknown_name(str(info.field_name), name, [*names, "package.module:function"])

    @field_validator("momentum", "clip", "weight_decay")
    @classmethod
    def _in_range(cls, value: float | None, info: ValidationInfo) -> float | None:
        from byzsgd.training.gradient import GradientSettings

        GradientSettings(**{str(info.field_name): value})  # type: ignore[arg-type]
        return value
