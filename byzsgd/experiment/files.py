"""The files of a run's directory: what each is called, and how it is written and read.

    experiment.json  environment.json  result.json     one object each
    assumptions.json  potency.json  suspicion.json     see `byzsgd.experiment.findings.find`
    evaluations.jsonl  events.jsonl  nodes/NODE.jsonl  one object a line, appended
    deliveries/NODE.jsonl                              see `byzsgd.experiment.deliveries`
    models/NODE/00000300.safetensors                   a server's parameters, under the key `params`
                                                       and `memory.…` in its last, if it has any
    logs/NODE.log                                      what the node's process said

Whole files appear in one piece or not at all; of appended ones the last line may be cut off.
"""

import json
import math
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, Self

from byzsgd.cluster import NodeId
from byzsgd.errors import ConfigError

if TYPE_CHECKING:
    from torch import Tensor

    from byzsgd.protocol import Save

PENDING: Final = ".pending"
ASSUMPTIONS: Final = "assumptions.json"
POTENCY: Final = "potency.json"
SUSPICION: Final = "suspicion.json"
MEMORY: Final = "memory."


def measures_path(run: Path, node: NodeId | str) -> Path:
    return run / "nodes" / f"{node}.jsonl"


def log_path(run: Path, node: NodeId | str) -> Path:
    return run / "logs" / f"{node}.log"


def model_path(run: Path, node: NodeId | str, step: int) -> Path:
    return run / "models" / str(node) / f"{step:08d}.safetensors"


def saved_steps(run: Path, node: NodeId | str) -> list[int]:
    """The steps, ascending, of which there is a model of this server."""
    names = [path.stem for path in (run / "models" / str(node)).glob("*.safetensors")]
    return sorted(int(name) for name in names if name.isdecimal())


def save_model(
    path: Path, step: int, params: "Tensor", memory: "Mapping[str, Tensor] | None" = None
) -> None:
    """Write (d,) float32 `params` so that a reader, or a crash, never meets half of them.

    The `memory` that a server keeps besides is in the same file: there is never one without the
    other.
    """
    from safetensors.torch import save_file  # unlike `save` it does not hold up other threads

    named = {"params": params, **{MEMORY + name: kept for name, kept in (memory or {}).items()}}
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in named.items()}
    with replacing(path) as temporary:
        save_file(tensors, temporary, metadata={"step": str(step)})


def save_checkpoint(run: Path, node: NodeId, saved: "Save") -> None:
    """What a server goes on from after a crash."""
    save_model(model_path(run, node, saved.step), saved.step, saved.params, saved.memory)


def drop_old_memory(run: Path, node: NodeId) -> None:
    """Only the last checkpoint needs it, and with SafeguardSGD it is many times a model's size.

    For whoever keeps all models, and alone writes and removes files here.
    """
    for before in saved_steps(run, node)[-2:-1]:
        path = model_path(run, node, before)
        if load_memory(path):
            save_model(path, before, load_model(path))


def load_model(path: Path) -> "Tensor":
    """The (d,) parameters in a file of `save_model`. Raises `ConfigError` for a damaged one."""
    import torch

    params = _tensors(path, lambda name: name == "params").get("params")
    if params is None:
        raise ConfigError(f"{path}: no sound model (there are no params in it)")
    if params.dtype != torch.float32 or params.ndim != 1:
        shape = tuple(params.shape)
        raise ConfigError(f"{path}: {params.dtype} of shape {shape} is no float32 vector")
    return params


def load_memory(path: Path) -> "dict[str, Tensor] | None":
    """What `save_model` was given besides the parameters. Raises `ConfigError` as `load_model`."""
    kept = _tensors(path, lambda name: name.startswith(MEMORY))
    return {name.removeprefix(MEMORY): tensor for name, tensor in kept.items()} or None


def _tensors(path: Path, wanted: Callable[[str], bool]) -> "dict[str, Tensor]":
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, "pt") as file:
            names = list(file.keys())
            return {name: file.get_tensor(name) for name in names if wanted(name)}
    except (OSError, SafetensorError) as error:
        raise ConfigError(f"{path}: no sound model ({type(error).__name__}: {error})") from None


class Closing:
    """Whatever is closed at the end of a `with`."""

    def close(self) -> None:
        raise NotImplementedError

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


class Lines(Closing):
    """Appends one JSON object a line; each is in the file when `write` returns."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file = path.open("a", buffering=1, encoding="utf-8")

    def write(self, **values: Any) -> None:
        self._file.write(to_json(values) + "\n")

    def close(self) -> None:
        self._file.close()


def read_lines(path: Path) -> list[dict[str, Any]]:
    """All whole lines of a `Lines` file; none where there is no file."""
    if not path.exists():
        return []
    lines = path.read_text(encoding="utf-8", errors="replace").split("\n")
    # what follows the last line break was cut off while it was written
    return [_object(f"{path}:{number}", line) for number, line in enumerate(lines[:-1], start=1)]


def without_cut_line(path: Path) -> None:
    """End a file of lines with a whole one, so that another process may append to it."""
    if path.exists():
        with path.open("rb+") as file:
            file.truncate(file.read().rfind(b"\n") + 1)


def write_json(path: Path, values: Mapping[str, Any]) -> None:
    write_atomically(path, (to_json(values, indent=2) + "\n").encode())


def read_json(path: Path) -> dict[str, Any]:
    try:
        text = path.read_bytes().decode(errors="replace")
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}") from None
    return _object(str(path), text)


def read_optional(path: Path) -> dict[str, Any]:
    """Empty where there is no such file, as in records of before there was one."""
    return read_json(path) if path.is_file() else {}


def write_atomically(path: Path, data: bytes) -> None:
    with replacing(path) as temporary:
        temporary.write_bytes(data)


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A file to write to, which takes the place of `path` once all of it is on the disk."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    yield temporary
    with temporary.open("rb") as file:
        os.fsync(file.fileno())
    os.replace(temporary, path)


def to_json(value: Any, indent: int | None = None) -> str:
    """JSON that every reader knows: a number that is not finite becomes null."""
    try:
        return json.dumps(value, indent=indent, allow_nan=False)
    except ValueError:
        return json.dumps(_finite(value), indent=indent, allow_nan=False)


def _finite(value: Any) -> Any:
    match value:
        case float():
            return value if math.isfinite(value) else None
        case Mapping():
            return {key: _finite(item) for key, item in value.items()}
        case list() | tuple():
            return [_finite(item) for item in value]
        case _:
            return value


def _object(place: str, text: str) -> dict[str, Any]:
    try:
        value = json.loads(text)
    except json.JSONDecodeError as error:
        raise ConfigError(f"{place}: is no JSON: {error}") from None
    if not isinstance(value, dict):
        raise ConfigError(f"{place}: is no JSON object")
    return value
