"""What is under test: a rule, the setting it is tested in, and what it is not asked for."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from torch import Tensor

from byzsgd.aggregators.testing.twins import Twin


class Failure(Exception):  # noqa: N818 - an outcome, not a mistake
    """The rule does not do what the check asks; the message says by how much."""


class NotApplicable(Exception):  # noqa: N818
    """The check asks for more than the rule promises, or cannot be made here."""


@dataclass(frozen=True)
class Subject:
    """A rule as the checks see it: something to call with (n, d) vectors and f."""

    name: str
    rule: Callable[[Tensor, int], Tensor]
    n: int
    f: int
    d: int
    seed: int
    device: str = "cpu"
    twin: Twin | None = None
    minimum_n: Callable[[int], int] | None = None
    """None: not said, so that it has to be tried."""
    tolerance: float = 1e-5
    """How far a result may be from the exact one, relative to how far the rows lie apart."""
    exempt: Mapping[str, str] = field(default_factory=dict)
    """Check → why it is not asked of this rule."""

    def __call__(self, vectors: Tensor, f: int | None = None) -> Tensor:
        """The result on the CPU; what the rule does to its input and its result does not show."""
        return self.bare(vectors.clone().to(self.device), f).clone().cpu()

    def bare(self, vectors: Tensor, f: int | None = None) -> Tensor:
        """The rule's own result for these very vectors."""
        result = self.rule(vectors, self.f if f is None else f)
        if not isinstance(result, Tensor):
            raise Failure(f"returns a {type(result).__name__}, not a tensor")
        if result.shape != vectors.shape[1:]:
            raise Failure(
                f"returns shape {tuple(result.shape)} for (n, {vectors.shape[1]}) vectors"
            )
        return result

    def answers(self, vectors: Tensor, f: int) -> bool:
        """Whether it does anything but raise."""
        try:
            self(vectors, f)
        except Failure:
            raise
        except Exception:
            return False
        return True

    @property
    def reach(self) -> float:
        """How far from the honest mean f liars may drag it, in honest diameters: 2n / (n−2f).

        Every published rule stays well below (the geometric median at half of it), and a rule that
        can be dragged anywhere goes far beyond.
        """
        return 2 * self.n / (self.n - 2 * self.f)
