"""What `tests.fuzz_models` damages besides models: image sets of every format, and every file that is read back."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from robustkit.auditing.audit import run_audit
from robustkit.auditing.merge import merge_runs
from robustkit.auditing.report import compare_audits, write_report
from robustkit.auditing.request import AttackPart, AuditRequest, CertifyPart, SweepPart, read_request
from robustkit.catalogues.predict import PredictRequest, run_predict
from robustkit.data import ImageSet, Split, open_images
from robustkit.findings.attack.measure import run_attack
from robustkit.findings.attack.record import AttackRequest
from robustkit.findings.certify.measure import run_certify
from robustkit.findings.certify.record import CertifyRequest
from robustkit.findings.distances.measure import run_distances
from robustkit.findings.remedy.record import RemedyPart
from robustkit.findings.sweep.measure import run_sweep
from robustkit.findings.sweep.record import SweepRequest
from robustkit.models import ModelOptions, open_model
from robustkit.models.foreign.options import parse_kwargs
from robustkit.training import Settings, train
from robustkit.training.keeping import Keeper
from tests.attacks import silent
from tests.audits import make_audit
from tests.data import test_readers_fuzz as made
from tests.data.samples import images, labels
from tests.newer import NEWER, Runs
from tests.training.worlds import squares

ONE = AttackRequest(n=4, budget=8, group=2, searches=("random",))
TABLES = (".json", ".toml", ".csv")


@dataclass(frozen=True)
class Target:
    """Something that is opened again and again with one of its files damaged.

    Attributes:
        whole: The file, or the folder, as it should be; it is copied for each try.
        files: Which of its files are damaged, from its root; none for a single file.
        open: Opens the copy; it may raise our own errors and no others.
        cost: About how many seconds it takes.
    """

    whole: Path
    files: tuple[str, ...]
    open: Callable[[Path], object]
    cost: float = 0.02


def image_targets(folder: Path) -> dict[str, Target]:
    """A small image set of every format."""
    makers: dict[str, Callable[[Path], tuple[Path, Path]]] = {
        "npy": made._npy, "labels": made._labels, "npz": made._npz, "png": made._picture("png"),
        "jpg": made._picture("jpg"), "csv": made._csv, "fits": made._fits(False), "fz": made._fits(True),
        "hdf5": made._hdf5, "own set": made._saved, "tar": _tar, "parquet": _parquet, "zarr": _zarr,
        "galaxies": _galaxies, "bands": _bands,
    }  # fmt: skip
    found: dict[str, Target] = {}
    for name, make in makers.items():
        place = folder / name.replace(" ", "-")
        place.mkdir(parents=True)
        opened, damaged = make(place)
        files = _below(opened) if name in ("zarr", "bands") else (str(damaged.relative_to(place)),)
        inside = opened.relative_to(place)
        files = tuple(str(inside / one) for one in files) if name in ("zarr", "bands") else files
        said = {"bands": ("g", "r")} if name == "bands" else {}
        found[f"images {name}"] = Target(
            place, files, lambda at, inside=inside, said=said: open_images(at / inside, **said),
            1.0 if name == "hdf5" else 0.05,
        )  # fmt: skip
    Split(("a", "b"), ("c",), ("d", "e")).save(folder / "split.json")
    return found | {"split": Target(folder / "split.json", (), Split.load)}


def _below(folder: Path) -> tuple[str, ...]:
    return tuple(sorted(str(file.relative_to(folder)) for file in folder.rglob("*") if file.is_file()))


def _tar(folder: Path) -> tuple[Path, Path]:
    from tests.security.image_bombs import IMAGE_BOMBS, member, png  # its tools, and none of its bombs

    assert IMAGE_BOMBS
    import io
    import tarfile

    with tarfile.open(folder / "a.tar", "w") as archive:
        for number in range(4):
            for info, data in (
                member(f"{number}.png", png(8, 8, "RGB")),
                member(f"{number}.json", json.dumps({"label": number % 2}).encode()),
            ):
                info.size = len(data)
                archive.addfile(info, io.BytesIO(data))
    return folder / "a.tar", folder / "a.tar"


def _parquet(folder: Path) -> tuple[Path, Path]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    nested = images(6, 2, 5, 6).astype(np.float64).tolist()
    pq.write_table(pa.table({"image": nested, "label": labels(6), "id": list("abcdef")}), folder / "a.parquet")
    return folder / "a.parquet", folder / "a.parquet"


def _zarr(folder: Path) -> tuple[Path, Path]:
    import zarr

    group = zarr.open_group(folder / "a.zarr", mode="w", zarr_format=2)
    group.create_array("images", data=images(4), chunks=(2, 3, 12, 14))
    group.create_array("labels", data=labels(4))
    return folder / "a.zarr", folder / "a.zarr"


def _galaxies(folder: Path) -> tuple[Path, Path]:
    (folder / "set").mkdir()
    for depth in ("deep", "shallow"):
        made._saved(folder / "set")[0].rename(folder / "set" / depth)
    (folder / "set" / "galaxies.json").write_text('{"kind": "robustkit-galaxies", "depths": ["deep", "shallow"]}')
    return folder / "set", folder / "set" / "galaxies.json"


def _bands(folder: Path) -> tuple[Path, Path]:
    from astropy.io import fits

    (folder / "set").mkdir()
    for band in "gr":
        for number in range(2):
            fits.PrimaryHDU(images(1, 1, seed=number)[0, 0]).writeto(folder / "set" / f"a{number}_{band}.fits")
    return folder / "set", folder / "set" / "a0_g.fits"


def read_back_targets(folder: Path) -> dict[str, Target]:
    """Cards, requests, and the folders of runs and audits, each opened by the commands that open it."""
    folder.mkdir(parents=True)
    model, _ = make_audit(folder / "world")
    settings: dict[str, Any] = {"searches": ("random",), "budget": 8}
    request = AuditRequest(
        str(model), n=6, effort="quick", attack=AttackPart(**settings), certify=CertifyPart(seconds=2.0),
        sweep=SweepPart(perturbations=("gaussian",)), fail_under=("flip_rate<=1",),
        remedy=RemedyPart(tried=True, n=3, fronts=("clip",)),
    )  # fmt: skip
    audit = folder / "audit"
    run_audit(request, out=audit, device="cpu", say=silent)
    run = run_attack(model, ONE, out=folder / "attack", device="cpu", say=silent).folder
    kinds = {
        "certify": (run_certify, CertifyRequest(n=4, group=2, budget=100)),
        "sweep": (run_sweep, SweepRequest(n=4, group=2, perturbations=("gaussian",))),
    }
    for name, (make, asked) in kinds.items():
        make(model, asked, out=folder / name, device="cpu", say=silent)
    for k in (1, 2):
        run_attack(model, ONE, out=folder / "shards" / str(k), shard=f"{k}/2", device="cpu", say=silent)
    (folder / "card.toml").write_text(
        'arch = "robustkit:ConvNet"\nclasses = ["a", "b", "c"]\nbands = ["g", "r", "i"]\nmean = [0.1, 0.2, 0.3]\n'
        'std = [1.0, 1.0, 1.0]\ninput_size = [24, 24]\nlatent = "bottleneck"\nbounds = [-1.0, 5.0]\n'
    )
    (folder / "kwargs.json").write_text('{"classes": 3, "size": [24, 24], "more": {"a": [1, null, true]}}')
    parts = ("parts/0000000.npz", "parts/0000001.npz", "manifest.json", "summary.json", "lock")
    (run / "lock").write_text(json.dumps({"host": "elsewhere", "pid": 1}))
    read = [name for name in _below(audit) if name.endswith((".npz", *TABLES)) and not name.startswith("figures")]

    _unfinished_training(folder / "training")

    def resume(at: Path) -> None:
        run_attack(model, ONE, out=at, resume=True, device="cpu", say=silent)

    def look(at: Path) -> None:
        run_distances(model, at, out=at.with_name("distances"), device="cpu", say=silent)

    def compare(at: Path) -> None:
        compare_audits(audit, at, out=at.with_name("both"), say=silent)

    def baseline(at: Path) -> None:
        write_report(audit, baseline=str(at), say=silent)

    def again(kind: str) -> Callable[[Path], object]:
        make, asked = kinds[kind]
        return lambda at: make(model, asked, out=at, resume=True, device="cpu", say=silent)

    return _newer_targets(folder / "newer") | {
        "training resumed": Target(folder / "training", ("a.state", "a.state", "a.jsonl"), _train, 0.5),
        "card": Target(folder / "card.toml", (), lambda at: open_model(model, ModelOptions(card=str(at)))),
        "kwargs": Target(folder / "kwargs.json", (), lambda at: parse_kwargs(str(at))),
        "request": Target(audit / "audit.toml", (), read_request),
        "attack resumed": Target(run, parts, resume, 0.5),
        "certify resumed": Target(folder / "certify", parts[:4], again("certify"), 0.5),
        "sweep resumed": Target(folder / "sweep", parts[:4], again("sweep"), 0.5),
        "shards merged": Target(
            folder / "shards", ("1/manifest.json", "2/manifest.json", "1/parts/0000000.npz", "2/parts/0000001.npz"),
            lambda at: merge_runs([at / "1", at / "2"], out=at / "all", say=silent), 0.5,
        ),
        "distances of a run": Target(run, ("summary.json", "attack.npz", "manifest.json"), look, 0.5),
        "report": Target(audit, tuple(read), lambda at: write_report(at, say=silent), 4.0),
        "audit again": Target(
            audit, tuple(read), lambda at: run_audit(request, out=at, device="cpu", say=silent), 4.0
        ),
        "compare": Target(audit, tuple(read), compare, 4.0),
        "baseline": Target(audit / "audit.json", (), baseline, 4.0),
    }  # fmt: skip


def _newer_targets(folder: Path) -> dict[str, Target]:
    """Runs of the newer commands, a catalogue that is carried along, and a calibration that sets are made from."""
    folder.mkdir()
    runs, found = Runs.build(folder), dict[str, Target]()
    for name in NEWER:
        runs.run(name, folder / name)
        records = tuple(one.name for one in (folder / name).glob("*.npz"))
        files = ("parts/0000000.npz", "parts/0000001.npz", "manifest.json", "summary.json", *records)
        found[f"{name} resumed"] = Target(
            folder / name, files, lambda at, name=name: runs.run(name, at, resume=True), 0.5
        )
    rows = "".join(f"{one},{k},{-k}.5\n" for k, one in enumerate(ImageSet.load(folder / "galaxies").ids))
    (folder / "c.csv").write_text(f"id,ra,dec\n{rows}")

    def carry(at: Path) -> None:
        request = PredictRequest(data=folder / "galaxies", columns=("ra,dec",), catalogue=at)
        run_predict(runs.model, request, out=at.with_name("predicted"), device="cpu", say=silent)

    def calibrated(at: Path) -> None:
        run, request = runs.kinds["flag"]
        how = {"out": at.with_name("flagged"), "device": "cpu", "say": silent}
        run(runs.model, replace(request, conformal=at), **how)

    calibration = tuple(name for name in _below(folder / "conformal") if not name.startswith("parts"))
    return found | {
        "catalogue": Target(folder / "c.csv", (), carry, 0.1),
        "flag with a calibration": Target(folder / "conformal", calibration, calibrated, 0.3),
    }


class _Killed(BaseException):
    """The process is gone: nothing of ours catches this."""


def _unfinished_training(folder: Path) -> None:
    """The state and the log of a training that was killed in its second epoch."""
    folder.mkdir()
    real, calls = Keeper.after_epoch, []

    def dying(self: Keeper, run: Any) -> None:
        real(self, run)
        calls.append(1)
        if len(calls) == 2:
            raise _Killed

    Keeper.after_epoch = dying
    try:
        _train(folder)
    except _Killed:
        pass
    finally:
        Keeper.after_epoch = real


def _train(folder: Path) -> None:
    train(squares(60), out=folder / "a.pt", settings=Settings(epochs=3, batch=12), resume=True, device="cpu")


def copied(target: Target, into: Path) -> Path:
    """A fresh copy of what a target opens."""
    at = into / target.whole.name
    for old in into.iterdir():
        shutil.rmtree(old) if old.is_dir() and not old.is_symlink() else old.unlink()
    if target.whole.is_dir():
        shutil.copytree(target.whole, at)
    else:
        shutil.copy(target.whole, at)
    return at


def other_value(value: Any, rng: np.random.Generator) -> Any:
    """A JSON document with one of its values, anywhere, of another kind, gone, or far away."""
    places: list[tuple[Any, Any]] = []

    def visit(inside: Any) -> None:
        for key in inside if isinstance(inside, dict) else range(len(inside)):
            places.append((inside, key))
            if isinstance(inside[key], dict | list):
                visit(inside[key])

    whole = [value]
    visit(whole)
    inside, key = places[int(rng.integers(len(places)))]
    new = (None, True, -1, 0, 1e308, 10**30, 1.5, "", "x", "../x", "\x1b[2J", "\u202e", "é", [], {}, [[]], {"a": 1},
           ["x"], "9" * 400, float("nan"), [None] * 3, 2**63)  # fmt: skip
    what = int(rng.integers(len(new) + 2))
    if what < len(new):
        inside[key] = new[what]
    elif isinstance(inside, dict):
        if what == len(new):
            del inside[key]
        else:
            inside[f"{key}x"] = inside.pop(key)
    else:
        inside.insert(key, inside[key])
    return whole[0] if whole else None


def other_line(text: str, rng: np.random.Generator) -> str:
    """A text of lines with one value on the right of a sign of another kind, or a line gone or doubled."""
    lines = text.splitlines()
    place = int(rng.integers(len(lines)))
    key, sign, _ = lines[place].partition(" = ")
    new = (
        "-1",
        "1e400",
        "true",
        '"x"',
        "[]",
        "{}",
        '["x"]',
        "nan",
        "9" * 400,
        '"\\u001b[2J"',
        "",
        "1979-05-27",
        "-inf",
    )
    if sign and rng.random() < 0.7:
        lines[place] = f"{key} = {new[int(rng.integers(len(new)))]}"
    elif rng.random() < 0.5:
        lines.insert(place, lines[place])
    else:
        del lines[place]
    return "\n".join(lines) + "\n"
