"""The experimenter's own code, by name: `package.module:function`."""

import importlib
import os
import sys
from collections.abc import Callable
from typing import Any

from byzsgd.errors import ConfigError


def is_path(name: str) -> bool:
    return ":" in name


def load_object(kind: str, path: str) -> Callable[..., Any]:
    """The function that `path` (`package.module:function`) names.

    The current working directory is searched last, so a file there hides no installed package.

    Raises ConfigError saying what was tried.
    """
    module_name, _, name = path.partition(":")
    if not all(part.isidentifier() for part in [*module_name.split("."), name]):
        raise ConfigError(f"{kind} {path!r} is not of the form package.module:function")
    module = _module(kind, path, module_name)
    try:
        found = getattr(module, name)
    except AttributeError:
        where = getattr(module, "__file__", None) or module_name
        raise ConfigError(f"{kind} {path!r}: there is no {name!r} in {where}") from None
    if not callable(found):
        raise ConfigError(f"{kind} {path!r} is {type(found).__name__}, not a function")
    return found  # type: ignore[no-any-return]


def _module(kind: str, path: str, module_name: str) -> object:
    here = os.getcwd()
    if here not in sys.path:
        sys.path.append(here)
    try:
        return importlib.import_module(module_name)
    except Exception as error:
        # whatever the experimenter's file raises while it is read is theirs to see
        raise ConfigError(
            f"{kind} {path!r}: cannot import {module_name!r} (from {here} or the Python path): "
            f"{type(error).__name__}: {error}"
        ) from error
