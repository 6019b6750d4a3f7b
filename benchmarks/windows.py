"""Church windows: exact polygons beside single calls of the head, and beside grids.

    python benchmarks/windows.py [--rounds 5] [--threads 1]

Ratios of processor time within one run, medians of rounds taken in turn: other work on the machine counts less. The
published way is 221 x 221 single calls of the head, each with `.item()`; a part of them, spread over the window, is
timed and scaled to all 48,841. Equality is checked cell by cell on all of them.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable

import numpy as np
import torch

from robustkit.latent.geometry import AffineHead
from robustkit.latent.heads import ReLUHead, as_function, find_head
from robustkit.latent.polygons import affine_grid
from robustkit.latent.relu_windows import relu_window
from robustkit.latent.sampled import sample_window
from robustkit.latent.windows import church_window
from robustkit.models import NETWORKS, AuditedClassifier

RESOLUTION, EXTENT = 221, 1.1


def classifier_for(name: str, size: int) -> AuditedClassifier:
    torch.manual_seed(0)
    network = NETWORKS[name](size=(size, size)).eval()
    with torch.no_grad():  # a boundary close to the latents that are looked at
        network.fc.bias.zero_()
        if name == "deepmerge":
            network.fc.bias -= network.fc(network.dense(torch.zeros(1, network.dense[0].in_features)))[0]
    return AuditedClassifier(network, input_shape=(3, size, size))


def triplet(classifier: AuditedClassifier, head: AffineHead | ReLUHead) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A latent near a boundary and two directions that cross it, so that the window shows more than one class."""
    rng = np.random.default_rng(0)
    dimension = int(np.prod(classifier.latent_shape))
    best: tuple[float, tuple[np.ndarray, ...]] = (1.0, ())
    for _ in range(50):
        three = tuple(rng.normal(0, 1, (3, dimension)) / np.sqrt(dimension) * [[1], [4], [4]])
        ticks = np.stack(np.meshgrid(*2 * [np.linspace(-1.1, 1.1, 9)]), axis=-1).reshape(-1, 2)
        labels = head(three[0] + ticks @ np.stack(three[1:])).argmax(axis=1)
        most = np.bincount(labels).max() / len(labels)
        if most < best[0]:
            best = (most, three)
    return best[1]  # type: ignore[return-value]


def single_calls(classifier: AuditedClassifier, z: np.ndarray, a: np.ndarray, n: np.ndarray, points: np.ndarray):
    """The published way: one latent at a time through the dense layers alone, its class by `.item()`."""
    head = torch.nn.Sequential(*list(classifier.module.children())[-1:])
    z, a, n = (torch.from_numpy(v).float() for v in (z, a, n))
    with torch.no_grad():
        return [head((z + float(x) * a + float(y) * n)[None]).argmax(1).item() for x, y in points]


def median(rounds: int, ways: dict[str, Callable[[], object]]) -> dict[str, float]:
    times: dict[str, list[float]] = {name: [] for name in ways}
    for turn in range(rounds + 1):
        for name, run in ways.items():
            count, start = 0, time.process_time()
            while count == 0 or time.process_time() - start < 0.05:
                run()
                count += 1
            if turn:  # the first round warms up
                times[name].append((time.process_time() - start) / count)
    return {name: statistics.median(values) for name, values in times.items()}


def affine(rounds: int) -> None:
    classifier = classifier_for("convnet", 100)
    head = find_head(classifier, np.random.default_rng(1).normal(size=(20, 256)))
    assert isinstance(head, AffineHead)
    z, a, n = triplet(classifier, head)
    ticks = (np.arange(RESOLUTION) - RESOLUTION // 2) * 2 * EXTENT / RESOLUTION
    points = np.stack(np.meshgrid(ticks, ticks), axis=-1).reshape(-1, 2)
    part = points[:: len(points) // 1000]
    function = as_function(classifier)
    window = church_window(head, z, a, n)
    found = median(
        rounds,
        {
            "single calls": lambda: single_calls(classifier, z, a, n, part),
            "exact polygons with all their numbers": lambda: church_window(head, z, a, n),
            "all cells": lambda: affine_grid(head(z), head.weight @ np.stack([a, n], axis=1), EXTENT, RESOLUTION),
            "all cells, in one batch through the network's own head": lambda: sample_window(
                function, z, a, n, resolution=RESOLUTION, batch=1 << 16
            ),
        },
    )
    found["single calls"] *= len(points) / len(part)
    print(f"ConvNet head 256 - 3, {RESOLUTION} x {RESOLUTION}; single calls timed on {len(part):,} of {len(points):,}")
    for name, seconds in found.items():
        print(f"  {name:60} {1e3 * seconds:12.3f} ms {found['single calls'] / seconds:12,.0f} x")
    seen = np.array(single_calls(classifier, z, a, n, points))
    logits = np.sort(points @ window.slopes.T + window.constant, axis=1)
    clear = logits[:, -1] - logits[:, -2] > 1e-6 * np.abs(logits).max()
    differ = window.grid(RESOLUTION).ravel() != seen
    print(f"  cells that differ: {differ.sum()}, of them further than 1e-6 from a boundary: {(differ & clear).sum()}")


def exactness() -> None:
    rng = np.random.default_rng(2)
    worst, off = 0.0, 0.0
    for classes in (2, 3, 5, 10):
        head = AffineHead(rng.normal(size=(classes, 256)), rng.normal(size=classes))
        z, a, n = rng.normal(size=(3, 256))
        window = church_window(head, z, a, n)
        counted = np.bincount(window.grid(2000).ravel(), minlength=classes) / 2000**2
        worst = max(worst, float(np.abs(window.areas - counted).max()))
        off = max(off, abs(window.areas.sum() - 1), abs(window.disc.sum() - 1))
    print("exact polygons of affine heads of 2, 3, 5 and 10 classes beside a grid of 2000 x 2000")
    print(f"  largest difference of an area {worst:.1e}, of a side of the grid 1 / 2000 = {1 / 2000:.1e}")
    for _ in range(1000):
        head = AffineHead(rng.normal(size=(3, 256)), rng.normal(size=3))
        window = church_window(head, *rng.normal(size=(3, 256)))
        off = max(off, abs(window.areas.sum() - 1), abs(window.disc.sum() - 1))
    print(f"  1004 windows: areas and discs sum to 1 within {off:.1e}")


def relu(rounds: int) -> None:
    classifier = classifier_for("deepmerge", 75)
    head = find_head(classifier, np.abs(np.random.default_rng(1).normal(size=(20, 2592))))
    assert isinstance(head, ReLUHead)
    z, a, n = triplet(classifier, head)
    function = as_function(classifier)
    window = relu_window(head, z, a, n)
    grid = sample_window(head, z, a, n, resolution=RESOLUTION)
    found = median(
        rounds,
        {
            "all cells of 221 x 221, in batches": lambda: sample_window(function, z, a, n, resolution=RESOLUTION),
            "exact": lambda: relu_window(head, z, a, n),
        },
    )
    print("DeepMerge head 2592 - 64 - 32 - 2")
    for name, seconds in found.items():
        print(f"  {name:60} {1e3 * seconds:12.3f} ms")
    difference = np.abs(window.areas - grid.areas).max()
    print(f"  {window.cells} cells; largest difference of an area from the grid {difference:.1e}")
    print(f"  areas sum to 1 within {abs(window.areas.sum() - 1):.1e}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    affine(options.rounds)
    exactness()
    relu(options.rounds)


if __name__ == "__main__":
    main()
