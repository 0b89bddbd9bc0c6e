"""Train PyTorch models with replicated parameter servers and workers, some of which may lie.

    import byzsgd

    experiment = byzsgd.load("file.toml", overrides={"plan.steps": 50})
    run = byzsgd.simulate(experiment)       # one process, virtual time: one seed, one run.digest
    run = byzsgd.run(experiment)            # one process per node on this machine
    byzsgd.sweep("sweep.toml", quiet=False) # what is missing of all combinations of variants
    run.accuracy, run.steps, run.diameter, run.path
    run.model()                             # the median model, a torch.nn.Module

Nothing is imported before it is used: torch takes seconds.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from byzsgd import errors
    from byzsgd.experiment.config import Experiment, load
    from byzsgd.experiment.launch import run
    from byzsgd.experiment.results import Run
    from byzsgd.experiment.simulate import simulate
    from byzsgd.experiment.sweep.launch import sweep

    __version__: str

__all__ = ["Experiment", "Run", "__version__", "errors", "load", "run", "simulate", "sweep"]

_HOMES: Final = {
    "Experiment": "byzsgd.experiment.config",
    "Run": "byzsgd.experiment.results",
    "load": "byzsgd.experiment.config",
    "run": "byzsgd.experiment.launch",
    "simulate": "byzsgd.experiment.simulate",
    "sweep": "byzsgd.experiment.sweep.launch",
}


def __getattr__(name: str) -> Any:
    if name == "__version__":
        from byzsgd.experiment.environment import version_of

        return version_of("byzsgd") or "unknown"
    if name == "errors":
        return import_module("byzsgd.errors")
    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'byzsgd' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
