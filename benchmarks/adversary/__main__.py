"""`python -m benchmarks.adversary [PRESET…] [--quick] [--runs DIR] [--out DIR]`."""

import argparse
from pathlib import Path
from typing import Final

from benchmarks.adversary import (
    alie,
    backdoor,
    both_sides,
    hidden_vulnerability,
    momentum,
    safeguard,
)
from benchmarks.adversary.preset import Preset
from benchmarks.adversary.running import StoppedError, perform
from byzsgd.runtime.malloc import keep_freed_memory

FILES: Final = (alie, backdoor, hidden_vulnerability, momentum, safeguard, both_sides)
PRESETS: Final[dict[str, Preset]] = {file.PRESET.name: file.PRESET for file in FILES}


def main() -> None:
    options = _options()
    keep_freed_memory()
    try:
        for name in options.presets or PRESETS:
            text = perform(PRESETS[name], options.runs, options.quick)
            print(text, flush=True)
            if options.out:
                options.out.mkdir(parents=True, exist_ok=True)
                (options.out / f"{name}.md").write_text(text)
    except StoppedError:
        raise SystemExit("interrupted; start it again to go on") from None


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.adversary", description=__doc__)
    names = ", ".join(PRESETS)
    parser.add_argument("presets", nargs="*", metavar="PRESET", help=f"of {names}; all by default")
    parser.add_argument("--quick", action="store_true", help="a look, too short for any verdict")
    parser.add_argument("--runs", type=Path, default=Path("runs"), help="where records go")
    parser.add_argument("--out", type=Path, help="where each preset's report goes as well")
    options = parser.parse_args()
    if unknown := [name for name in options.presets if name not in PRESETS]:
        parser.error(f"there is no preset {', '.join(unknown)}: there are {names}")
    return options


if __name__ == "__main__":
    main()
