"""What survives and what scales: time and memory of very many units, what keeping parts costs, two workers against one.

    python benchmarks/scale.py units [--images 100000 1000000] [--group 16]  # a null model: the run's own machinery
    python benchmarks/scale.py parts --model   ckpt.pt [--n 150]    # share of a real attack
    python benchmarks/scale.py workers --model ckpt.pt [--n 150] [--group 8] [--rounds 3]  # 1, 2 Dask workers
    python benchmarks/scale.py memory [--gigabytes 4]               # an attack on an image set larger than its memory

Everything runs with one thread a process. Each row is measured in a process of its own.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import resource
import statistics
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")


def in_own_process(function: Callable[..., Any], *arguments: Any) -> Any:
    """What a function returns, run in a fresh process."""
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        return pool.submit(function, *arguments).result()


def peak_megabytes() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def own_megabytes() -> float:
    """Memory that is this process's own; pages of mapped files are not, because the system may take them back."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("RssAnon")) / 1024


def null_unit(group: int, unit: int) -> tuple[dict[str, Any], dict[str, Any]]:
    """A group of images as an attack keeps it, of a model that costs nothing."""
    import numpy as np

    from robustkit.findings.attack.record import AttackRecord, Attempt, attempt_arrays

    ids = [f"image-{image}" for image in range(unit * group, (unit + 1) * group)]
    attempts = [Attempt(one, "de", -1, 1, 400, 0, None) for one in ids]
    record = AttackRecord(
        ids=np.array(ids), true=np.zeros(group, dtype=np.int64), clean_class=np.zeros(group, dtype=np.int64),
        clean_probabilities=np.full((group, 3), 1 / 3, dtype=np.float32), searches=["de"], class_names=["a", "b", "c"],
        settings={}, costs={}, **attempt_arrays(attempts, ids=ids, searches=["de"], pixels=1, bands=3, classes=3),
    )  # fmt: skip
    return {"attack": record}, {"sizes": [group]}


def null_run(images: int, group: int) -> dict[str, Any]:
    from robustkit.runs import Parts, make_units, open_run

    units, times = -(-images // group), []
    with tempfile.TemporaryDirectory(dir=".") as folder, open_run(Path(folder) / "run", {"inputs": {}}) as run:
        before = peak_megabytes()

        parts = Parts(run.folder)

        def keep(unit: int, made: Any) -> None:
            parts.keep(unit, *made)
            if (unit + 1) % (units // 2) == 0:
                times.append((time.perf_counter(), time.process_time()))

        times.append((time.perf_counter(), time.process_time()))
        make_units(range(units), partial(null_unit, group), keep)
        made = peak_megabytes()
        began = time.perf_counter()
        assert len(list(parts)) == units
        first, second = ([b[k] - a[k] for k in (0, 1)] for a, b in pairwise(times[:3]))
        return {
            "images": images,
            "groups": units,
            "seconds": first[0] + second[0],
            "second_half_to_first": second[0] / first[0],
            "second_half_to_first_processor_time": second[1] / first[1],
            "megabytes_before": before,
            "megabytes": made,
            "seconds_to_find_what_is_finished": time.perf_counter() - began,
            "megabytes_with_that": peak_megabytes(),
            "parts_megabytes": sum(path.stat().st_size for path in parts.folder.iterdir()) / 2**20,
        }


def keeping_cost(model: str, n: int) -> dict[str, Any]:
    import torch

    from robustkit.findings.attack.measure import run_attack
    from robustkit.findings.attack.record import AttackRequest
    from robustkit.runs import Parts

    torch.set_num_threads(1)
    spent, keep = [], Parts.keep

    def timed(self: Parts, *arguments: Any, **options: Any) -> None:
        began = time.perf_counter()
        keep(self, *arguments, **options)
        spent.append(time.perf_counter() - began)

    Parts.keep = timed
    with tempfile.TemporaryDirectory(dir=".") as folder:
        run = run_attack(model, AttackRequest(n=n), out=Path(folder) / "run", say=lambda line: None)
        seconds = sum(cost["seconds"] for cost in run.record.costs.values())
    return {"images": n, "parts": len(spent), "keeping_seconds": sum(spent), "search_seconds": seconds,
            "share": sum(spent) / seconds}  # fmt: skip


def dask_run(model: str, n: int, group: int, workers: int) -> dict[str, Any]:
    import distributed

    from robustkit.files import sha256_file
    from robustkit.findings.attack.measure import run_attack
    from robustkit.findings.attack.record import AttackRequest
    from robustkit.runs.executors import choose_executor

    with (
        tempfile.TemporaryDirectory(dir=".") as folder,
        distributed.LocalCluster(
            n_workers=workers, threads_per_worker=1, dashboard_address=None, local_directory=folder, silence_logs=50
        ) as cluster,
    ):
        _, start = choose_executor("cpu", dask=cluster.scheduler_address, say=lambda line: None)
        attack = partial(run_attack, model, device="cpu", executor=start, say=lambda line: None)
        attack(AttackRequest(n=2 * workers, group=1, budget=10), out=Path(folder) / "warm")  # every worker has imported
        began = time.perf_counter()
        attack(AttackRequest(n=n, group=group), out=Path(folder) / "run")
        seconds = time.perf_counter() - began
        digest = sha256_file(Path(folder) / "run" / "attack.npz")
    return {"workers": workers, "seconds": seconds, "sha256": digest}


def compare_workers(model: str, n: int, group: int, rounds: int) -> dict[str, Any]:
    runs = [in_own_process(dask_run, model, n, group, workers) for _ in range(rounds) for workers in (1, 2)]
    one, two = ([run["seconds"] for run in runs if run["workers"] == k] for k in (1, 2))
    return {
        "images": n,
        "group": group,
        "one": one,
        "two": two,
        "ratio_of_medians": statistics.median(one) / statistics.median(two),
        "same_bytes": len({run["sha256"] for run in runs}) == 1,
        "load": os.getloadavg(),
    }


def streamed(gigabytes: float) -> dict[str, Any]:
    """Reads groups from a sparse image set, as an attack does, and says what memory that took."""
    import numpy as np

    from robustkit.data import open_images
    from robustkit.data.stretch import ArcsinhStretch
    from robustkit.runs.sample import Sample

    n = int(gigabytes * 2**30) // (3 * 100 * 100 * 4)
    with tempfile.TemporaryDirectory(dir=".") as folder:
        path = Path(folder) / "images.npy"
        images = np.lib.format.open_memmap(path, mode="w+", dtype=np.float32, shape=(n, 3, 100, 100))
        images[:: n // 8, :, 50, 50] = 1.0
        del images
        before = own_megabytes()
        labels = np.arange(n) % 3
        found = open_images(path, labels=labels, bands=("g", "r", "i"), class_names=("a", "b", "c"))
        opened = own_megabytes()
        drawn = np.random.default_rng(0).permutation(n)[:4096]
        model = SimpleNamespace(stretch=ArcsinhStretch(low=(0.0,) * 3, high=(1.0,) * 3, c=0.85))
        inputs = Sample(model, Path("none"), path, "all", n, 0, found, drawn).inputs  # pyright: ignore
        for start in range(0, len(drawn), 16):
            assert len(inputs[start : start + 16]) == 16
        return {"gigabytes": gigabytes, "images": n, "megabytes_before": before, "megabytes_after_opening": opened,
                "megabytes_after_4096_images": own_megabytes(), "memory_mapped": isinstance(found.images, np.memmap)
                or isinstance(found.images.base, np.memmap)}  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("units", "parts", "workers", "memory"))
    parser.add_argument("--images", type=int, nargs="+", default=[100_000, 1_000_000])
    parser.add_argument("--model", default="ckpt.pt")
    parser.add_argument("--n", type=int, default=150)
    parser.add_argument("--group", type=int, help="Images in a group; 16, for workers 8.")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--gigabytes", type=float, default=4.0)
    given = parser.parse_args()
    rows = {
        "units": lambda: [in_own_process(null_run, images, given.group or 16) for images in given.images],
        "parts": lambda: [in_own_process(keeping_cost, given.model, given.n)],
        "workers": lambda: [compare_workers(given.model, given.n, given.group or 8, given.rounds)],
        "memory": lambda: [in_own_process(streamed, given.gigabytes)],
    }[given.what]()
    for row in rows:
        print(json.dumps(row, indent=1))


if __name__ == "__main__":
    main()
