"""What a process of a local run does once the zygote has forked it.

A child has a channel to the launcher and a log file. It leaves when the launcher says so or is
gone, whatever happens.
"""

import ctypes
import faulthandler
import os
import signal
import socket
import sys
import traceback
from pathlib import Path
from typing import Any

import uvloop

from byzsgd.errors import ConfigError
from byzsgd.experiment.channel import Channel, Word
from byzsgd.experiment.config import Experiment
from byzsgd.experiment.evaluator import evaluator
from byzsgd.experiment.local_node import local_node

PR_SET_PDEATHSIG = 1


def child(spec: Word, common: Word) -> int:
    """Run one node, or the evaluator. Returns the exit code.

    A spare is there for a node that will have crashed: it waits to be told that its time has come.
    """
    _detach(Path(spec["log"]))
    channel = Channel(socket.socket(fileno=spec["fd"]))
    try:
        experiment = Experiment.from_dict(common["experiment"])
        if spec["name"] == "evaluator":
            evaluator(experiment, channel)
        elif not spec["spare"]:
            uvloop.run(local_node(experiment, spec, common, channel))
        elif (word := channel.hear()) and word["kind"] == "roster":
            uvloop.run(local_node(experiment, spec, common, channel, word))
    except ConfigError as error:
        channel.say("failed", error=str(error), config=True)
        return 2
    except BaseException as error:
        traceback.print_exc()
        channel.say("failed", error=f"{type(error).__name__}: {error}", config=False)
        return 1
    return 0


def _detach(log: Path) -> None:
    """A process group of its own, output to the log, and death with the zygote."""
    os.setpgid(0, 0)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the launcher's to pass on
    if sys.platform.startswith("linux"):
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    log.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    for standard in (1, 2):
        os.dup2(descriptor, standard)
    sys.stdout = sys.stderr = _unbuffered()
    faulthandler.enable()


def _unbuffered() -> Any:
    return os.fdopen(2, "w", buffering=1, closefd=False)
