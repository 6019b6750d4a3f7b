"""Damages files at random for a while and opens them: only robustkit's own errors may leave what opens them.

Models of every kind, image sets of every format, and every file that robustkit reads back.

python -m tests.fuzz_models --seconds 600
"""

from __future__ import annotations

import argparse
import io
import json
import signal
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import save_file

from robustkit.errors import RobustkitError
from robustkit.findings.preflight.measure import check_file
from robustkit.models import ConvNet, ModelOptions, open_model
from tests.audits import make_audit
from tests.fuzz_files import Target, copied, image_targets, other_line, other_value, read_back_targets
from tests.models.foreign.networks import PublishedConvNet, settled
from tests.models.foreign.payloads import FORMS

PATIENCE = 60  # seconds after which a file counts as endless


def model_targets(folder: Path) -> dict[str, Target]:
    """One whole model file of each kind."""
    folder.mkdir(parents=True)
    network = settled(PublishedConvNet(side=1))
    content = {"epoch": 1, "base_network": network.state_dict(), "args": argparse.Namespace(lr=0.1)}
    found: dict[str, bytes] = {}
    for name, new in (("zip", True), ("legacy", False)):
        buffer = io.BytesIO()
        torch.save(content, buffer, _use_new_zipfile_serialization=new)
        found[name] = buffer.getvalue()
    save_file(settled(ConvNet(size=(8, 8))).state_dict(), folder / "s")
    found["safetensors"] = (folder / "s").read_bytes()
    found["own"] = make_audit(folder / "world")[0].read_bytes()
    for name in ("torch_zip", "raw_pickle", "scripted", "exported", "package", "npy", "npz", "tar"):
        FORMS[name](folder / name, folder.parent / "marker")
        found[name] = (folder / name).read_bytes()
    try:
        from tests.models.foreign.graphs import write

        write(folder / "onnx")
        found["onnx"] = (folder / "onnx").read_bytes()
    except ImportError:
        pass
    targets = {}
    for name, data in found.items():
        (folder / f"{name}.bin").write_bytes(data)
        own = name in ("own", "onnx")
        targets[f"model {name}"] = Target(folder / f"{name}.bin", (), _opener(None if own else "robustkit:ConvNet"))
    return targets


def _opener(arch: str | None) -> Callable[[Path], object]:
    def opened(path: Path) -> None:
        check_file(path)
        open_model(path, ModelOptions(arch=arch))

    return opened


def damage(data: bytes, rng: np.random.Generator) -> bytes:
    """One file cut, flipped, or with a piece of it elsewhere; its first and last bytes are hit more often."""
    out = bytearray(data or b"\0")
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


def harm(path: Path, rng: np.random.Generator) -> None:
    """Damages a file: its bytes, or, of JSON and TOML, often one of its values, so that it still parses."""
    data = path.read_bytes()
    if path.suffix == ".json" and rng.random() < 0.7:
        path.write_text(json.dumps(other_value(json.loads(data), rng)))
    elif path.suffix in (".toml", ".csv") and rng.random() < 0.7:
        path.write_text(other_line(data.decode(), rng))
    elif path.suffix == ".state" and rng.random() < 0.7:
        content = torch.load(path, weights_only=True)
        _harm_value(content, rng)
        torch.save(content, path)
    elif path.suffix == ".npz" and rng.random() < 0.5:
        _harm_header(path, rng)
    else:
        path.write_bytes(damage(data, rng))


def _harm_value(value: Any, rng: np.random.Generator) -> None:
    """Another tensor, another value, or none, somewhere in what torch has saved."""
    keys = list(value) if isinstance(value, dict) else list(range(len(value)))
    while True:
        key = keys[int(rng.integers(len(keys)))]
        inside = value[key]
        if not (isinstance(inside, dict | list) and inside) or rng.random() < 0.15:
            break
        value, keys = inside, list(inside) if isinstance(inside, dict) else list(range(len(inside)))
    new = (None, -1, 10**30, float("nan"), "x", [], {}, torch.zeros(0), torch.zeros(3, 3), torch.full((1,), 1 << 40))
    if isinstance(value, dict) and rng.random() < 0.3:
        del value[key]
    else:
        value[key] = new[int(rng.integers(len(new)))]


def _harm_header(path: Path, rng: np.random.Generator) -> None:
    """Another value, or another array, in a record that is otherwise whole."""
    with np.load(path) as archive:
        content: dict[str, Any] = {name: archive[name] for name in archive.files}
    header = next((name for name in content if name.startswith("__")), None)
    arrays = [name for name in content if name != header]
    if header is not None and (rng.random() < 0.5 or not arrays):
        content[header] = np.array(json.dumps(other_value(json.loads(str(content[header])), rng)))
    elif arrays:
        name = arrays[int(rng.integers(len(arrays)))]
        whole = content[name]
        others = (whole[:1], whole.astype("U8"), np.zeros(0), whole[..., None], np.full(whole.shape, 2**62),
                  np.array(3), np.full(whole.shape, np.nan), -np.ones(whole.shape, np.int64))  # fmt: skip
        content[name] = others[int(rng.integers(len(others)))] if whole.ndim else np.zeros(3)
    np.savez(path, **content)


def _too_long(number: int, frame: object) -> None:
    raise TimeoutError(f"not opened within {PATIENCE} seconds")


def fuzz(
    folder: Path, *, seconds: float, seed: int = 0, most: int | None = None, targets: dict[str, Target] | None = None
) -> Counter[str]:
    """Opens damaged files until the time is over; each target gets about the same share of it.

    Returns:
        How often each was opened or refused, and under `FAILED` what else left it, by its kind and place.
    """
    rng = np.random.default_rng(seed)
    targets = targets if targets is not None else model_targets(folder / "models")
    at = folder / "at"
    at.mkdir()
    counts: Counter[str] = Counter()
    spent = dict.fromkeys(targets, 0.0)
    before = signal.signal(signal.SIGALRM, _too_long)
    end = time.monotonic() + seconds
    while time.monotonic() < end and (most is None or counts.total() < most):
        name = min(targets, key=lambda one: (spent[one], one))
        target = targets[name]
        path = copied(target, at)
        file = path / target.files[int(rng.integers(len(target.files)))] if target.files else path
        start = time.monotonic()
        try:
            harm(file, rng)
            signal.alarm(PATIENCE)
            target.open(path)
            counts[f"{name} opened"] += 1
        except RobustkitError:
            counts[f"{name} refused"] += 1
        except Exception as error:
            signal.alarm(0)
            place = traceback.extract_tb(error.__traceback__)[-1]
            kind = f"FAILED {name}, {file.name}: {type(error).__name__} at {Path(place.filename).name}:{place.lineno}"
            if kind not in counts:
                kept = Path(tempfile.gettempdir()) / f"robustkit-fuzz-{len(counts)}-{file.name}"
                kept.write_bytes(file.read_bytes() if file.is_file() else b"")
                print(f"{kind}: {error}\nthe file is kept as {kept}", file=sys.stderr)
                traceback.print_exc(limit=-6)
                sys.stderr.flush()
            counts[kind] += 1
        finally:
            signal.alarm(0)
        spent[name] += time.monotonic() - start + 0.01
    signal.signal(signal.SIGALRM, before)
    assert not (folder / "marker").exists(), "code from a file ran"
    return counts


def main() -> None:
    """Fuzzes everything, or what is named, and prints the counts."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", default="", help="Targets whose name holds this word.")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        targets = model_targets(folder / "models") | image_targets(folder / "images")
        targets |= read_back_targets(folder / "back")
        chosen = {name: target for name, target in targets.items() if asked.only in name}
        counts = fuzz(folder, seconds=asked.seconds, seed=asked.seed, targets=chosen)
    for kind, count in sorted(counts.items()):
        print(f"{count:6} {kind}")
    failed = sum(count for kind, count in counts.items() if kind.startswith("FAILED"))
    print(f"{counts.total()} files, {failed} ended in another error than ours")
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
