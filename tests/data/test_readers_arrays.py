# pyright: reportArgumentType=false, reportAttributeAccessIssue=false, reportCallIssue=false
"""Arrays: .npy and .npz, their labels, and the files that the papers published."""

import io
import pickle
import tempfile
import zipfile

import numpy as np
import pytest

from robustkit.data import given_split, open_images
from robustkit.data.readers import gather
from robustkit.errors import InputError, SecurityError
from robustkit.models.foreign.arrange import arrange
from tests.data.samples import has_note, images, labels


@pytest.fixture
def save(tmp_path):
    def _save(name: str, array: np.ndarray):
        np.save(tmp_path / name, array)
        return tmp_path / name

    return _save


# ---------------------------------------------------------------------------------------------------- .npy


def test_float32_with_bands_first_stays_on_disk(save):
    image_set = open_images(save("a.npy", images()))
    np.testing.assert_array_equal(image_set.images, images())
    assert isinstance(image_set.images, np.memmap)
    assert image_set.labels is None
    assert has_note(image_set, "channel axis: first in (20, 3, 12, 14)")
    assert image_set.bands == ("band0", "band1", "band2")
    assert image_set.ids[[0, 19]].tolist() == ["000000", "000019"]
    assert image_set.units == "unknown"
    assert set(image_set.provenance) == {"a.npy"}


def test_bands_last_are_moved_without_a_copy(save):
    path = save("a.npy", np.ascontiguousarray(np.moveaxis(images(), 1, -1)))
    image_set = open_images(path)
    np.testing.assert_array_equal(image_set.images, images())
    assert isinstance(image_set.images, np.memmap)
    assert has_note(image_set, "channel axis: last in (20, 12, 14, 3); moved first")


def test_fortran_order_is_read_right(save):
    image_set = open_images(save("a.npy", np.asfortranarray(images())))
    np.testing.assert_array_equal(image_set.images, images())


@pytest.mark.parametrize("dtype", ["<f8", ">f8", ">f4", "<f2", "<i4", ">u2", "u1", "?"])
def test_other_types_are_converted_and_reported(save, dtype):
    values = (images() > 10) if dtype == "?" else images().clip(0).astype(dtype)
    image_set = open_images(save("a.npy", values))
    np.testing.assert_array_equal(image_set.images, values.astype(np.float32))
    assert image_set.images.dtype == np.float32
    assert has_note(image_set, np.dtype(dtype).name, "converted to float32")
    expected = {"u1": ("display", (0.0, 255.0)), "?": ("display", (0.0, 1.0))}
    assert (image_set.units, image_set.bounds) == expected.get(dtype, ("unknown", None))


def test_integers_that_float32_rounds_are_reported(save):
    assert has_note(open_images(save("a.npy", np.full((2, 1, 4, 4), (1 << 24) + 1))), "above 16777216 are rounded")


def test_values_beyond_float32_are_refused(save):
    values = images(3).astype(np.float64)
    values[1, 0, 0, 0] = 1e300
    path = save("a.npy", values)
    with pytest.raises(InputError, match=r"1 pixels are too large for float32, the first in image 1 of a.npy"):
        open_images(path)


def test_bands_in_another_order_of_a_large_set_do_not_fill_memory(save, monkeypatch):
    monkeypatch.setattr(gather, "IN_MEMORY_BYTES", 100)
    images_in_order = open_images(save("a.npy", images()), bands=["g", "r", "i"])
    turned = arrange(images_in_order, None, ("i", "g"))
    assert isinstance(turned.images, np.memmap)
    np.testing.assert_array_equal(turned.images, images()[:, [2, 0]])
    assert has_note(turned, "memory: the converted images lie in a temporary file")


def test_large_conversions_go_through_a_file_that_vanishes(save, monkeypatch, tmp_path):
    path = save("a.npy", images().astype(np.float64))
    monkeypatch.setattr(gather, "IN_MEMORY_BYTES", 100)
    (tmp_path / "scratch").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "scratch"))
    image_set = open_images(path)
    assert isinstance(image_set.images, np.memmap)
    assert has_note(image_set, "memory: the converted images lie in a temporary file")
    np.testing.assert_array_equal(image_set.images, images())
    assert not list((tmp_path / "scratch").iterdir())


@pytest.mark.parametrize(
    ("shape", "options", "expected"),
    [
        ((20, 12, 14), {}, (20, 1, 12, 14)),
        ((5, 12, 14), {"channels": "none"}, (5, 1, 12, 14)),
        ((5, 12, 14), {"bands": ["F814W"]}, (5, 1, 12, 14)),
        ((5, 12, 14), {"labels": [0, 1, 0, 1, 0]}, (5, 1, 12, 14)),
        ((5, 12, 14), {"channels": "first"}, (1, 5, 12, 14)),
        ((12, 14, 3), {"channels": "last"}, (1, 3, 12, 14)),
        ((12, 14, 3), {"bands": ["g", "r", "i"]}, (1, 3, 12, 14)),
        ((4, 3, 12, 3), {"channels": "first"}, (4, 3, 12, 3)),
        ((4, 3, 12, 3), {"channels": "last"}, (4, 3, 3, 12)),
        ((4, 20, 30, 18), {"channels": "last"}, (4, 18, 20, 30)),
        ((4, 18, 20, 30), {"bands": [f"b{i}" for i in range(18)]}, (4, 18, 20, 30)),
        ((4, 1, 9, 9), {}, (4, 1, 9, 9)),
        ((4, 9, 9, 1), {}, (4, 1, 9, 9)),
        ((4, 5, 5, 5), {"channels": "last"}, (4, 5, 5, 5)),
    ],
)
def test_axes_that_can_be_told(save, shape, options, expected):
    values = np.random.default_rng(0).random(shape).astype(np.float32)
    assert open_images(save("a.npy", values), **options).images.shape == expected


@pytest.mark.parametrize(
    ("shape", "options", "message"),
    [
        ((4, 3, 100, 3), {}, "cannot tell which axis .* give --channels first or --channels last"),
        ((4, 3, 100, 3), {"bands": ["g", "r", "i"]}, "cannot tell which axis"),
        ((4, 40, 50, 60), {}, "cannot tell which axis"),
        ((4, 5, 5, 5), {}, "cannot tell which axis"),
        ((4, 3, 12, 14), {"bands": ["g", "r"]}, "cannot tell which axis"),
        ((4, 3, 12, 14), {"bands": ["g", "r"], "channels": "first"}, "2 bands are named .* the images have 3"),
        ((4, 3, 12, 14), {"channels": "none"}, "expected"),
        ((3, 12, 14), {}, "one image with bands or several of one band; give --channels"),
        ((12, 14, 3), {}, "one image with bands or several of one band"),
        ((20, 144), {}, r"a.npy has shape \(20, 144\): one image, .* to be written as \(N, C, H, W\)"),
        ((7,), {}, "expected"),
        ((), {}, "expected"),
        ((2, 3, 4, 5, 6), {}, "five axes"),
        ((0, 3, 12, 14), {}, "holds no images"),
    ],
)
def test_axes_that_cannot_be_told_are_refused(save, shape, options, message):
    with pytest.raises(InputError, match=message):
        open_images(save("a.npy", np.ones(shape, dtype=np.float32)), **options)


def test_not_finite_pixels_are_counted_and_named_or_filled(save):
    values = images()
    values[4, 1, 2, 3], values[4, 1, 2, 4], values[9, 0, 0, 0], values[9, 2, 11, 13] = np.nan, np.inf, -np.inf, np.nan
    path = save("a.npy", values)
    with pytest.raises(
        InputError, match=r"4 pixels are NaN or infinite, first: 000004 band band1 row 2 column 3; 000004 .* --nan fill"
    ):
        open_images(path)
    filled = open_images(path, nan="fill")
    assert has_note(filled, "4 pixels of 2 images were not finite")
    plane = values[9, 0].ravel()[1:]
    assert filled.images[9, 0, 0, 0] == np.median(plane)
    kept = np.isfinite(values)
    np.testing.assert_array_equal(filled.images[kept], values[kept])
    values[2, 2] = np.nan
    with pytest.raises(InputError, match=r"band 2 of image 2 of a\.npy has no finite pixel"):
        open_images(save("a.npy", values), nan="fill")


def test_filling_changes_nothing_where_all_is_finite(save):
    image_set = open_images(save("a.npy", images()), nan="fill")
    np.testing.assert_array_equal(image_set.images, images())
    assert not has_note(image_set, "not finite")


def test_equal_images_are_reported(save):
    values = images()
    values[7] = values[19] = values[2]
    values[3] = values[2][:, ::-1]  # the same sum, but another image
    image_set = open_images(save("a.npy", values))
    assert has_note(image_set, "duplicates: 2 of 20 images", "(000002 = 000007 = 000019)")
    assert not has_note(open_images(save("b.npy", images())), "duplicates")


# ------------------------------------------------------------------------------------------- labels and ids


@pytest.mark.parametrize(
    ("image_file", "label_file"),
    [("images.npy", "labels.npy"), ("X_train.npy", "y_train.npy"), ("x_test.npy", "y_test.npy")],
)
def test_labels_from_a_twin_file(save, image_file, label_file):
    save(label_file, labels())
    image_set = open_images(save(image_file, images()), class_names=["a", "b", "c"])
    np.testing.assert_array_equal(image_set.labels, labels())
    assert has_note(image_set, f"labels: from {label_file}")
    assert set(image_set.provenance) == {image_file, label_file}


def test_two_twins_are_refused(save):
    save("y_test.npy", labels())
    save("Y_test.npy", labels())
    with pytest.raises(InputError, match="name one with --labels"):
        open_images(save("X_test.npy", images()))
    assert open_images(save("X_test.npy", images()), labels=save("Y_test.npy", labels())).labels is not None


@pytest.mark.parametrize(
    ("values", "class_names", "expected", "names"),
    [
        (labels(), None, labels(), ("0", "1", "2")),
        (labels().astype(np.uint8), ["a", "b", "c"], labels(), ("a", "b", "c")),
        (labels().astype(np.float32), ["a", "b", "c"], labels(), ("a", "b", "c")),
        (labels()[:, None], ["a", "b", "c"], labels(), ("a", "b", "c")),
        (np.eye(3)[labels()], ["a", "b", "c"], labels(), ("a", "b", "c")),
        (np.eye(3, dtype=bool)[labels()], None, labels(), ("0", "1", "2")),
        (labels() == 1, ["no", "yes"], (labels() == 1).astype(int), ("no", "yes")),
        (np.array(["cat", "ant", "bee"])[labels()], None, np.array([2, 0, 1])[labels()], ("ant", "bee", "cat")),
        (np.array(["cat", "ant", "bee"])[labels()], ["cat", "ant", "bee"], labels(), ("cat", "ant", "bee")),
        (np.array([b"cat", b"ant", b"bee"])[labels()], ["cat", "ant", "bee"], labels(), ("cat", "ant", "bee")),
        (np.array(["10", "9", "11"])[labels()], None, np.array([1, 0, 2])[labels()], ("9", "10", "11")),
        (np.array(["0", "1", "2"])[labels()], ["a", "b", "c"], labels(), ("a", "b", "c")),
        (labels(), ["a", "b", "c", "d"], labels(), ("a", "b", "c", "d")),
        (labels() + 1, ["a", "b", "c", "d"], labels() + 1, ("a", "b", "c", "d")),
    ],
)
def test_labels_of_every_form(save, values, class_names, expected, names):
    image_set = open_images(save("a.npy", images()), labels=save("l.npy", values), class_names=class_names)
    assert image_set.labels is not None
    assert image_set.labels.dtype == np.int64
    np.testing.assert_array_equal(image_set.labels, expected)
    assert image_set.class_names == names


@pytest.mark.parametrize(
    ("values", "class_names", "message"),
    [
        (labels() + 1, None, "which looks like counting from 1; say how many classes there are, --classes 3, or 4 if"),
        (labels() - 1, None, "the lowest label is -1"),
        (labels(), ["a", "b"], "labels run from 0 to 2 but 2 classes are named: a, b"),
        (labels() + 0.5, None, "not whole numbers"),
        (labels() * np.nan, None, "not whole numbers"),
        (labels() + 0j, None, "holds values of type complex128"),
        (np.eye(3)[labels()] * 0.9, None, "not one-hot"),
        (np.ones((20, 3)), None, "not one-hot"),
        (np.eye(3)[labels()], ["a", "b"], "3 classes but 2 are named"),
        (labels()[:7], None, r"20 images but labels of shape \(7,\)"),
        (np.zeros((20, 2, 2)), None, r"expected labels of shape \(N,\) or \(N, K\)"),
        (np.array(["a", "b", "x"])[labels()], ["a", "b"], "labels have the class x, which is not among a, b"),
        (np.array(["a", "b", ""])[labels()], None, "6 of 20 labels are empty"),
        (np.array([b"a", b"b", b"\xff"])[labels()], None, "not UTF-8"),
        (np.arange(20) * 1000, None, "labels run up to 19000 and no class is named"),
        (np.array([{}] * 20), None, "Python objects"),
    ],
)
def test_labels_that_do_not_fit_are_refused(save, values, class_names, message):
    with pytest.raises(InputError, match=message):
        open_images(save("a.npy", images()), labels=save("l.npy", values), class_names=class_names)


@pytest.mark.parametrize("kind", ["numbers", "text"])
def test_labels_need_not_show_every_class_that_is_counted(save, kind):
    for low in (1, 2, 5):  # class 0, or several, may be missing
        values = labels() + low
        image_set = open_images(
            save(f"{low}.npy", images()),
            labels=save(f"{low}-l.npy", values.astype(str) if kind == "text" else values),
            class_count=9,
        )
        np.testing.assert_array_equal(image_set.labels, values)
        assert image_set.class_names == tuple(map(str, range(9)))
    far = open_images(save("b.npy", images()), labels=save("m.npy", labels() + 3))
    assert far.class_names == tuple(map(str, range(6)))  # 3 to 5 is no counting from 1
    with pytest.raises(InputError, match="--classes says 2; expected 0 to 1"):
        open_images(save("c.npy", images()), labels=save("2.npy", labels() + 1), class_count=2)


@pytest.mark.parametrize("kind", ["numbers", "floats", "text"])
def test_labels_that_can_only_count_from_1_do(save, kind):
    values = {"numbers": labels() + 1, "floats": labels() + 1.0, "text": (labels() + 1).astype(str)}[kind]
    for said, names in (({"class_count": 3}, ("1", "2", "3")), ({"class_names": ["a", "b", "c"]}, ("a", "b", "c"))):
        image_set = open_images(save("a.npy", images()), labels=save("l.npy", values), **said)
        np.testing.assert_array_equal(image_set.labels, labels())
        assert image_set.class_names == names
        assert has_note(image_set, f"warning: labels run from 1 to 3, so they count 3 classes from 1: 1 is {names[0]}")


def test_a_class_without_images_is_reported(save):
    image_set = open_images(save("a.npy", images()), labels=labels() * 2)
    assert has_note(image_set, "no images of class 1, 3") or has_note(image_set, "no images of class 1")
    assert image_set.class_counts() == {"0": 7, "1": 0, "2": 7, "3": 0, "4": 6}


# ---------------------------------------------------------------------------------------------- published


@pytest.mark.parametrize(
    ("image_file", "label_file", "bands", "classes", "first_id"),
    [
        ("images_Y10_test.npy", "labels_test.npy", "g r i", "spiral elliptical merger", "test-000000"),
        ("images_Y1_train.npy", "labels_train.npy", "g r i", "spiral elliptical merger", "train-000000"),
        ("regular_images_150.npy", "labels_150.npy", "g r i", "spiral elliptical merger", "150-000000"),
        ("noisy_images_150.npy", "labels_150.npy", "g r i", "spiral elliptical merger", "150-000000"),
        (
            "SimSim_SOURCE_X_Illustris2_pristine.npy",
            "SimSim_SOURCE_y_Illustris2_pristine.npy",
            "F814W F356W F160W",
            "non-merger merger",
            "simsim-000000",
        ),
        (
            "SimReal_TARGET_X_postmergers_SDSS.npy",
            "SimReal_TARGET_y_postmergers_SDSS.npy",
            "g r i",
            "non-merger merger",
            "postmergers_SDSS-000000",
        ),
    ],
)
@pytest.mark.parametrize("one_hot", [True, False])
def test_the_papers_files_open_as_they_are(save, image_file, label_file, bands, classes, first_id, one_hot):
    numbers = labels(20, len(classes.split()))
    save(label_file, np.eye(len(classes.split()))[numbers] if one_hot else numbers)
    image_set = open_images(save(image_file, images()))
    assert image_set.bands == tuple(bands.split())
    assert image_set.class_names == tuple(classes.split())
    np.testing.assert_array_equal(image_set.labels, numbers)
    assert image_set.ids[0] == first_id
    assert isinstance(image_set.images, np.memmap)
    assert has_note(image_set, "recognised by its name", "doi:10.1")


def test_a_file_that_only_has_the_published_name_gets_no_published_bands(save):
    image_set = open_images(save("images_Y10_test.npy", images(bands=5)))
    assert image_set.bands[0] == "band0"
    assert has_note(image_set, "does not have the 3 published bands")


def test_what_is_said_goes_before_what_is_published(save):
    image_set = open_images(
        save("images_Y10_test.npy", images()), bands=["u", "z", "y"], labels=labels() % 2, class_names=["a", "b"]
    )
    assert image_set.bands == ("u", "z", "y")
    assert image_set.class_names == ("a", "b")


# ---------------------------------------------------------------------------------------------------- .npz


@pytest.mark.parametrize("write", [np.savez, np.savez_compressed])
def test_an_archive_with_everything(tmp_path, write):
    names = np.array([f"NGC{i}" for i in range(20)])
    split = np.array(["train"] * 16 + ["test"] * 4)
    write(
        tmp_path / "a.npz",
        images=np.moveaxis(images(), 1, -1),
        labels=labels(),
        filenames=names,
        label_names=np.array(["FRI", "FRII", "none"]),
        split=split,
    )
    image_set = open_images(tmp_path / "a.npz")
    np.testing.assert_array_equal(image_set.images, images())
    np.testing.assert_array_equal(image_set.labels, labels())
    assert image_set.class_names == ("FRI", "FRII", "none")
    assert image_set.ids.tolist() == names.tolist()
    assert image_set.meta["split"] == dict(zip(names.tolist(), split.tolist(), strict=True))
    taken = given_split(image_set)
    assert taken is not None
    assert (len(taken.train), len(taken.valid), len(taken.test)) == (16, 0, 4)
    for words in (
        ("images: the array 'images'", "(20, 12, 14, 3)"),
        ("ids", "'filenames'"),
        ("split: 16 train, 4 test",),
    ):
        assert has_note(image_set, *words)


def test_blocks_of_an_archive_join_to_the_whole(tmp_path, monkeypatch):
    values = (images() * 3).clip(0, 255).astype(np.uint8)
    np.savez_compressed(tmp_path / "a.npz", images=values)
    monkeypatch.setattr("robustkit.data.pixels.BLOCK_BYTES", 3 * values[0].nbytes)
    np.testing.assert_array_equal(open_images(tmp_path / "a.npz").images, values.astype(np.float32))


@pytest.mark.parametrize("order", ["C", "F"])
def test_both_orders_of_an_archive(tmp_path, order):
    np.savez(tmp_path / "a.npz", x=np.asarray(images(), order=order))
    np.testing.assert_array_equal(open_images(tmp_path / "a.npz").images, images())


def test_repeated_names_get_their_row_and_stay_different_objects(tmp_path):
    np.savez(tmp_path / "a.npz", images=images(4, 1), names=np.array(["a", "b", "a", "c"]))
    image_set = open_images(tmp_path / "a.npz")
    assert image_set.ids.tolist() == ["a@0", "b", "a@2", "c"]
    assert len(set(image_set.objects)) == 4
    assert has_note(image_set, "1 names occur more than once", "(a)")


def test_a_duplicate_across_a_given_split_is_called_out(tmp_path):
    values = images(4)
    values[3] = values[0]
    np.savez(tmp_path / "a.npz", images=values, split=np.array(["train", "train", "test", "test"]))
    assert has_note(open_images(tmp_path / "a.npz"), "1 of these groups lie in more than one part of the split")


def test_arrays_can_be_named(tmp_path):
    np.savez(
        tmp_path / "a.npz",
        train_images=images(),
        val_images=images(6, seed=1),
        train_labels=labels(),
        val_labels=labels(6),
    )
    with pytest.raises(InputError, match=r"several arrays could be the images \(train_images, val_images\); name one"):
        open_images(tmp_path / "a.npz")
    image_set = open_images(tmp_path / "a.npz", images="val_images")
    np.testing.assert_array_equal(image_set.labels, labels(6))
    assert has_note(image_set, "labels: the array 'val_labels'")
    other = open_images(tmp_path / "a.npz", images="val_images", labels=1 - labels(6) % 2)
    assert other.labels is not None
    assert other.labels.tolist() == [1, 0, 1, 1, 0, 1]


@pytest.mark.parametrize(
    ("arrays", "options", "message"),
    [
        ({"a": np.zeros(3)}, {}, r"holds no array of images; it holds a \(3,\) float64"),
        ({}, {}, "it holds nothing"),
        ({"images": images()}, {"images": "x"}, "has no array 'x'; it has images"),
        ({"images": images()}, {"labels": "x"}, "expected labels in a .npy file or as an array of the same file"),
        ({"images": images()}, {"ids": "x"}, "has no array 'x'"),
        ({"stamps": images(), "labels": labels(), "target": labels()}, {}, "'labels' and 'target' could be the labels"),
        ({"images": images(), "z": np.zeros(20), "ids": np.zeros((20, 2), int)}, {"ids": "ids"}, "20 images but ids"),
        ({"images": images(), "l": np.array(3)}, {"labels": "l"}, r"20 images but labels of shape \(1,\)"),
        ({"images": images(), "o": np.array([{}])}, {}, "Python objects"),
        ({"images": images(), "c": np.zeros(3, complex)}, {}, "holds values of type complex128"),
    ],
)
def test_archives_that_leave_a_choice_open_are_refused(tmp_path, arrays, options, message):
    np.savez(tmp_path / "a.npz", **arrays)
    with pytest.raises(InputError, match=message):
        open_images(tmp_path / "a.npz", **options)


# -------------------------------------------------------------------------------------------------- safety


class _Trap:
    def __init__(self, marker):
        self.marker = marker

    def __reduce__(self):
        return open, (str(self.marker), "w")


@pytest.mark.parametrize("name", ["a.npy", "a.npz", "raw.npy", "raw.npz"])
def test_no_pickle_is_ever_run(tmp_path, name):
    marker, path = tmp_path / "ran", tmp_path / name
    trap = np.array([_Trap(marker)], dtype=object)
    if name.startswith("raw"):
        path.write_bytes(pickle.dumps(_Trap(marker)))
    elif name == "a.npy":
        np.save(path, trap, allow_pickle=True)
    else:
        np.savez(path, images=images(), extra=trap)
    with pytest.raises(InputError) as caught:
        open_images(path)
    assert isinstance(caught.value, SecurityError) == (not name.startswith("raw"))
    assert not marker.exists()


def _header(shape: str, descr: str = "'<f4'") -> bytes:
    text = f"{{'descr': {descr}, 'fortran_order': False, 'shape': {shape}, }}".encode()
    text += b" " * (-(len(text) + 11) % 64) + b"\n"
    return b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text


LIES = [
    ("(1000000, 3, 10000, 1000)", "'<f4'"),  # 120 TB
    ("(-1, 3, 4, 4)", "'<f4'"),
    ("(9223372036854775807, 9223372036854775807)", "'<f4'"),
    ("(2, 3, 4, 4)", "'V1000000000'"),
    ("(2, 3, 4, 4)", "'<c8'"),
    ("(2, 3, 4, 4)", "[('a', '<f4')]"),
    ("(True,)", "'<f4'"),
    ("2", "'<f4'"),
    ("(2, 3, 4, 4)", "'|O'"),
    ("(0,)", "'<U0'"),
]


@pytest.mark.parametrize(("shape", "descr"), LIES)
def test_headers_that_lie_are_refused_before_anything_is_allocated(tmp_path, shape, descr):
    lie = _header(shape, descr) + bytes(64)
    (tmp_path / "a.npy").write_bytes(lie)
    with zipfile.ZipFile(tmp_path / "a.npz", "w") as archive:
        archive.writestr("images.npy", lie)
    for name in ("a.npy", "a.npz"):
        with pytest.raises(InputError):
            open_images(tmp_path / name)


def test_an_archive_that_claims_more_than_deflate_can_hold_is_refused(tmp_path):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("images.npy", _header("(1000, 100, 100)", "'u1'") + bytes(10_000_000))
    data = bytearray(buffer.getvalue())
    real, claimed = (10_000_000 + 128).to_bytes(4, "little"), (4_000_000_000).to_bytes(4, "little")
    assert data.count(real) >= 1
    (tmp_path / "a.npz").write_bytes(bytes(data).replace(real, claimed))
    with pytest.raises(InputError, match=r"claims more bytes than its \d+ can hold"):
        open_images(tmp_path / "a.npz")


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_other_compressions_and_members_are_refused(tmp_path, method):
    with zipfile.ZipFile(tmp_path / "a.npz", "w", method) as archive:
        archive.writestr("images.npy", b"x")
    with pytest.raises(InputError, match="compressed in a way that NumPy does not write"):
        open_images(tmp_path / "a.npz")
    with zipfile.ZipFile(tmp_path / "b.npz", "w") as archive:
        archive.writestr("model.pt", b"x")
    with pytest.raises(InputError, match=r"holds 'model.pt'; expected an .npz archive"):
        open_images(tmp_path / "b.npz")


@pytest.mark.parametrize("beside", ["labels", "y", "ids", "split"])
def test_labels_ids_and_splits_of_another_length_than_the_images_are_refused_and_not_left_out(tmp_path, beside):
    values = np.array(list("abcde")) if beside in ("ids", "split") else labels(5)
    np.savez(tmp_path / "a.npz", images=images(12), **{beside: values})
    with pytest.raises(InputError, match=f"holds 12 images and 5 values in '{beside}'"):
        open_images(tmp_path / "a.npz")
    if beside in ("labels", "y"):
        np.save(tmp_path / "mine.npy", labels(12))
        assert open_images(tmp_path / "a.npz", labels=tmp_path / "mine.npy").labels.shape == (12,)
