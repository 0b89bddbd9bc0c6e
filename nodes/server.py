"""One honest parameter server of a roster: `python -m nodes.server --help`."""

import sys

from nodes.process import main

if __name__ == "__main__":
    sys.exit(main("server"))
