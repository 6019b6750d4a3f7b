"""How large a report is and how long it takes to draw, for few images and for many.

    python benchmarks/report.py audit --n 150 10000

The records of an audit are repeated, with new ids, until there are as many images as asked for: what a page weighs and
costs depends on how much there is to draw, not on what it shows.
"""

from __future__ import annotations

import argparse
import dataclasses
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from robustkit.files import read_json, write_json
from robustkit.findings.attack.record import AttackRecord
from robustkit.findings.certify.record import CertificateRecord
from robustkit.findings.clean.record import CleanRecord
from robustkit.findings.distances.record import DistanceRecord
from robustkit.findings.maps.record import LatentMap
from robustkit.findings.pictures.record import MOST, Pictures
from robustkit.findings.sweep.record import SweepRecord
from robustkit.findings.windows.record import Windows
from robustkit.latent.embeddings import Embeddings
from robustkit.records import Record

KINDS: dict[str, type[Record]] = {
    "clean/*.npz": CleanRecord,
    "pictures/pictures.npz": Pictures,
    "attack/attack.npz": AttackRecord,
    "certify/certificates.npz": CertificateRecord,
    "sweep/sweep.npz": SweepRecord,
    "latents/embeddings.npz": Embeddings,
    "windows/windows.npz": Windows,
    "isomap/isomap.npz": LatentMap,
    "distances/distances.npz": DistanceRecord,
}


def grown(record: Record, count: int, n: int) -> Record:
    """The record of a few images as that of n.

    Args:
        record: A record of `count` images.
        count: How many.
        n: How many there are to be.
    """
    ids = np.asarray(record.ids)  # type: ignore[attr-defined]
    own = len(ids)
    times = -(-n // count)
    changed: dict[str, Any] = {}
    jitter = np.random.default_rng(0)
    for field in dataclasses.fields(record):
        values = getattr(record, field.name)
        if not isinstance(values, np.ndarray) or values.ndim == 0:
            continue
        if field.name == "ids":
            changed["ids"] = np.array([f"{i}-{t}" for t in range(times) for i in ids])
        elif field.name == "image":
            changed["image"] = np.concatenate([values + t * own for t in range(times)])
        elif field.name == "small":
            changed["small"] = np.concatenate([values] * times)[:MOST]
        elif isinstance(record, LatentMap) and field.name in ("flat", "solid", "pca"):
            spread = 0.02 * values.std(axis=0)
            changed[field.name] = np.concatenate(
                [values + jitter.normal(0, spread, values.shape) for _ in range(times)]
            )
        elif len(values) == own or (hasattr(record, "image") and len(values) == len(record.image)):  # type: ignore[attr-defined]
            changed[field.name] = np.concatenate([values] * times)
        elif values.ndim > 1 and values.shape[1] == own:
            changed[field.name] = np.concatenate([values] * times, axis=1)
    return dataclasses.replace(record, **changed)


def grow(source: Path, target: Path, n: int) -> int:
    """Copies an audit and gives it about n images."""
    shutil.copytree(source, target, ignore=shutil.ignore_patterns("figures", "tables", "report.html", "pictures.png"))
    for model in [folder for name in ("model", "base") if (folder := target / name).is_dir()]:
        about = read_json(model / "about.json")
        count = len(about["ids"])
        times = -(-n // count)
        ids = [f"{i}-{t}" for t in range(times) for i in about["ids"]]
        write_json(model / "about.json", {**about, "ids": ids, "true": about["true"] * times})
        for pattern, kind in KINDS.items():
            for path in model.glob(pattern):
                grown(kind.load(path), count, n).save(path)
    return len(ids)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("audit", type=Path)
    parser.add_argument("--n", type=int, nargs="+", default=[150, 10_000])
    options = parser.parse_args()
    print("| images | page, MB | drawn again, s of processor time | s |")
    print("|---|---|---|---|")
    for n in options.n:
        with tempfile.TemporaryDirectory() as folder:
            count = grow(options.audit, Path(folder) / "audit", n)
            began, before = time.monotonic(), os.times()
            command = [sys.executable, "-m", "robustkit", "report", str(Path(folder) / "audit")]
            subprocess.run(command, check=True, capture_output=True)
            seconds, after = time.monotonic() - began, os.times()
            # With the processes that draw, which have ended too.
            spent = sum(getattr(after, kind) - getattr(before, kind) for kind in ("children_user", "children_system"))
            size = (Path(folder) / "audit" / "report.html").stat().st_size / 1e6
            print(f"| {count:,} | {size:.2f} | {spent:.1f} | {seconds:.1f} |", flush=True)


if __name__ == "__main__":
    main()
