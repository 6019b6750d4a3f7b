"""From nothing to an audit: simulate galaxies, train a network on deep images, adapt one to shallow ones, audit both.

    python examples/demo.py demo

Every step is one `robustkit` command, printed before it runs, so that it can be repeated with other settings.
"""

from __future__ import annotations

import shlex
import subprocess
import sys
import time
from pathlib import Path


def commands(folder: Path) -> list[list[str]]:
    """The commands of the demo, as their arguments."""
    names = ("galaxies", "source.pt", "mmd.pt", "audit")
    galaxies, source, mmd, audit = (shlex.quote(str(folder / name)) for name in names)
    lines = [
        f"simulate --n 1200 --survey lsst --years 10 1 --seed 0 --out {galaxies}",
        f"train --data {galaxies} --network convnet --epochs 20 --seed 0 --out {source}",
        f"train --data {galaxies} --network convnet --method mmd --epochs 20 --seed 0 --out {mmd}",
        f"audit --model {mmd} --base {source} --quick --n 150 --out {audit}",
    ]
    return [shlex.split(line) for line in lines]


def main(folder: Path) -> None:
    """Runs the commands and says where the page is."""
    began = time.monotonic()
    for arguments in commands(folder):
        print(f"\n$ robustkit {shlex.join(arguments)}", flush=True)
        started = time.monotonic()
        subprocess.run([sys.executable, "-m", "robustkit", *arguments], check=True)
        print(f"({time.monotonic() - started:.0f} s)", flush=True)
    print(f"\nDone in {time.monotonic() - began:.0f} s. Open this page in a browser:")
    print(f"  {folder / 'audit' / 'report.html'}")


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "demo"))
