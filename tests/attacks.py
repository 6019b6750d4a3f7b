"""A tiny attack on disk: galaxies at two depths, a checkpoint, and the run folder of an attack on it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from robustkit.audit.attack import AttackRequest, run_attack
from robustkit.data import ImageSet
from robustkit.files import write_json
from tests.audits import make_audit


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
