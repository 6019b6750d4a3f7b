"""From nothing to an audit: simulate galaxies, train a network on deep images, adapt one to shallow ones, audit both.

    python examples/01_demo.py demo

Every step is one `robustkit` command, printed before it runs, so that it can be repeated with other settings.
"""

from __future__ import annotations

import argparse
import shlex
import subprocess
import sys
import time
from pathlib import Path


def commands(folder: Path, *, n: int = 1200, epochs: int = 20, attacked: int = 120) -> list[list[str]]:
    """The commands of the demo, as their arguments."""
    names = ("galaxies", "source.pt", "mmd.pt", "audit")
    galaxies, source, mmd, audit = (shlex.quote(str(folder / name)) for name in names)
    # The default stretch is nearly linear up to the brightest pixel: noise, and light near it, are hidden under it.
    learn = f"train --data {galaxies} --network convnet --stretch lupton"
    lines = [
        f"simulate --n {n} --survey lsst --years 10 1 --seed 0 --out {galaxies}",
        f"{learn} --epochs {epochs} --seed 0 --out {source}",
        f"{learn} --method mmd --epochs {epochs} --seed 0 --out {mmd}",
        f"audit --model {mmd} --base {source} --quick --remedy --n {attacked} --out {audit}",
    ]
    return [shlex.split(line) for line in lines]


def main() -> None:
    """Runs the commands and says where the page is."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, nargs="?", default=Path("demo"))
    parser.add_argument("--n", type=int, default=1200, help="galaxies")
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--attacked", type=int, default=120, help="test images to audit on")
    options = parser.parse_args()
    folder, began = options.folder, time.monotonic()
    for arguments in commands(folder, n=options.n, epochs=options.epochs, attacked=options.attacked):
        print(f"\n$ robustkit {shlex.join(arguments)}", flush=True)
        started = time.monotonic()
        subprocess.run([sys.executable, "-m", "robustkit", *arguments], check=True)
        print(f"({time.monotonic() - started:.0f} s)", flush=True)
    print(f"\nDone in {time.monotonic() - began:.0f} s. Open this page in a browser:")
    print(f"  {folder / 'audit' / 'report.html'}")


if __name__ == "__main__":
    main()
