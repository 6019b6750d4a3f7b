"""Cuts and flips model files at random for a while: only robustkit's own errors may leave the loaders.

python -m tests.fuzz_models --seconds 60
"""

from __future__ import annotations

import argparse
import io
import tempfile
import time
from collections import Counter
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file

from robustkit.errors import RobustkitError
from robustkit.findings.preflight.measure import check_file
from robustkit.models import ConvNet, ModelOptions, open_model
from tests.audits import make_audit
from tests.models.foreign.networks import PublishedConvNet, settled
from tests.models.foreign.payloads import FORMS


def seeds(folder: Path) -> dict[str, bytes]:
    """One whole file of each kind."""
    network = settled(PublishedConvNet(side=1))
    content = {"epoch": 1, "base_network": network.state_dict(), "args": argparse.Namespace(lr=0.1)}
    found: dict[str, bytes] = {}
    for name, new in (("zip", True), ("legacy", False)):
        buffer = io.BytesIO()
        torch.save(content, buffer, _use_new_zipfile_serialization=new)
        found[name] = buffer.getvalue()
    save_file(settled(ConvNet(size=(8, 8))).state_dict(), folder / "s")
    found["safetensors"] = (folder / "s").read_bytes()
    found["own"] = make_audit(folder)[0].read_bytes()
    for name in ("torch_zip", "raw_pickle", "scripted", "exported", "package", "npy", "npz", "tar"):
        FORMS[name](folder / name, folder / "marker")
        found[name] = (folder / name).read_bytes()
    try:
        from tests.models.foreign.graphs import write

        write(folder / "onnx")
        found["onnx"] = (folder / "onnx").read_bytes()
    except ImportError:
        pass
    return found


def damage(data: bytes, rng: np.random.Generator) -> bytes:
    """One file cut, flipped, or with a piece of it elsewhere; its first and last bytes are hit more often."""
    out = bytearray(data)
    for _ in range(int(rng.integers(1, 6))):
        near = (rng.integers(min(2048, len(out))), len(out) - 1 - rng.integers(min(2048, len(out))))
        place = int((*near, rng.integers(len(out)))[rng.integers(3)])
        what = rng.integers(4)
        if what == 0:
            out[place] ^= 1 << int(rng.integers(8))
        elif what == 1:
            out[place : place + 8] = rng.bytes(8)
        elif what == 2 and len(out) > 64:
            del out[place : place + int(rng.integers(1, 64))]
        else:
            out[place:place] = out[: int(rng.integers(1, 64))]
    return bytes(out[: int(rng.integers(1, len(out) + 1))]) if rng.random() < 0.2 else bytes(out)


def fuzz(folder: Path, *, seconds: float, seed: int = 0, most: int | None = None) -> Counter[str]:
    """Opens damaged files until the time is over; anything but robustkit's own errors is raised.

    Returns:
        How often each kind was opened or refused.
    """
    rng = np.random.default_rng(seed)
    whole = seeds(folder)
    counts: Counter[str] = Counter()
    end = time.monotonic() + seconds
    while time.monotonic() < end and (most is None or counts.total() < most):
        for name, data in whole.items():
            path = folder / "damaged.bin"
            path.write_bytes(damage(data, rng))
            try:
                check_file(path)
                open_model(path, ModelOptions(arch=None if name in ("own", "onnx") else "robustkit:ConvNet"))
                counts[f"{name} opened"] += 1
            except RobustkitError:
                counts[f"{name} refused"] += 1
            except Exception:
                kept = Path(tempfile.gettempdir()) / f"robustkit-fuzz-{name}"
                kept.write_bytes(path.read_bytes())
                print(f"not refused in words: {kept}")
                raise
    assert not (folder / "marker").exists(), "code from a file ran"
    return counts


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as made:
        for kind, count in sorted(fuzz(Path(made), seconds=asked.seconds, seed=asked.seed).items()):
            print(f"{count:6} {kind}")
