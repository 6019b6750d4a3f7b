import json
from dataclasses import replace

import numpy as np
import pytest

from robustkit.data import ImageSet, fit_stretch
from robustkit.errors import InputError
from tests.data.samples import images, labels


def make(**changes) -> ImageSet:
    values = {
        "images": images(),
        "labels": labels(),
        "class_names": ("spiral", "elliptical", "merger"),
        "bands": ("g", "r", "i"),
        "ids": np.array([f"g{i}" for i in range(20)]),
    }
    return ImageSet(**(values | changes))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"images": images()[0]}, r"expected images of shape \(N, C, H, W\), got shape \(3, 12, 14\)"),
        ({"images": images()[:0]}, "the image set is empty"),
        ({"images": images().astype(np.float64)}, "expected float32 images, got float64"),
        ({"bands": ("g", "r")}, "3 bands but 2 are named: g, r"),
        ({"bands": ("g", "g", "i")}, "expected bands with different names"),
        ({"class_names": ("a", "a", "b")}, "expected classes with different names"),
        ({"units": "jansky"}, "unknown units 'jansky'; known are electron, display, unknown"),
        ({"bounds": (1.0, 0.0)}, "expected bounds as the lowest and the highest"),
        ({"ids": np.array(["a"])}, "20 images but ids of shape"),
        ({"ids": np.array(["a"] * 20)}, "ids must be unique"),
        ({"labels": labels() - 1}, "labels run from -1 to 1"),
        ({"labels": labels() + 1}, "labels run from 1 to 3 but there are 3 classes"),
        ({"labels": labels().astype(float)}, "expected labels as integers, got float64"),
        ({"labels": labels()[:5]}, "labels of shape"),
    ],
)
def test_what_does_not_fit_is_refused(changes, message):
    with pytest.raises(InputError, match=message):
        make(**changes)


def test_select_takes_positions_and_masks():
    image_set = make()
    some = image_set.select([3, 1])
    assert some.ids.tolist() == ["g3", "g1"]
    np.testing.assert_array_equal(some.images, image_set.images[[3, 1]])
    assert some.labels is not None
    assert some.labels.tolist() == [0, 1]
    mask = np.arange(20) % 2 == 0
    np.testing.assert_array_equal(image_set.select(mask).images, image_set.images[::2])
    with pytest.raises(InputError, match="no image of 20 was selected"):
        image_set.select(np.zeros(20, dtype=bool))


def test_positions_and_objects():
    image_set = make(ids=np.array([f"g{i // 2}" + ("#rot90" if i % 2 else "") for i in range(20)]))
    assert image_set.positions(["g3#rot90", "g0"]).tolist() == [7, 0]
    assert image_set.objects.tolist() == [f"g{i // 2}" for i in range(20)]
    with pytest.raises(InputError, match="1 of 2 ids are not in the image set, the first is 'x'"):
        image_set.positions(["g0", "x"])


def test_describe():
    assert make().describe() == "20 images of 12x14, bands g r i, units unknown: 7 spiral, 7 elliptical, 6 merger"
    one = make(labels=None).select([0])
    assert replace(one, units="electron", stretch=fit_stretch("none", images())).describe() == (
        "1 image of 12x14, bands g r i, units electron, stretched by none: no labels"
    )


@pytest.mark.parametrize("labelled", [True, False])
def test_a_saved_set_comes_back_the_same(tmp_path, labelled):
    image_set = make(
        units="electron",
        bounds=(-10.0, 1e5),
        stretch=fit_stretch("arcsinh", images()),
        meta={"survey": "lsst", "split": {"g0": "test"}},
        provenance={"source.npy": "abc"},
        notes=("channel axis: last",),
        **({} if labelled else {"labels": None}),
    )
    loaded = ImageSet.load(image_set.save(tmp_path / "set"))
    np.testing.assert_array_equal(loaded.images, image_set.images)
    assert isinstance(loaded.images, np.memmap)
    if labelled:
        np.testing.assert_array_equal(loaded.labels, image_set.labels)
    else:
        assert loaded.labels is None
    for name in ("class_names", "bands", "units", "bounds", "stretch", "meta", "notes"):
        assert getattr(loaded, name) == getattr(image_set, name)
    assert loaded.ids.tolist() == image_set.ids.tolist()
    files = {"images.npy", "labels.npy"} if labelled else {"images.npy"}
    assert set(loaded.provenance) == files | {"imageset.json", "source.npy"}


def test_a_strided_view_is_saved_in_its_order(tmp_path):
    last = np.ascontiguousarray(np.moveaxis(images(), 1, -1))
    folder = make(images=np.moveaxis(last, -1, 1)).save(tmp_path / "set")
    np.testing.assert_array_equal(np.load(folder / "images.npy"), images())


def test_a_writer_may_write_the_images_itself(tmp_path):
    np.save(tmp_path / "images.npy", images())
    make().save_description(tmp_path)
    np.testing.assert_array_equal(ImageSet.load(tmp_path).images, images())


def test_nothing_is_overwritten(tmp_path):
    make().save(tmp_path / "set")
    with pytest.raises(InputError, match="already holds files"):
        make().save(tmp_path / "set")


@pytest.mark.parametrize("name", ["images.npy", "labels.npy"])
@pytest.mark.parametrize("harm", ["flip", "cut", "remove", "pickle"])
def test_a_harmed_file_is_refused(tmp_path, name, harm):
    folder = make().save(tmp_path / "set")
    data = bytearray((folder / name).read_bytes())
    if harm == "flip":
        data[-1] ^= 1
    (folder / name).write_bytes(data[:-1] if harm == "cut" else b"\x80\x04N." if harm == "pickle" else data)
    if harm == "remove":
        (folder / name).unlink()
    with pytest.raises(InputError, match="lacks the file" if harm == "remove" else "changed or damaged"):
        ImageSet.load(folder)


@pytest.mark.parametrize(
    "change",
    [
        {"kind": "something"},
        {"sha256": {}},
        {"sha256": None},
        {"sha256": {"images.npy": 1}},
        {"ids": None},
        {"ids": [["a"]]},
        {"class_names": 3},
        {"bounds": [1]},
        {"bounds": "x"},
        {"units": ["electron"]},
        {"stretch": {"name": "none", "x": 1}},
        {"stretch": [1]},
        {"meta": 3},
        {"meta": ["x"]},
        {"provenance": 1},
        {"notes": 1},
    ],
)
def test_a_garbled_description_is_refused(tmp_path, change):
    path = make().save(tmp_path / "set") / "imageset.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(InputError):
        ImageSet.load(path.parent)


@pytest.mark.parametrize("name", ["../images.npy", "/etc/hostname", "imageset.json"])
def test_a_description_cannot_name_other_files(tmp_path, name):
    path = make().save(tmp_path / "set") / "imageset.json"
    value = json.loads(path.read_text())
    value["sha256"][name] = "0"
    path.write_text(json.dumps(value))
    with pytest.raises(InputError, match="that no image set has"):
        ImageSet.load(path.parent)


@pytest.mark.parametrize("text", ["", "[]", "3", "{", "[" * 100_000, '{"kind": "robustkit-images"}', "\udcff"])
def test_what_is_no_description_is_refused(tmp_path, text):
    path = make().save(tmp_path / "set") / "imageset.json"
    path.write_bytes(text.encode("utf-8", "surrogateescape"))
    with pytest.raises(InputError):
        ImageSet.load(path.parent)
