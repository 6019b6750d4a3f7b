"""HDF5, which is opened in a process of its own."""

import numpy as np
import pytest

from robustkit.data import open_images
from robustkit.data.readers import hdf5
from robustkit.errors import InputError, MissingExtra
from tests.data.samples import has_note, images, labels

h5py = pytest.importorskip("h5py")


def test_datasets_are_found_and_reported(tmp_path, monkeypatch):
    with h5py.File(tmp_path / "Galaxy10.h5", "w") as file:
        file.create_dataset("images", data=np.moveaxis(images(), 1, -1), chunks=(7, 12, 14, 3), compression="gzip")
        file["ans"] = labels().astype(np.uint8)
        file["name"] = [f"é{i}" for i in range(20)]
    monkeypatch.setattr("robustkit.data.pixels.BLOCK_BYTES", 3 * images()[0].nbytes)
    image_set = open_images(tmp_path / "Galaxy10.h5", class_names=["a", "b", "c"])
    np.testing.assert_array_equal(image_set.images, images())
    np.testing.assert_array_equal(image_set.labels, labels())
    assert image_set.ids[19] == "é19"
    for words in (("images: the array 'images'", "(20, 12, 14, 3) float32"), ("labels: the array 'ans'",)):
        assert has_note(image_set, *words)


def test_datasets_in_groups_can_be_named(tmp_path):
    with h5py.File(tmp_path / "a.hdf5", "w") as file:
        file["train/images"], file["test/images"] = images(), images(6, seed=1).astype(">f8")
        file["train/labels"], file["test/labels"] = labels(), labels(6)
    with pytest.raises(InputError, match="several arrays could be the images"):
        open_images(tmp_path / "a.hdf5")
    image_set = open_images(tmp_path / "a.hdf5", images="test/images")
    np.testing.assert_array_equal(image_set.images, images(6, seed=1))
    np.testing.assert_array_equal(image_set.labels, labels(6))


def test_nothing_outside_the_file_is_read(tmp_path):
    with h5py.File(tmp_path / "other.h5", "w") as file:
        file["images"] = images()
    (tmp_path / "raw.bin").write_bytes(images().tobytes())
    layout = h5py.VirtualLayout(shape=(20, 3, 12, 14), dtype="f4")
    layout[:] = h5py.VirtualSource(str(tmp_path / "other.h5"), "images", shape=(20, 3, 12, 14))
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["link"] = h5py.ExternalLink("other.h5", "/images")
        file["soft"] = h5py.SoftLink("/link")
        file.create_virtual_dataset("virtual", layout)
        file.create_dataset(
            "raw", (20, 3, 12, 14), "f4", external=[(str(tmp_path / "raw.bin"), 0, 20 * 3 * 12 * 14 * 4)]
        )
    with pytest.raises(InputError, match="holds no array of images; it holds nothing"):
        open_images(tmp_path / "a.h5")
    for name in ("virtual", "raw"):
        with pytest.raises(InputError, match=f"{name!r} .* keeps its values in another file; copy it"):
            open_images(tmp_path / "a.h5", images=name)
    with pytest.raises(InputError, match="has no array 'link'"):
        open_images(tmp_path / "a.h5", images="link")


def test_a_dataset_that_claims_more_than_is_stored_is_refused(tmp_path):
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file.create_dataset("images", (10**6, 3, 1000, 1000), "f8", chunks=(1, 3, 100, 100))
    with pytest.raises(InputError, match="claims 24000000000000 bytes and stores 0"):
        open_images(tmp_path / "a.h5")


def test_records_are_not_taken_for_images(tmp_path):
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["images"] = np.zeros((4, 5, 6), dtype=[("x", "f4")])
    with pytest.raises(InputError, match="holds no array of images"):
        open_images(tmp_path / "a.h5")


@pytest.mark.parametrize("keep", [100, 2000, -1])
def test_truncated_files_are_refused(tmp_path, keep):
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["images"] = images()
    (tmp_path / "a.h5").write_bytes((tmp_path / "a.h5").read_bytes()[:keep])
    with pytest.raises(InputError, match="not readable as an HDF5 file"):
        open_images(tmp_path / "a.h5")


@pytest.mark.parametrize(
    ("script", "message"),
    [
        ("import time; time.sleep(60)", "crashed or hung"),
        ("import os, signal; os.kill(os.getpid(), signal.SIGSEGV)", "crashed or hung"),
        ("import sys; sys.exit('OSError: bad heap')", r"\(OSError: bad heap\)"),
    ],
)
def test_a_library_that_hangs_or_crashes_takes_nothing_along(tmp_path, monkeypatch, script, message):
    (tmp_path / "a.h5").write_bytes(b"x")
    (tmp_path / "worker.py").write_text(script)
    monkeypatch.setattr(hdf5, "WORKER", tmp_path / "worker.py")
    monkeypatch.setattr(hdf5, "PATIENCE", 1.0)
    with pytest.raises(InputError, match=message):
        open_images(tmp_path / "a.h5")


def test_a_library_that_stops_in_the_middle_is_seen(tmp_path, monkeypatch):
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["images"] = images()
    script = hdf5.WORKER.read_text().replace(
        "        for name in rest[1:]:\n", "        sys.exit('torn')\n        for name in ():\n"
    )
    assert script.count("torn") == 1
    (tmp_path / "worker.py").write_text(script)
    monkeypatch.setattr(hdf5, "WORKER", tmp_path / "worker.py")
    with pytest.raises(InputError, match=r"\(torn\)"):
        open_images(tmp_path / "a.h5")


def test_without_h5py_the_extra_is_named(tmp_path, monkeypatch):
    (tmp_path / "a.h5").write_bytes(b"x")
    monkeypatch.setitem(__import__("sys").modules, "h5py", None)
    with pytest.raises(MissingExtra, match=r"pip install 'robustkit-audit\[hdf5\]'"):
        open_images(tmp_path / "a.h5")


def _packed():
    stored = np.arange(2 * 3 * 12 * 14, dtype=np.int16).reshape(2, 3, 12, 14)
    stored[1, 2, 3, 4] = -999
    expected = np.where(stored == -999, np.nan, stored * 0.5 + 10)
    expected[1, 2, 3, 4] = np.median(expected[1, 2][np.isfinite(expected[1, 2])])
    return stored, expected


@pytest.mark.parametrize("key", ["_FillValue", "missing_value"])
def test_attributes_scale_values_and_say_which_are_undefined(tmp_path, key):
    stored, expected = _packed()
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["images"] = stored
        file["images"].attrs.update({key: np.int16([-999]), "scale_factor": 0.5, "add_offset": 10.0})
    made = open_images(tmp_path / "a.h5", nan="fill")
    np.testing.assert_allclose(made.images, expected)
    assert has_note(made, "-999 stands for an undefined pixel")
    assert has_note(made, "times 0.5 plus 10")
    with pytest.raises(InputError, match="--nan fill"):
        open_images(tmp_path / "a.h5")


def test_a_fill_value_is_of_the_type_of_the_data_and_a_scale_is_a_number(tmp_path):
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["images"] = np.where(images(2) == images(2)[0, 0, 0, 0], np.float32(1e20), images(2))
        file["images"].attrs["_FillValue"] = 1e20
    assert np.abs(open_images(tmp_path / "a.h5", nan="fill").images).max() < 1e19
    for wrong in ("wide", 0.0):
        with h5py.File(tmp_path / "a.h5", "a") as file:
            file["images"].attrs["scale_factor"] = wrong
        with pytest.raises(InputError, match="scale_factor"):
            open_images(tmp_path / "a.h5")
