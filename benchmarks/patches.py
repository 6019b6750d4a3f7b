"""Occlusion maps by the engine beside full forward passes, the same patches in one run.

python -m benchmarks.patches [--networks convnet resnet18] [--size 100] [--rounds 3] [--small]
"""

from __future__ import annotations

import argparse
import statistics
import time

import torch

import robustkit as rk

NETWORKS = {"convnet": rk.ConvNet, "resnet18": rk.ResNet18, "deepmerge": rk.DeepMerge}
PATCH, STRIDE = 8, 4


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--networks", nargs="+", default=["convnet", "resnet18"], choices=NETWORKS)
    parser.add_argument("--size", type=int, default=100)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--small", action="store_true", help="ConvNet of 40 pixels, once.")
    options = parser.parse_args()
    if options.small:
        options.networks, options.size, options.rounds = ["convnet", "deepmerge"], 40, 1
    print(f"| network | patches of {PATCH}x{PATCH} | forward passes, s | engine, s | ratio | largest difference |")
    print("|---|---|---|---|---|---|")
    for name in options.networks:
        torch.manual_seed(0)
        network = NETWORKS[name](size=(options.size, options.size)).eval()
        image = torch.rand(1, 3, options.size, options.size)
        ways = {engine: rk.evaluator(network, image, engine=engine) for engine in ("plain", "auto")}
        maps = {engine: way.occlusion(PATCH, stride=STRIDE, value=0.5) for engine, way in ways.items()}  # and warm up
        seconds: dict[str, list[float]] = {engine: [] for engine in ways}
        for _ in range(options.rounds):
            for engine, way in ways.items():
                began = time.perf_counter()
                way.occlusion(PATCH, stride=STRIDE, value=0.5)
                seconds[engine].append(time.perf_counter() - began)
        plain, ours = (statistics.median(seconds[engine]) for engine in ("plain", "auto"))
        apart = float((maps["plain"] - maps["auto"]).abs().max())
        count = maps["plain"].shape[1] * maps["plain"].shape[2]
        print(f"| {name} | {count:,} | {plain:.2f} | {ours:.3f} | {plain / ours:.1f} | {apart:.1e} |", flush=True)


if __name__ == "__main__":
    main()
