"""Public galaxy sets, on synthetic files of the shapes in which they are published."""

import csv

import numpy as np
import pytest
from PIL import Image

from robustkit.data import open_images
from robustkit.data.readers.sets import PUBLIC_SETS
from robustkit.errors import InputError

RANDOM = np.random.default_rng(0)


def pictures(*shape):
    return RANDOM.integers(0, 256, shape, dtype=np.uint8)


def hdf5(path, **arrays):
    h5py = pytest.importorskip("h5py")
    with h5py.File(path, "w") as file:
        for name, values in arrays.items():
            file[name] = values
    return path


def test_galaxy10_sdss_is_one_line(tmp_path):
    path = hdf5(tmp_path / "Galaxy10.h5", images=pictures(20, 69, 69, 3), ans=np.arange(20, dtype=np.uint8) % 10)
    images = open_images(path)
    assert images.images.shape == (20, 3, 69, 69)
    assert images.class_names[1] == "smooth round"
    assert (images.bands, images.units, images.bounds) == (("R", "G", "B"), "display", (0.0, 255.0))
    assert images.labels.tolist() == [*range(10)] * 2
    assert any(note.startswith("recognised as Galaxy10 SDSS") for note in images.notes)
    assert not any("class names: not found" in note for note in images.notes)


def test_galaxy10_decals_has_coordinates_beside_it(tmp_path):
    beside = {name: RANDOM.random(10) for name in ("ra", "dec", "redshift", "pxscale")}
    labels = np.arange(10, dtype=np.uint8)
    images = open_images(hdf5(tmp_path / "Galaxy10_DECals.h5", images=pictures(10, 256, 256, 3), ans=labels, **beside))
    assert images.class_names[:2] == ("disturbed", "merging")
    assert images.labels.tolist() == [*range(10)]


@pytest.mark.parametrize("side", [64, 224])
@pytest.mark.parametrize("part", ["train", "test"])
def test_galaxy_mnist_in_both_sizes(tmp_path, side, part):
    path = hdf5(tmp_path / f"{part}_dataset.hdf5", images=pictures(8, side, side, 3), labels=np.arange(8) % 4)
    assert open_images(path).class_names == ("smooth round", "smooth cigar", "edge-on disk", "unbarred spiral")


def test_galaxy10_as_hugging_face_stores_it(tmp_path):
    pyarrow = pytest.importorskip("pyarrow")
    import io

    import pyarrow.parquet as pq

    def encoded(picture):
        file = io.BytesIO()
        Image.fromarray(picture).save(file, "PNG")
        return {"bytes": file.getvalue(), "path": None}

    folder = tmp_path / "galaxy10_decals"
    folder.mkdir()
    for part, count in (("train", 10), ("test", 3)):
        rows = {"image": [encoded(p) for p in pictures(count, 256, 256, 3)], "label": [k % 10 for k in range(count)]}
        pq.write_table(pyarrow.table(rows), folder / f"{part}-00000-of-00001.parquet")
    images = open_images(folder)
    assert images.class_names == next(each for each in PUBLIC_SETS if each.name == "Galaxy10 DECaLS").class_names
    assert sorted(set(images.meta["split"].values())) == ["test", "train"]


def test_what_only_has_the_name_is_opened_as_any_other(tmp_path):
    ten = np.arange(10, dtype=np.uint8)
    other = open_images(hdf5(tmp_path / "Galaxy10.h5", images=pictures(10, 32, 32, 3), ans=ten))
    assert other.class_names == tuple(map(str, range(10)))
    more = open_images(hdf5(tmp_path / "train_dataset.hdf5", images=pictures(10, 64, 64, 3), labels=ten))
    assert more.class_names == tuple(map(str, range(10)))


def test_what_the_user_says_goes_first(tmp_path):
    path = hdf5(tmp_path / "test_dataset.hdf5", images=pictures(4, 64, 64, 3), labels=np.arange(4))
    images = open_images(path, class_names=list("abcd"), bands=["x", "y", "z"])
    assert (images.class_names, images.bands) == (("a", "b", "c", "d"), ("x", "y", "z"))


def test_galaxy_zoo_cutouts_by_a_catalogue(tmp_path):
    # As the page says: a table made from the votes, beside a folder of cut-outs by their asset id.
    (tmp_path / "images").mkdir()
    rows = [(f"images/{asset}.jpg", name) for asset, name in ((58, "spiral"), (59, "smooth"), (60, "spiral"))]
    for path, _ in rows:
        Image.fromarray(pictures(424, 424, 3)).save(tmp_path / path)
    with open(tmp_path / "gz2.csv", "w", newline="") as file:
        csv.writer(file).writerows([("path", "label"), *rows])
    images = open_images(tmp_path / "gz2.csv", size=256)
    assert images.images.shape == (3, 3, 256, 256)
    assert images.class_names == ("smooth", "spiral")
    assert images.bands == ("R", "G", "B")


def test_mirabest_and_frdeep_after_their_batches_were_unpacked(tmp_path):
    # As the page says: the pickled batches hold rows of 150 x 150 bytes, labels and file names.
    data = pictures(6, 150 * 150)
    np.savez(
        tmp_path / "mirabest.npz",
        images=data.reshape(-1, 150, 150),
        labels=np.array([0, 1, 0, 1, 0, 1]),
        filenames=[f"{100 + k}_0.3.png" for k in range(6)],
        split=["train"] * 4 + ["test"] * 2,
        label_names=["FRI", "FRII"],
    )
    images = open_images(tmp_path / "mirabest.npz")
    assert images.images.shape == (6, 1, 150, 150)
    assert images.class_names == ("FRI", "FRII")
    assert sorted(set(images.meta["split"].values())) == ["test", "train"]


def test_a_pickled_batch_is_refused(tmp_path):
    import pickle

    (tmp_path / "data_batch_1").write_bytes(pickle.dumps({"data": [0], "labels": [0]}))
    with pytest.raises(InputError, match="cannot read"):
        open_images(tmp_path / "data_batch_1")


def test_stamps_of_the_cosmos_catalogue_have_many_sizes(tmp_path):
    fits = pytest.importorskip("astropy.io.fits")
    sides = [16, 40, 90]
    stamps = [fits.ImageHDU(RANDOM.normal(0, 1e-3, (side, side + 4))) for side in sides]
    fits.HDUList([fits.PrimaryHDU(), *stamps]).writeto(tmp_path / "real_galaxy_images.fits")
    images = open_images(tmp_path / "real_galaxy_images.fits", size=64, bands=["F814W"])
    assert images.images.shape == (3, 1, 64, 64)
    assert images.labels is None


def test_star_galaxy_stamps_in_folders_of_fits(tmp_path):
    fits = pytest.importorskip("astropy.io.fits")
    for name in ("star", "galaxy"):
        (tmp_path / "sdss" / name).mkdir(parents=True)
        for k in range(3):
            stamp = RANDOM.normal(0, 1, (5, 44, 44)).astype(np.float32)
            fits.PrimaryHDU(stamp).writeto(tmp_path / "sdss" / name / f"{k}.fits")
    images = open_images(tmp_path / "sdss", bands=["u", "g", "r", "i", "z"])
    assert images.images.shape == (6, 5, 44, 44)
    assert images.class_names == ("galaxy", "star")
