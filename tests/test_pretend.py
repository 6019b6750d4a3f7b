"""Every command on a device whose tensors refuse those of the CPU, and on one that has no float64 besides."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from robustkit.data import ImageSet
from robustkit.data.survey import LSST, Depth
from robustkit.findings.attack.record import AttackRecord
from robustkit.findings.certify.record import CertificateRecord
from tests.audits import make_audit

ROOT = Path(__file__).parents[1]
# How each command is called, in an order in which each finds what it needs.
COMMANDS = {
    "train": "train --source a.npz --target b.npz --method mmd --epochs 12 --warm-up 2 --learning-rate 0.01 --out m.pt",
    "attack": "attack --model m.pt --n 6 --all --budget 120 --out attack",
    "attack by evolution": "attack --model m.pt --n 4 --all --budget 60 --search de --search random --out de",
    "certify": "certify --model m.pt --n 4 --all --out certify",
    "certify some cells": "certify --model m.pt --n 4 --all --budget 100 --out sampled",
    "sweep": "sweep --model m.pt --n 4 --all --suite plain --out sweep",
    "window": "window --model m.pt --run attack --out window",
    "distances": "distances --model m.pt --run attack --out distances",
    "isomap": "isomap --model m.pt --run attack --out isomap",
    "views": "attack --model m.pt --average flips --n 3 --all --budget 40 --out views",
    "threat": "attack --model net.pt --data lsst --n 2 --all --threat hot-pixel --search random --budget 9 --out t",
    "hazard": "hazard --model net.pt --data lsst --n 2 --all --events 2 --out hazard",
    "every amplitude": "certify --model net.pt --n 1 --all --values line --out line",
    "prediction sets": "certify --model m.pt --n 12 --all --conformal 0.6 --out sets",
    "flag": "flag --model m.pt --data a.npz --out f.csv",
    "repair": "repair --model m.pt --front clip --out r.pt",
    "attack the repaired": "attack --model r.pt --n 4 --all --budget 60 --out repaired",
    "predict": "predict --model m.pt --data a.npz --out p.csv",
    "evaluate": "evaluate --model m.pt",
}
HERE = ("repair",)  # has no device


def run(folder: Path, device: str, **environment: str) -> dict[str, str]:
    """How each command ended on a device, and what was printed."""
    random = np.random.default_rng(0)
    labels = np.arange(60) % 3
    images = random.normal(0.3, 0.1, (60, 1, 12, 12)) + 0.3 * (labels[:, None, None, None] == 1)
    images[labels == 2, :, 3:9, 3:9] += 0.5
    for name, noise in (("a", 0.0), ("b", 0.1)):
        noisy = images + random.normal(0, noise, images.shape) if noise else images
        np.savez(folder / f"{name}.npz", images=noisy.astype(np.float32), labels=labels)
    _, data = make_audit(folder)  # net.pt, and galaxies in electrons
    replace(ImageSet.load(data), meta=Depth(LSST, 10, 10).meta()).save(folder / "lsst")
    words: list[str] = []
    for command in COMMANDS.values():
        words += [*command.split(), *(() if command.split()[0] in HERE else ("--device", device)), "then"]
    done = subprocess.run(
        [sys.executable, "-m", "tests.pretend", *words[:-1]],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", **environment},
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    ended = [line for line in done.stdout.splitlines() if line.startswith("ended ")]
    assert len(ended) == len(COMMANDS), done.stdout[-2000:] + done.stderr[-4000:]
    return {**dict(zip(COMMANDS, ended, strict=True)), "printed": done.stderr}


@pytest.fixture(scope="module", params=["1", pytest.param("0", marks=pytest.mark.slow)], ids=["cuda", "mps"])
def device(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp("device")
    return folder, run(folder, "pretend", PRETEND_FLOAT64=request.param)


def test_every_command_ends_well(device):
    _, ended = device
    failed = {name: ended[name] for name in COMMANDS if not ended[name].endswith(": 0")}
    assert not failed, f"{failed}\n{ended['printed'][-6000:]}"


def test_it_finds_what_the_cpu_finds(device, tmp_path, monkeypatch):
    from robustkit.cli import main

    folder, _ = device
    monkeypatch.chdir(folder)
    for name in ("attack", "certify", "certify some cells"):
        words = COMMANDS[name].split()
        with pytest.raises(SystemExit, match=r"^0$"):
            main([*words[:-1], str(tmp_path / words[-1]), "--device", "cpu"])
    for kind, where, fields in (
        (AttackRecord, "attack/attack.npz", ("flipped",)),
        (CertificateRecord, "certify/certificates.npz", ("flipping", "flips_map", "certified")),
        (CertificateRecord, "sampled/certificates.npz", ("at_most", "queries")),
    ):
        ours, cpus = kind.load(folder / where), kind.load(tmp_path / where)
        assert ours.correct.any(), "a network that is always wrong is never attacked"
        for field in fields:
            np.testing.assert_array_equal(getattr(ours, field), getattr(cpus, field), err_msg=f"{where}: {field}")
