"""The zygote: imports torch once, then forks every process of a local run.

    python -m nodes.launch < run.json

The launcher starts it, with one socket for each child to inherit, and reads from its standard
output, a line of JSON each, which child has which process and how each ended. A forked process
costs milliseconds and shares the libraries' memory; a started one costs seconds.
"""

import gc
import json
import os
import sys
from typing import Any

from byzsgd.experiment.child import child


def main() -> None:
    common = json.load(sys.stdin)
    gc.freeze()  # or the collector would touch, and so copy, every page of the parent
    names = {_fork(spec, common): spec["name"] for spec in common["children"]}
    for spec in common["children"]:
        os.close(spec["fd"])
    for pid, name in names.items():
        _tell("forked", name=name, pid=pid)
    while names:
        pid, status = os.wait()
        _tell("exited", name=names.pop(pid), code=os.waitstatus_to_exitcode(status))


def _fork(spec: dict[str, Any], common: dict[str, Any]) -> int:
    pid = os.fork()
    if pid:
        return pid
    code = 1
    try:
        for other in common["children"]:
            if other["fd"] != spec["fd"]:
                os.close(other["fd"])
        code = child(spec, common)
    finally:
        os._exit(code)  # the child must not return into the parent's loop


def _tell(kind: str, **details: object) -> None:
    print(json.dumps({"kind": kind, **details}), flush=True)


if __name__ == "__main__":
    main()
