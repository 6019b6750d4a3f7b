"""Landmark Isomap beside scikit-learn's: seconds, memory, and how far the two maps lie apart.

    python benchmarks/isomap.py [--points 8000] [--large 32000] [--rounds 1] [--threads 1] [--small]

Latents have 256 dimensions. `classes`: three overlapping classes, six numbers for each image, bent by a random network
with one hidden layer, and a little noise in every dimension. `sheet`: a rolled sheet with noise in every dimension.
Each map is made in a process of its own, so that its peak memory is its own; both get the same file of latents. Seconds
of the processor are given beside wall time, because other work on a shared machine shifts the latter.
"""

from __future__ import annotations

import argparse
import json
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import numpy as np

DIMENSIONS, NEIGHBOURS = 256, 10


def classes(n: int, rng: np.random.Generator) -> np.ndarray:
    label, centres = rng.integers(3, size=n), 1.5 * rng.normal(size=(3, 6))
    hidden = rng.normal(size=(n, 6)) * (2, 1.5, 1, 0.7, 0.5, 0.3) + centres[label]
    bent = np.maximum(hidden @ rng.normal(size=(6, 64)) / np.sqrt(6) + 0.5 * rng.normal(size=64), 0)
    return bent @ rng.normal(size=(64, DIMENSIONS)) / 8 + 0.05 * rng.normal(size=(n, DIMENSIONS))


def sheet(n: int, rng: np.random.Generator) -> np.ndarray:
    angle, height = 1.5 * np.pi * (1 + 2 * rng.random(n)), 2.1 * rng.random(n)
    rolled = np.stack([angle * np.cos(angle) / 10, height, angle * np.sin(angle) / 10], axis=1)
    turn = np.linalg.qr(rng.normal(size=(DIMENSIONS, 3)))[0]
    return rolled @ turn.T + 0.01 * rng.normal(size=(n, DIMENSIONS))


CLOUDS = {"classes": classes, "sheet": sheet}


def make_map(how: str, latents: Path, out: Path) -> None:
    """Makes one map and prints its seconds and the peak memory of this process, as JSON."""
    points = np.load(latents)
    if how == "scikit-learn":
        from sklearn.manifold import Isomap

        began = time.perf_counter(), time.process_time()
        places = Isomap(n_neighbors=NEIGHBOURS, n_components=3).fit_transform(points)
    else:
        from robustkit.latent.isomap import LANDMARKS, fit_isomap

        began = time.perf_counter(), time.process_time()
        places = fit_isomap(points, neighbours=NEIGHBOURS, landmarks=LANDMARKS).coordinates
    cost = {"wall": time.perf_counter() - began[0], "processor": time.process_time() - began[1]}
    np.save(out, places)
    print(json.dumps({**cost, "gigabytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20}))


def run(how: str, latents: Path, folder: Path) -> tuple[dict[str, float], np.ndarray]:
    """One map in a process of its own."""
    out = folder / "map.npy"
    command = [sys.executable, __file__, "--make", how, "--latents", str(latents), "--out", str(out)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return json.loads(done.stdout), np.load(out)


def compare(name: str, n: int, rounds: int, folder: Path) -> None:
    """Both maps of the same latents, in turn."""
    from scipy.spatial import procrustes

    from robustkit.latent.embedding_quality import evaluate_map
    from robustkit.latent.isomap import LANDMARKS
    from robustkit.latent.landmarks import farthest_landmarks, triangulate
    from robustkit.latent.neighbour_graph import neighbour_graph

    latents = folder / f"{name}-{n}.npy"
    points = CLOUDS[name](n, np.random.default_rng(0))
    np.save(latents, points)
    costs: dict[str, list[dict[str, float]]] = {"scikit-learn": [], "landmarks": []}
    places = {}
    for _ in range(rounds):
        for how, spent in costs.items():
            cost, places[how] = run(how, latents, folder)
            spent.append(cost)
    graph = neighbour_graph(points, NEIGHBOURS)
    quality = {how: evaluate_map(points, places[how][:, :2], graph) for how in places}
    print(f"\n{name}, {n:,} latents, {rounds} rounds, pieces {graph.components}")
    print("| | scikit-learn | landmarks | ratio |\n|---|---|---|---|")
    for field, unit in (("wall", "s, wall"), ("processor", "s, processor"), ("gigabytes", "peak memory, GB")):
        one, two = ([cost[field] for cost in costs[how]] for how in costs)
        ratio = statistics.median([a / b for a, b in zip(one, two, strict=True)])
        print(f"| {unit} | {statistics.median(one):.2f} | {statistics.median(two):.2f} | {ratio:.1f} |")
    for field in ("trustworthiness", "continuity", "residual_variance"):
        one, two = (getattr(quality[how], field) for how in ("scikit-learn", "landmarks"))
        print(f"| {field.replace('_', ' ')}, 2-D | {one:.4f} | {two:.4f} | |")
    start = int(((points - points.mean(axis=0)) ** 2).sum(axis=1).argmax())
    chosen = farthest_landmarks(graph, LANDMARKS, start)
    even = replace(chosen, weights=np.full(LANDMARKS, 1 / LANDMARKS))
    places["unweighted"] = triangulate(even, 3)(chosen.distances)
    for d in (2, 3):
        apart, unweighted = (
            procrustes(places["scikit-learn"][:, :d], places[how][:, :d])[2] for how in ("landmarks", "unweighted")
        )
        print(f"| Procrustes disparity, {d}-D | | {apart:.6f} | unweighted {unweighted:.6f} |")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--points", type=int, default=8000)
    parser.add_argument("--large", type=int, default=32_000)
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--small", action="store_true", help="sizes that take seconds, to try the script")
    parser.add_argument("--make", help=argparse.SUPPRESS)
    parser.add_argument("--latents", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--out", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.make:
        make_map(options.make, options.latents, options.out)
        return
    import os

    os.environ["OMP_NUM_THREADS"] = os.environ["OPENBLAS_NUM_THREADS"] = str(options.threads)  # of the processes
    points, large = (1000, 2000) if options.small else (options.points, options.large)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for cloud in CLOUDS:
            compare(cloud, points, options.rounds, folder)
        for cloud in CLOUDS:
            latents = folder / "large.npy"
            np.save(latents, CLOUDS[cloud](large, np.random.default_rng(0)))
            cost, _ = run("landmarks", latents, folder)
            print(f"\n{cloud}, {large:,} latents by landmarks: {cost['wall']:.1f} s, {cost['gigabytes']:.2f} GB")


if __name__ == "__main__":
    main()
