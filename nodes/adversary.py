"""A node of a roster that lies as the experiment says: `python -m nodes.adversary --help`."""

import sys

from nodes.process import main

if __name__ == "__main__":
    sys.exit(main("adversary"))
