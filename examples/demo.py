"""From nothing to an attacked classifier: simulate galaxies, train on them, attack 150 test images.

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
    """The three commands of the demo, as their arguments."""
    galaxies, model, run = (shlex.quote(str(folder / name)) for name in ("galaxies", "ckpt.pt", "attack"))
    lines = [
        f"simulate --n 1200 --survey lsst --years 10 1 --seed 0 --out {galaxies}",
        f"train --data {galaxies} --network convnet --epochs 30 --seed 0 --out {model}",
        f"attack --model {model} --n 150 --out {run}",
    ]
    return [shlex.split(line) for line in lines]


def main(folder: Path) -> None:
    """Runs the commands and says where the results are."""
    began = time.monotonic()
    for arguments in commands(folder):
        print(f"\n$ robustkit {shlex.join(arguments)}", flush=True)
        started = time.monotonic()
        subprocess.run([sys.executable, "-m", "robustkit", *arguments], check=True)
        print(f"({time.monotonic() - started:.0f} s)", flush=True)
    print(f"\nDone in {time.monotonic() - began:.0f} s. Tables and pictures:")
    for path in sorted((folder / "attack").iterdir()):
        if path.suffix in {".csv", ".json", ".png"}:
            print(f"  {path}")


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "demo"))
