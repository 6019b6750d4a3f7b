"""Zarr: arrays of chunks, of both versions of the format, and only with codecs that run no code."""

import json
import sys
import warnings

import numpy as np
import pytest

from robustkit.data import open_images
from robustkit.errors import InputError, MissingExtra
from tests.data.samples import has_note, images, labels

zarr = pytest.importorskip("zarr")


def write(path, version, **arrays):
    group = zarr.open_group(path, mode="w", zarr_format=version)
    for name, values in arrays.items():
        chunks = (7, *values.shape[1:]) if values.ndim > 1 else values.shape
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # text has no fixed specification in version 3 yet
            group.create_array(name, data=values, chunks=chunks)
    return path


@pytest.mark.parametrize("version", [2, 3])
def test_groups_are_read_chunk_by_chunk(tmp_path, monkeypatch, version):
    path = write(
        tmp_path / "a.zarr", version,
        images=np.moveaxis(images(), 1, -1), labels=labels(), ids=np.arange(20), split=np.array(["train", "test"] * 10),
    )  # fmt: skip
    monkeypatch.setattr("robustkit.data.pixels.BLOCK_BYTES", 8 * images()[0].nbytes)
    image_set = open_images(path, bands=("g", "r", "i"))
    np.testing.assert_array_equal(image_set.images, images())
    np.testing.assert_array_equal(image_set.labels, labels())
    assert image_set.ids[7] == "7"
    assert image_set.meta["split"]["1"] == "test"
    assert has_note(image_set, "images: the array 'images'", "(20, 12, 14, 3) float32")
    assert any("manifest" in name or "images" in name for name in image_set.provenance)


def test_an_array_alone_and_one_in_shards(tmp_path):
    zarr.save_array(tmp_path / "one", images())
    np.testing.assert_array_equal(open_images(tmp_path / "one", labels=labels()).images, images())
    group = zarr.open_group(tmp_path / "two", mode="w")
    group.create_array("X", data=images(), chunks=(2, 3, 12, 14), shards=(10, 3, 12, 14))
    group.create_array("y", data=labels())
    np.testing.assert_array_equal(open_images(tmp_path / "two").labels, labels())


@pytest.mark.parametrize("version", [2, 3])
def test_a_codec_that_may_run_code_is_refused(tmp_path, version):
    path = write(tmp_path / "a.zarr", version, images=images())
    about = path / "images" / {2: ".zarray", 3: "zarr.json"}[version]
    content = json.loads(about.read_text())
    if version == 2:
        content["filters"] = [{"id": "pickle", "protocol": 4}]
    else:
        content["codecs"] = [{"name": "numcodecs.pickle", "configuration": {}}, *content["codecs"]]
    about.write_text(json.dumps(content))
    with pytest.raises(InputError, match=r"pickle|not readable as a Zarr store"):
        open_images(path)


def test_an_array_that_claims_more_than_is_stored_is_refused(tmp_path):
    group = zarr.open_group(tmp_path / "a.zarr", mode="w")
    group.create_array("images", shape=(10**6, 3, 1000, 1000), chunks=(1, 3, 100, 100), dtype="f8")
    with pytest.raises(InputError, match="claims 24000000000000 bytes and stores"):
        open_images(tmp_path / "a.zarr")


def test_damaged_stores_are_refused(tmp_path):
    path = write(tmp_path / "a.zarr", 3, images=images())
    chunk = next(file for file in sorted(path.rglob("*")) if file.is_file() and file.name != "zarr.json")
    chunk.write_bytes(chunk.read_bytes()[:50])
    with pytest.raises(InputError, match="not readable as a Zarr store"):
        open_images(path)
    (path / "zarr.json").write_text("{")
    with pytest.raises(InputError, match="not readable as a Zarr store"):
        open_images(path)


def test_without_zarr_the_extra_is_named(tmp_path, monkeypatch):
    path = write(tmp_path / "a.zarr", 3, images=images())
    monkeypatch.setitem(sys.modules, "zarr", None)
    with pytest.raises(MissingExtra, match=r"pip install 'robustkit-audit\[zarr\]'"):
        open_images(path)


def _packed():
    stored = np.arange(2 * 3 * 12 * 14, dtype=np.int16).reshape(2, 3, 12, 14)
    stored[1, 2, 3, 4] = -999
    expected = np.where(stored == -999, np.nan, stored * 0.5 + 10)
    expected[1, 2, 3, 4] = np.median(expected[1, 2][np.isfinite(expected[1, 2])])
    return stored, expected


@pytest.mark.parametrize("key", ["_FillValue", "missing_value"])
def test_attributes_scale_values_and_say_which_are_undefined(tmp_path, key):
    stored, expected = _packed()
    path = write(tmp_path / "a.zarr", 3, images=stored)
    zarr.open_group(path)["images"].attrs.update({key: -999, "scale_factor": 0.5, "add_offset": 10.0})
    made = open_images(path, nan="fill")
    np.testing.assert_allclose(made.images, expected)
    assert has_note(made, "-999 stands for an undefined pixel")
    assert has_note(made, "times 0.5 plus 10")
    with pytest.raises(InputError, match="--nan fill"):
        open_images(path)
