"""One node of a roster that lies as its experiment says: for fault injection: `python -m nodes.adversary --help`."""

import sys

from nodes.process import main

if __name__ == "__main__":
    sys.exit(main("adversary"))
