"""A tiny attack on disk: galaxies at two depths, a checkpoint, and the run folder of an attack on it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from robustkit.data import ImageSet
from robustkit.files import write_json
from robustkit.findings.attack.measure import run_attack
from robustkit.findings.attack.record import AttackRequest
from tests.audits import make_audit

# A small attack of several groups, for what may happen to a run; the fixture `attacks` makes it once.
SMALL = AttackRequest(n=10, budget=60, group=2, searches=("random", "de"))
ARGUMENTS = ["--n", "10", "--budget", "60", "--group", "2", "--search", "random", "--search", "de"]


def silent(line: str) -> None:
    """Says nothing."""


def same(one: Path, other: Path) -> bool:
    """Whether two run folders hold the same record and table, to the last byte."""
    return all((one / name).read_bytes() == (other / name).read_bytes() for name in ("attack.npz", "attacks.csv"))


def make_attack(folder: Path, *, n: int = 16) -> tuple[Path, Path]:
    """Writes the galaxies of `make_audit`, the same with more noise as `shallow`, and an attack on some of them.

    Returns:
        The checkpoint and the run folder.
    """
    model, data = make_audit(folder)
    deep = ImageSet.load(data)
    noise = np.random.default_rng(1).normal(0, 30, deep.images.shape).astype(np.float32)
    replace(deep, images=deep.images + noise).save(folder / "shallow")
    write_json(folder / "galaxies.json", {"kind": "robustkit-galaxies", "depths": ["galaxies", "shallow"]})
    request = AttackRequest(n=n, budget=200, searches=("random", "de"))
    return model, run_attack(model, request, out=folder / "attack", say=lambda line: None).folder
