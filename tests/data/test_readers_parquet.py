"""Parquet: pictures as Hugging Face stores them, arrays, and several files as one set."""

import io
import json
import sys

import numpy as np
import pytest
from PIL import Image

from robustkit.data import open_images
from robustkit.errors import InputError, MissingExtra
from tests.data.samples import has_note, images, labels

pa = pytest.importorskip("pyarrow")
pq = pytest.importorskip("pyarrow.parquet")

PIXELS = np.random.default_rng(0).integers(0, 256, (20, 12, 14, 3), dtype=np.uint8)


NO_BYTES = pa.array([{"bytes": None, "path": "a.png"}], pa.struct({"bytes": pa.binary(), "path": pa.string()}))


def png(pixels):
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


def hub(rows=range(20), **columns):
    """A table as Hugging Face writes one: a struct of bytes and path, and the names of the classes in the schema."""
    structs = [{"bytes": png(PIXELS[i]), "path": f"{i}.png"} for i in rows]
    table = pa.table({"image": structs, "label": labels()[list(rows)], **columns})
    features = {"label": {"_type": "ClassLabel", "names": ["spiral", "elliptical", "merger"]}}
    return table.replace_schema_metadata({"huggingface": json.dumps({"info": {"features": features}})})


def test_pictures_of_hugging_face_with_their_class_names(tmp_path):
    pq.write_table(hub(), tmp_path / "a.parquet", row_group_size=7)
    image_set = open_images(tmp_path / "a.parquet")
    np.testing.assert_array_equal(image_set.images, np.moveaxis(PIXELS, -1, 1))
    np.testing.assert_array_equal(image_set.labels, labels())
    assert image_set.class_names == ("spiral", "elliptical", "merger")
    assert (image_set.units, image_set.bands) == ("display", ("R", "G", "B"))
    assert has_note(image_set, "the column 'image' of 1 Parquet files")
    assert list(image_set.provenance) == ["a.parquet"]


def test_a_folder_of_shards_is_one_set_with_its_split(tmp_path):
    (tmp_path / "data").mkdir()
    for name, rows in (
        ("train-00000-of-00002", range(8)),
        ("train-00001-of-00002", range(8, 15)),
        ("test-00000-of-00001", range(15, 20)),
    ):
        pq.write_table(hub(rows), tmp_path / "data" / f"{name}.parquet")
    image_set = open_images(tmp_path)
    order = [*range(15, 20), *range(15)]  # files by name
    np.testing.assert_array_equal(image_set.images, np.moveaxis(PIXELS[order], -1, 1))
    np.testing.assert_array_equal(image_set.labels, labels()[order])
    assert list(image_set.meta["split"].values()) == ["test"] * 5 + ["train"] * 15
    assert len(image_set.provenance) == 3


@pytest.mark.parametrize("kind", ["tensor", "lists", "fixed"])
def test_arrays_of_numbers(tmp_path, kind):
    values = images()
    if kind == "tensor":
        column = pa.FixedShapeTensorArray.from_numpy_ndarray(values)
    else:
        column = pa.array(values.tolist(), pa.list_(pa.list_(pa.list_(pa.float32()))))
    if kind == "fixed":
        column = column.cast(pa.list_(pa.list_(pa.list_(pa.float32(), 14), 12), 3))
    pq.write_table(
        pa.table({"cutout": column, "target": labels(), "objid": list(range(100, 120))}), tmp_path / "a.parquet"
    )
    image_set = open_images(tmp_path / "a.parquet", bands=("g", "r", "i"))
    np.testing.assert_array_equal(image_set.images, values)
    assert image_set.ids[0] == "100"
    np.testing.assert_array_equal(open_images(tmp_path / "a.parquet", labels=labels()[::-1]).labels, labels()[::-1])


def refused(path, words, **options):
    with pytest.raises(InputError, match=words):
        open_images(path, **options)


def test_what_cannot_be_read_is_refused_in_words(tmp_path):
    file = tmp_path / "a.parquet"
    pq.write_table(pa.table({"x": [1, 2]}), file)
    refused(file, r"holds no images; it holds x \(int64\)")
    pq.write_table(hub(other=[b"x"] * 20).rename_columns(["one", "label", "two"]), file)
    refused(file, r"several columns could be the images \(one, two\); name one with --images")
    refused(file, "'two' .* is no|not a PNG or JPEG picture", images="two")
    refused(file, "no column 'three' of images", images="three")
    refused(file, "no column 'kind'", images="one", labels="kind")
    pq.write_table(hub([0]).append_column("path", [["a.png"]]).set_column(0, "image", NO_BYTES), file)
    refused(file, "names a file and holds no bytes")
    pq.write_table(pa.table({"image": [png(PIXELS[0]), None]}), file)
    refused(file, "1 values of 'image' in a.parquet are missing")
    pq.write_table(pa.table({"image": [png(PIXELS[0]), png(PIXELS[0, :, :, 0])]}), file)
    refused(file, "--rgb makes three bands of grey images")
    pq.write_table(pa.table({"image": [[[1.0, 2.0]] * 3, [[1.0]] * 3]}), file)
    refused(file, "sides of several lengths", channels="none")
    pq.write_table(hub().slice(0, 0), file)
    refused(file, "holds no rows")


def test_files_of_other_columns_are_refused(tmp_path):
    pq.write_table(hub(), tmp_path / "a.parquet")
    pq.write_table(hub().drop_columns("label"), tmp_path / "b.parquet")
    refused(tmp_path, r"b\.parquet has other columns than a\.parquet")


@pytest.mark.parametrize("keep", [4, 500, -3])
def test_truncated_files_are_refused(tmp_path, keep):
    pq.write_table(hub(), tmp_path / "a.parquet")
    (tmp_path / "a.parquet").write_bytes((tmp_path / "a.parquet").read_bytes()[:keep])
    refused(tmp_path / "a.parquet", "not readable as a Parquet file")


def test_without_pyarrow_the_extra_is_named(tmp_path, monkeypatch):
    (tmp_path / "a.parquet").write_bytes(b"x")
    monkeypatch.setitem(sys.modules, "pyarrow.parquet", None)
    with pytest.raises(MissingExtra, match=r"pip install 'robustkit-audit\[parquet\]'"):
        open_images(tmp_path / "a.parquet")
