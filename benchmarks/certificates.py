"""Certificates of small random networks whose boundary is put where the nearest cell is, held against brute force.

Each network is run alone on every cell of one image, and its boundary is then moved to within 0.0001 of the most
dangerous cell, on either side of it or onto it; for those that answer in steps, within one step.

    python -m benchmarks.certificates
"""

from __future__ import annotations

import argparse

import numpy as np
import torch

from robustkit.findings.certify.measure import certify
from tests.perturb.planted import KINDS, VALUES, world

WORDS = {
    "offset": "batch norm with a running mean of 1,000",
    "stepped": "logits in steps of 0.05",
    "inside": "features rounded to 1/16",
    "needle": "one pixel in a corner, large numbers cancel",
    "tie": "whole numbers, exact ties",
    "smooth": "convolution, batch norm, dense layer",
    "graph": "a black box, logits in steps of 0.05",
}


def held_against_brute_force(kind: str, seeds: range) -> list[int]:
    """How many networks were tried, flipped, certified, too near, certified falsely, counted otherwise."""
    counts = np.zeros(6, dtype=int)
    for seed in seeds:
        made = world(kind, seed)
        if made is None:
            continue
        record = certify(made.classifier, made.image, torch.tensor([made.label]), values=VALUES, ids=["one"])
        flips, certified = bool(made.flips.any()), bool(record.certified[0])
        other = bool((record.flips_map[0] != made.flips).any())
        counts += [1, flips, certified, bool(record.too_near[0]), certified and flips, other]
    return counts.tolist()


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--small", action="store_true", help="a few networks of each kind")
    seeds = range(1000, 1004 if parser.parse_args().small else 1180)
    print("| network | tried | flippable | certified | too near | certified falsely | counted otherwise |")
    print("|---|---|---|---|---|---|---|")
    total = np.zeros(6, dtype=int)
    for kind in KINDS:
        counts = held_against_brute_force(kind, seeds)
        total += counts
        print(f"| {WORDS[kind]} | {' | '.join(map(str, counts))} |", flush=True)
    print(f"| all | {' | '.join(map(str, total))} |")


if __name__ == "__main__":
    main()
