"""The latent-space figures and tables of Ciprijanovic et al. 2022, redone for simulated data.

    python examples/04_latent_space.py base.pt adapted.pt latent-space [--n 150]

takes two checkpoints that were trained on the same galaxies, one on one depth and one adapted to the other:

    robustkit simulate --n 1200 --survey lsst --years 10 1 --seed 0 --out galaxies
    robustkit train --data galaxies --network convnet --stretch lupton --seed 0 --out base.pt
    robustkit train --data galaxies --network convnet --stretch lupton --method mmd --seed 0 --out adapted.pt

Figure 3: church window and Isomap of one triplet, Figure 4: Isomaps in three dimensions, Figure 5: more windows,
Figure 6 and Tables 3 and 5: distances of both models. Figures 3 to 5 mark the same images for both models, chosen by a
rule that is printed. Every step is one `robustkit` command, printed before it runs.
"""

from __future__ import annotations

import argparse
import shlex
import subprocess
import sys
from pathlib import Path

from robustkit.findings.windows.record import Windows
from robustkit.latent import Embeddings
from robustkit.reproduce.latents import RULE, chosen


def run(*arguments: object) -> None:
    """Runs a robustkit command."""
    words = [str(argument) for argument in arguments]
    print(f"\n$ robustkit {shlex.join(words)}", flush=True)
    subprocess.run([sys.executable, "-m", "robustkit", *words], check=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("base", type=Path)
    parser.add_argument("adapted", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--n", type=int, default=150, help="test images to attack")
    options = parser.parse_args()
    options.out.mkdir(parents=True)
    models = {"base": options.base, "adapted": options.adapted}
    attacks = {name: options.out / f"attack-{name}" for name in models}
    for name, model in models.items():
        run("attack", "--model", model, "--n", options.n, "--search", "de", "--out", attacks[name])
        run("window", "--model", model, "--run", attacks[name], "--colours", "paper", "--out", options.out / name)
    images = chosen(*(Windows.load(options.out / name / "windows.npz") for name in models))
    if not images:
        sys.exit("no image was flipped in both models; attack more with --n")
    print(f"\nFigures 3 and 5 show {', '.join(images)}: {RULE}")
    marked = [word for image in images for word in ("--image", image)]
    for name, model in models.items():
        figure = options.out / f"figure-5-{name}"
        run("window", "--model", model, "--run", attacks[name], "--colours", "paper", *marked, "--out", figure)
    adapted = ["--model", options.adapted, "--run", attacks["adapted"]]
    against = ["--base", options.base, "--base-run", attacks["base"]]
    run("isomap", *adapted, *against, *marked, "--colours", "paper", "--out", options.out / "figures-3-and-4-maps")
    run("distances", *adapted, *against, "--out", options.out / "figure-6-and-tables")
    for name in models:
        noise = Embeddings.load(options.out / name / "embeddings.npz").noise
        print(f"{name}: noisy versions are {noise}")
    windows = " and ".join(str(options.out / f"figure-5-{name}") for name in models)
    print(f"\nFigure 3, left: the first window in {windows}")
    print(f"Figure 3, right, and Figure 4: {options.out / 'figures-3-and-4-maps'}")
    print(f"Figure 5: gallery.pdf in {windows}")
    print(f"Figure 6, Tables 3 and 5: {options.out / 'figure-6-and-tables'}")


if __name__ == "__main__":
    main()
