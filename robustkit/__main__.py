"""`python -m robustkit`: the same as the `robustkit` command."""

import os
import sys

# `python -m` looks for every package in the folder one stands in first, where a download may hold a timm.py.
if sys.path[0] == os.getcwd() != os.path.dirname(os.path.dirname(os.path.abspath(__file__))):
    del sys.path[0]

from robustkit.cli import main

if __name__ == "__main__":
    main()
