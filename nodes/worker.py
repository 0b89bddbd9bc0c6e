"""One honest worker of a roster: `python -m nodes.worker --help`."""

import sys

from nodes.process import main

if __name__ == "__main__":
    sys.exit(main("worker"))
