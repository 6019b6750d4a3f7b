"""Training and repair over several seeds: what the complete search still flips, on every domain.

Each seed trains with `robustkit train --pixels worst:8 --pixel-share 0.5`, with `--front` behind a front end, and with
`--repair` a front end is put before the trained network. The complete search follows through it, over every pixel and
every corner, of the first images that the model classifies correctly. What was trained or measured is kept in the
folder and not made again, so that the same command continues after a stop. At the end it prints the table of all that
is there, with the seeds pooled in the last line of each domain.

    python -m benchmarks.remedies --data demo/galaxies --name galaxies --repair clip --out remedies
    python -m benchmarks.remedies --data radio.npz --name radio --front clip --epochs 12 --out remedies
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import torch

from benchmarks.remedy import measure
from robustkit.runs.opening import open_sample
from robustkit.runs.selection import Selection
from robustkit.stats import wilson

TRAINING = ("--pixels", "worst:8", "--pixel-share", "0.5", "--device", "cpu", "--resume")


def train(data: Path, front: str, stretch: str | None, epochs: int, seed: int, out: Path) -> None:
    """Trains one seed, unless it is there."""
    if out.exists():
        return
    behind = () if front == "none" else ("--front", front)
    behind += ("--stretch", stretch) if stretch else ()
    options = ("--data", str(data), "--epochs", str(epochs), "--seed", str(seed), "--out", str(out))
    subprocess.run([sys.executable, "-m", "robustkit", "train", *options, *TRAINING, *behind], check=True)


def search(model: Path, data: Path, repair: str, n: int) -> dict[str, Any]:
    """Accuracy of all test images of a domain, and what the complete search finds of the first `n` right ones."""
    sample = open_sample(str(model), Selection(n=100_000, take_all=True, data=str(data)), say=lambda line: None)
    line = measure(sample, [], repair, "corners", n, float("inf"), pairs=False)
    return line | {"accuracy": line["accuracy"][sample.path.name]["rate"]}


def main() -> None:
    """Trains, measures, keeps, and prints the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--data", type=Path, required=True, help="simulated galaxies at several depths, or an image set"
    )
    parser.add_argument("--name", required=True, help="of the data, in the table")
    parser.add_argument("--front", default="none", help="that the network is trained behind")
    parser.add_argument("--repair", default="none", help="a front end that is put before the trained network")
    parser.add_argument("--stretch", help="default: that of `robustkit train`")
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--n", type=int, default=120, help="right images of each domain")
    parser.add_argument("--minutes", type=float, default=float("inf"), help="no seed is begun after so many")
    parser.add_argument("--out", type=Path, default=Path("remedies"))
    given = parser.parse_args()
    torch.set_num_threads(1)
    given.out.mkdir(parents=True, exist_ok=True)
    kept, began = given.out / "remedies.jsonl", time.monotonic()
    lines = [json.loads(line) for line in kept.read_text().splitlines()] if kept.exists() else []
    depths = given.data / "galaxies.json"
    domains = json.loads(depths.read_text())["depths"] if depths.exists() else [""]
    asked = {"data": given.name, "front": given.front, "repair": given.repair, "epochs": given.epochs, "n": given.n}
    asked |= {"stretch": given.stretch} if given.stretch else {}
    for seed in range(given.seeds):
        model = given.out / f"{given.name}-{given.front.replace(':', '')}-{seed}.pt"
        for domain in domains:
            about = asked | {"seed": seed, "domain": domain}
            if any(about.items() <= line.items() for line in lines):
                continue
            if time.monotonic() - began > 60 * given.minutes:
                break
            train(given.data, given.front, given.stretch, given.epochs, seed, model)
            lines.append(search(model, given.data / domain if domain else given.data, given.repair, given.n) | about)
            with kept.open("a") as file:
                file.write(json.dumps(lines[-1]) + "\n")
    print(
        "| data | trained behind, repaired by | seed | accuracy | flipped | certified | processor seconds per image |"
    )
    print("|---|---|---|---|---|---|---|")
    for domain in domains:
        some = [line for line in lines if (asked | {"domain": domain}).items() <= line.items()]
        start = f"| {given.name} {domain}".rstrip() + f" | `{given.front}`, `{given.repair}` | "
        for line in sorted(some, key=lambda line: line["seed"]):
            flips = f"{line['flipped']}/{line['right']} = {line['rate']}"
            cost = f"{line['seconds_per_image']:.2f}"
            print(f"{start}{line['seed']} | {line['accuracy']} | {flips} | {line['certified']} | {cost} |")
        flipped, right = (sum(line[key] for line in some) for key in ("flipped", "right"))
        certified = sum(line["certified"] for line in some)
        if right:
            pooled = f"{flipped}/{right} = {wilson(flipped, right)}"
            print(f"{start}all {len(some)} | | {pooled} | {certified} | |")


if __name__ == "__main__":
    main()
