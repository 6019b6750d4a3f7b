"""Occlusion maps by the engine beside full forward passes, and captum's where it is there, the same patches in one run.

python -m benchmarks.patches [--networks convnet resnet18] [--size 100] [--stride 4] [--rounds 3] [--threads 1]
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from contextlib import suppress

import torch

import robustkit as rk

NETWORKS = {"convnet": rk.ConvNet, "resnet18": rk.ResNet18, "deepmerge": rk.DeepMerge}
PATCH, BATCH = 8, 64


def captums(network: torch.nn.Module, image: torch.Tensor, stride: int) -> Callable[[], object] | None:
    """The same patches by captum's Occlusion, if it is installed; captum needs no other package than torch here."""
    with suppress(ImportError):
        from captum.attr import Occlusion  # pyright: ignore[reportMissingImports]

        shape, steps = (image.shape[1], PATCH, PATCH), (image.shape[1], stride, stride)
        occlusion = Occlusion(network)
        return lambda: occlusion.attribute(
            image, sliding_window_shapes=shape, strides=steps, baselines=0.5, target=0, perturbations_per_eval=BATCH
        )
    return None


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--networks", nargs="+", default=["convnet", "resnet18"], choices=NETWORKS)
    parser.add_argument("--size", type=int, default=100)
    parser.add_argument("--stride", type=int, default=4)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--small", action="store_true", help="ConvNet of 40 pixels, once.")
    options = parser.parse_args()
    if options.small:
        options.networks, options.size, options.rounds = ["convnet", "deepmerge"], 40, 1
    torch.set_num_threads(options.threads)
    print(f"| network | patches of {PATCH}x{PATCH} | captum, s | forward passes, s | engine, s | ratio | difference |")
    print("|---|---|---|---|---|---|---|")
    for name in options.networks:
        torch.manual_seed(0)
        network = NETWORKS[name](size=(options.size, options.size)).eval()
        image = torch.rand(1, 3, options.size, options.size)
        ways = {engine: rk.evaluator(network, image, engine=engine) for engine in ("plain", "auto")}

        def map_of(engine: str, ways: dict[str, rk.PatchEvaluator] = ways) -> torch.Tensor:
            return ways[engine].occlusion(PATCH, stride=options.stride, value=0.5)

        calls: dict[str, Callable[[], object]] = {engine: lambda engine=engine: map_of(engine) for engine in ways}
        maps = {engine: map_of(engine) for engine in ways}  # and warm up
        if (peer := captums(network, image, options.stride)) is not None:
            calls["captum"] = peer
        seconds: dict[str, list[float]] = {engine: [] for engine in calls}
        for _ in range(options.rounds):
            for engine, call in calls.items():
                began = time.perf_counter()
                call()
                seconds[engine].append(time.perf_counter() - began)
        spent = {engine: statistics.median(taken) for engine, taken in seconds.items()}
        apart = float((maps["plain"] - maps["auto"]).abs().max())
        count = maps["plain"].shape[1] * maps["plain"].shape[2]
        other = f"{spent['captum']:.2f}" if "captum" in spent else ""
        times = f"{other} | {spent['plain']:.2f} | {spent['auto']:.3f} | {spent['plain'] / spent['auto']:.1f}"
        print(f"| {name} | {count:,} | {times} | {apart:.1e} |", flush=True)


if __name__ == "__main__":
    main()
