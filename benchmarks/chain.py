"""Candidates per second on chains: the fast path beside the best plain forward passes, medians of rounds in turn.

    python benchmarks/chain.py [--threads 2] [--rounds 7] [--images 20]

The machine's other work shifts all rows alike, so read the ratios, which are to the best plain row of the same run.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable

import torch
from torch import Tensor
from torch.fx.experimental.optimization import fuse

from robustkit.engine import Candidates, IncrementalEvaluator, paint
from robustkit.models import NETWORKS, AuditedClassifier


def classifier_for(name: str, size: int) -> AuditedClassifier:
    torch.manual_seed(0)
    network = NETWORKS[name](size=(size, size)).train()
    with torch.no_grad():  # batch norm statistics of images like galaxies
        for _ in range(10):
            network(galaxies(32, size))
    return AuditedClassifier(network.eval(), input_shape=(3, size, size))


def galaxies(n: int, size: int) -> Tensor:
    generator = torch.Generator().manual_seed(1)
    y, x = torch.meshgrid(torch.linspace(-1, 1, size), torch.linspace(-1, 1, size), indexing="ij")
    shape = torch.rand(n, 3, 4, 1, 1, generator=generator)
    away = [(at - (shape[:, :, i] - 0.5) * 0.3) / (shape[:, :, i + 1] * 0.3 + 0.05) for i, at in ((0, x), (2, y))]
    light = torch.exp(-2 * (away[0] ** 2 + away[1] ** 2).sqrt())
    return (0.8 * light + 0.05 + 0.03 * torch.randn(n, 3, size, size, generator=generator)).clamp(0, 1)


def candidates_for(images: Tensor, each: int) -> Candidates:
    generator = torch.Generator().manual_seed(2)
    n, bands, height, width = images.shape
    row = torch.randint(height, (n, each, 1), generator=generator)
    column = torch.randint(width, (n, each, 1), generator=generator)
    value = torch.rand(n, each, 1, bands, generator=generator)
    return Candidates(torch.arange(n), row, column, value)


def all_corners(images: Tensor) -> Candidates:
    """Every pixel of the first image times the 2^C corners of [0, 1]."""
    bands, height, width = images.shape[1:]
    corner = (torch.arange(2**bands)[:, None] >> torch.arange(bands) & 1).float()
    row, column, index = torch.meshgrid(
        torch.arange(height), torch.arange(width), torch.arange(2**bands), indexing="ij"
    )
    return Candidates(
        torch.zeros(1, dtype=torch.int64),
        row.reshape(1, -1, 1),
        column.reshape(1, -1, 1),
        corner[index.flatten()][None, :, None],
    )


def plain_ways(classifier: AuditedClassifier, images: Tensor) -> dict[str, tuple[int, Callable[[], object]]]:
    few = candidates_for(images, 1)
    batch = paint(images, few.row[:, 0], few.column[:, 0], few.value[:, 0])
    batch = batch.repeat(-(-256 // len(batch)), 1, 1, 1)[:256]
    last = batch.contiguous(memory_format=torch.channels_last)
    folded = fuse(classifier.module).eval().to(memory_format=torch.channels_last)
    frozen = torch.jit.optimize_for_inference(torch.jit.freeze(torch.jit.trace(classifier.module, batch)))
    compiled = torch.compile(folded)
    return {
        "plain, eager": (len(batch), lambda: classifier.module(batch)),
        "plain, folded, channels last": (len(batch), lambda: folded(last)),
        "plain, traced and frozen": (len(batch), lambda: frozen(batch)),
        "plain, torch.compile": (len(batch), lambda: compiled(last)),
    }


def fast_ways(classifier: AuditedClassifier, images: Tensor) -> dict[str, tuple[int, Callable[[], object]]]:
    ways: dict[str, tuple[int, Callable[[], object]]] = {}
    asked = {
        "": candidates_for(images, 1000),
        ", batch of 400": candidates_for(images[:1], 400),
        ", complete pass": all_corners(images),
    }
    for compiled in (False, True):
        start = time.perf_counter()
        fast = IncrementalEvaluator(classifier, images, compiled=compiled)
        print(f"  {fast.name}: ready after {time.perf_counter() - start:.2f} s; {fast.reason}")
        for words, candidates in asked.items():
            ways[f"{fast.name}{words}"] = (len(candidates), lambda fast=fast, candidates=candidates: fast(candidates))
    return ways


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--images", type=int, default=20)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    for name, size in (("convnet", 100), ("deepmerge", 75)):
        print(f"{name} 3x{size}x{size}, {options.threads} threads")
        classifier, images = classifier_for(name, size), galaxies(options.images, size)
        with torch.inference_mode():
            ways = plain_ways(classifier, images) | fast_ways(classifier, images)
            speeds: dict[str, list[float]] = {words: [] for words in ways}
            for turn in range(options.rounds + 1):
                for words, (count, run) in ways.items():
                    start = time.perf_counter()
                    run()
                    if turn:  # the first round warms up
                        speeds[words].append(count / (time.perf_counter() - start))
        medians = {words: statistics.median(speed) for words, speed in speeds.items()}
        best = max(speed for words, speed in medians.items() if words.startswith("plain"))
        for words, speed in medians.items():
            print(f"  {words:32} {speed:12,.0f} /s {speed / best:8.2f}")


if __name__ == "__main__":
    main()
