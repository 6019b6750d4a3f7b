"""Whatever the bytes, a reader gives an image set or one of robustkit's own errors."""

import io
import random
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from robustkit.data import ImageSet, Split, open_images
from robustkit.errors import RobustkitError
from tests.data.samples import images, labels


def _npy(folder: Path) -> tuple[Path, Path]:
    np.save(folder / "images.npy", images(6))
    return folder / "images.npy", folder / "images.npy"


def _labels(folder: Path) -> tuple[Path, Path]:
    np.save(folder / "images.npy", images(6))
    np.save(folder / "labels.npy", labels(6))
    return folder / "images.npy", folder / "labels.npy"


def _npz(folder: Path) -> tuple[Path, Path]:
    np.savez_compressed(
        folder / "a.npz",
        images=images(2),
        labels=labels(2),
        ids=np.array(["a", "b"]),
        split=np.array(["train", "test"]),
    )
    return folder / "a.npz", folder / "a.npz"


def _picture(kind: str) -> Callable[[Path], tuple[Path, Path]]:
    def make(folder: Path) -> tuple[Path, Path]:
        Image.fromarray(np.arange(12 * 14 * 3, dtype=np.uint8).reshape(12, 14, 3)).save(folder / f"a.{kind}")
        return folder / f"a.{kind}", folder / f"a.{kind}"

    return make


def _csv(folder: Path) -> tuple[Path, Path]:
    for row in range(3):
        np.save(folder / f"{row}.npy", images(3)[row])
    (folder / "a.csv").write_text(
        "id,file,label\n" + "".join(f"g{row},{row}.npy,{'ab'[row % 2]}\n" for row in range(3))
    )
    return folder / "a.csv", folder / "a.csv"


def _fits(compressed: bool) -> Callable[[Path], tuple[Path, Path]]:
    def make(folder: Path) -> tuple[Path, Path]:
        fits = pytest.importorskip("astropy.io.fits")
        image = fits.CompImageHDU(np.arange(400, dtype=np.int16).reshape(20, 20)) if compressed else None
        image = image or fits.ImageHDU(images(1, 1)[0, 0].astype(np.float64))
        fits.HDUList([fits.PrimaryHDU(), image]).writeto(folder / "a.fits", checksum=not compressed)
        return folder / "a.fits", folder / "a.fits"

    return make


def _hdf5(folder: Path) -> tuple[Path, Path]:
    h5py = pytest.importorskip("h5py")
    with h5py.File(folder / "a.h5", "w") as file:
        file["images"], file["labels"] = images(2), labels(2)
    return folder / "a.h5", folder / "a.h5"


def _saved(folder: Path) -> tuple[Path, Path]:
    ImageSet(images(6), labels(6), ("a", "b", "c"), ("g", "r", "i"), np.array(list("abcdef"))).save(folder / "set")
    return folder / "set", folder / "set" / "imageset.json"


def harm(data: bytes, seed: int) -> bytes:
    """The bytes, cut, replaced, torn, or with some of them changed, mostly where headers are."""
    rng = random.Random(seed)
    kind = rng.random()
    if kind < 0.2:
        return data[: rng.randrange(len(data))]
    if kind < 0.25:
        return rng.randbytes(rng.randrange(1, 200))
    if kind < 0.3:
        return data[: rng.randrange(len(data))] + rng.randbytes(30) + data[rng.randrange(len(data)) :]
    harmed = bytearray(data)
    end = len(data) if rng.random() < 0.5 else min(len(data), 400)
    for _ in range(rng.choice([1, 2, 8])):
        harmed[rng.randrange(end)] = rng.randrange(256)
    return bytes(harmed)


@pytest.mark.parametrize(
    ("make", "rounds"),
    [
        pytest.param(_npy, 150, id="npy"),
        pytest.param(_labels, 100, id="labels"),
        pytest.param(_npz, 150, id="npz"),
        pytest.param(_picture("png"), 150, id="png"),
        pytest.param(_picture("jpg"), 150, id="jpg"),
        pytest.param(_csv, 100, id="csv"),
        pytest.param(_fits(compressed=False), 40, id="fits"),
        pytest.param(_fits(compressed=True), 40, id="compressed fits"),
        pytest.param(_hdf5, 5, id="hdf5"),
        pytest.param(_saved, 100, id="saved"),
    ],
)
def test_harmed_files_give_images_or_our_error(tmp_path, make, rounds):
    path, target = make(tmp_path)
    data = target.read_bytes()
    assert len(open_images(path)) > 0
    refused: list[str] = []
    for seed in range(rounds):
        target.write_bytes(harm(data, seed))
        try:
            image_set = open_images(path)
        except RobustkitError as error:
            refused.append(str(error))
        else:
            assert np.isfinite(image_set.images).all()
    assert len(refused) > rounds / 5
    assert all(message.isprintable() for message in refused)  # one line each, and nothing that moves the cursor


@pytest.mark.parametrize("seed", range(100))
def test_a_harmed_split_gives_itself_or_our_error(tmp_path, seed):
    split = Split(("a", "b"), ("c",), ("d", "e"))
    path = split.save(tmp_path / "split.json")
    path.write_bytes(harm(path.read_bytes(), seed))
    try:
        loaded = Split.load(path)
    except RobustkitError:
        return
    assert loaded.sha256 == split.sha256


@pytest.mark.parametrize(
    "name", ["a.npy", "a.npz", "a.png", "a.jpg", "a.csv", "a.tsv", "a.fits", "a.fits.fz", "a.h5", "imageset.json"]
)
@pytest.mark.parametrize("content", ["nothing", "noise", "npy", "zip", "png", "text"])
def test_files_of_another_kind_give_our_error(tmp_path, name, content):
    buffer = io.BytesIO()
    if content == "npy":
        np.save(buffer, np.zeros((2, 2), np.complex64))
    elif content == "zip":
        np.savez(buffer, a=np.zeros(2))
    elif content == "png":
        Image.new("CMYK", (4, 4)).save(buffer, "JPEG")
    else:
        buffer.write({"nothing": b"", "noise": random.Random(0).randbytes(5000), "text": b"hello,\n"}[content])
    (tmp_path / name).write_bytes(buffer.getvalue())
    with pytest.raises(RobustkitError):
        open_images(tmp_path if name == "imageset.json" else tmp_path / name)
