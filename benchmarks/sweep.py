"""What a sweep spends on perturbing beside the network's own forward passes, and its memory as it grows.

    python benchmarks/sweep.py --n 1000 --memory 250 500

Makes 3x100x100 images in electrons as LSST declares them, a ConvNet with random weights, and runs `--suite lsst`, or
what `--perturb` names. The first table comes from the run itself: every call of a perturbation, of the stretch and of
the network is timed. RICE, HCOMPRESS and JPEG run in worker processes and stand apart. Memory is measured in fresh
processes, one for each size, over an image set of that size: what the process allocates, and that with the pages of the
image file that are mapped, which the kernel takes back whenever it needs them.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections import defaultdict
from pathlib import Path
from typing import Self

import numpy as np
import torch

from robustkit.cores import cores
from robustkit.data import ArcsinhStretch, ImageSet
from robustkit.data.survey import LSST, Depth
from robustkit.findings.sweep import job
from robustkit.findings.sweep.measure import run_sweep
from robustkit.findings.sweep.record import SweepRequest
from robustkit.models import AuditedClassifier, Card, ConvNet, save_checkpoint
from robustkit.perturb import boundary
from robustkit.perturb.perturbation import Perturbation
from robustkit.perturb.workers import worker_processes

CLASSES, BANDS, SIZE = ("spiral", "elliptical", "merger"), ("g", "r", "i"), 100


def make(folder: Path, n: int) -> tuple[Path, Path]:
    """A checkpoint, and n images of round blobs under the noise of ten years."""
    depth, rng = Depth(LSST, 10, 10), np.random.default_rng(0)
    sigma = np.array(list(depth.meta()["noise_sigma"].values()))[:, None, None]
    place = np.arange(SIZE) - SIZE / 2
    images = np.empty((n, 3, SIZE, SIZE), np.float32)
    for image, width in zip(images, rng.uniform(3, 9, n), strict=True):
        blob = np.exp(-(place[:, None] ** 2 + place**2) / (2 * width**2))
        image[:] = sigma * (rng.standard_normal(image.shape) + 30 * blob)
    ids = np.array([f"blob-{i}" for i in range(n)])
    labels = rng.integers(0, 3, n)
    path = ImageSet(images, labels, CLASSES, BANDS, ids, "electron", depth.bounds, meta=depth.meta()).save(
        folder / "images"
    )
    torch.manual_seed(0)
    card = Card(
        "convnet",
        CLASSES,
        BANDS,
        (3, SIZE, SIZE),
        ArcsinhStretch.fit(images).to_json(),
        ((0.0, 1.0),) * 3,
        "bottleneck",
    )
    return save_checkpoint(folder / "net.pt", ConvNet(), card), path


class Clock:
    """Seconds spent in functions, by name; calls within calls count for the outer one."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = defaultdict(float)
        self.busy = False

    def watch(self, owner: object, attribute: str, name) -> None:
        """Times every call of `owner.attribute` under `name`, or under `name(first argument)`."""
        real = getattr(owner, attribute)

        def timed(*args, **options):
            if self.busy:
                return real(*args, **options)
            self.busy, start = True, time.perf_counter()
            try:
                return real(*args, **options)
            finally:
                self.busy = False
                self.seconds[name if isinstance(name, str) else name(args[0])] += time.perf_counter() - start

        setattr(owner, attribute, timed)


def run(model: Path, data: Path, n: int, out: Path, names: list[str]) -> dict:
    """One sweep, timed."""
    clock = Clock()
    clock.watch(Perturbation, "__call__", lambda self: f"perturb {self.label}")
    clock.watch(AuditedClassifier, "embed", "network")
    clock.watch(AuditedClassifier, "head", "network")
    clock.watch(ArcsinhStretch, "__call__", "stretch")
    clock.watch(boundary, "boundary_distance", "boundary")
    clock.watch(job, "boundary_distance", "boundary")
    start = time.perf_counter()
    with Memory() as memory:
        request = SweepRequest(perturbations=tuple(names), suite=None if names else "lsst", n=n, data=data, part="all")
        run_sweep(model, request, out=out, device="cpu", say=lambda line: None)
    return {"n": n, "seconds": time.perf_counter() - start, **memory.peak, **dict(clock.seconds)}


class Memory:
    """The most memory that this process had, in MiB, looked at twenty times a second."""

    def __init__(self) -> None:
        self.peak = {"RssAnon": 0.0, "VmRSS": 0.0}
        self.end = threading.Event()

    def __enter__(self) -> Self:
        self.thread = threading.Thread(target=self.watch, daemon=True)
        self.thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.end.set()
        self.thread.join()

    def watch(self) -> None:
        """Looks until it is told to end."""
        while not self.end.wait(0.05):
            for line in Path("/proc/self/status").read_text().splitlines():
                name, _, value = line.partition(":")
                if name in self.peak:
                    self.peak[name] = max(self.peak[name], int(value.split()[0]) / 1024)


def apart(model: Path, data: Path, n: int, out: Path, threads: int, names: list[str]) -> dict:
    """The same in a fresh process, so that its peak of memory is its own."""
    command = [sys.executable, __file__, "--threads", str(threads), "--perturb", *names]
    command += ["--one", str(model), str(data), str(n), str(out)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(done.stderr)
    return json.loads(done.stdout.splitlines()[-1])


def show(found: dict) -> None:
    """The table of one run."""
    spent = {name.removeprefix("perturb "): value for name, value in found.items() if name.startswith("perturb ")}
    codecs = {name: spent.pop(name) for name in ("rice", "hcompress", "jpeg") if name in spent}
    # The passes over what was perturbed here: those over the clean images and over what was compressed are left away.
    steps = 1 + 5 * (len(spent) + len(codecs))
    network, n, total = found["network"] * 5 * len(spent) / steps, found["n"], sum(spent.values())
    print(f"\n| {n} images, all levels | s | of the network |\n|---|---|---|")
    print(f"| network, forward passes of the same steps | {network:.1f} | 1 |")
    print(f"| perturbing, {len(spent)} perturbations | {total:.1f} | **{total / network:.2f}** |")
    for name, value in sorted(spent.items(), key=lambda item: -item[1]):
        print(f"| {name} | {value:.2f} | {value / network:.3f} |")
    for name, value in codecs.items():
        print(f"| {name}, in worker processes | {value:.1f} | {value / network:.2f} |")
    for name in ("stretch", "boundary"):
        print(f"| {name} | {found.get(name, 0):.1f} | {found.get(name, 0) / network:.2f} |")
    print(f"| whole run | {found['seconds']:.1f} | {found['seconds'] / network:.2f} |", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--n", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--memory", type=int, nargs="*", default=[])
    parser.add_argument("--threads", type=int, default=cores())
    parser.add_argument("--perturb", nargs="*", default=[], help="instead of the suite lsst")
    parser.add_argument("--one", nargs=4, help=argparse.SUPPRESS)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    if options.one:
        model, data, n, out = options.one
        print(json.dumps(run(Path(model), Path(data), int(n), Path(out), options.perturb)))
        return
    with tempfile.TemporaryDirectory() as name, worker_processes(0):
        found = {}
        for n in sorted({*options.memory, options.n}, reverse=True):
            folder = Path(name) / str(n)
            folder.mkdir()
            model, data = make(folder, n)
            for number in range(options.rounds if n == options.n else 1):
                found[n] = apart(model, data, n, folder / f"run-{number}", options.threads, options.perturb)
                print(f"\n{n} images, load {os.getloadavg()[0]:.1f}")
                show(found[n])
    print("\n| images | allocated, MiB | with mapped pages, MiB | seconds |\n|---|---|---|---|")
    for n, one in sorted(found.items()):
        print(f"| {n} | {one['RssAnon']:.0f} | {one['VmRSS']:.0f} | {one['seconds']:.0f} |")


if __name__ == "__main__":
    main()
