"""The one door: what robustkit wrote itself, which format a path has, and which options apply."""

import json
from dataclasses import replace

import numpy as np
import pytest

import robustkit
from robustkit.data import ImageSet, fit_stretch, open_images, open_pair
from robustkit.errors import InputError
from tests.data.samples import has_note, images, labels


def make(seed: int = 0) -> ImageSet:
    return ImageSet(
        images=images(seed=seed),
        labels=labels(),
        class_names=("spiral", "elliptical", "merger"),
        bands=("g", "r", "i"),
        ids=np.array([f"g{i}" for i in range(20)]),
        units="electron",
    )


@pytest.fixture
def galaxies(tmp_path):
    """Simulated galaxies at three depths."""
    for number, depth in enumerate(("Y10", "Y4", "Y1")):
        make(number).save(tmp_path / "galaxies" / depth)
    (tmp_path / "galaxies" / "galaxies.json").write_text(
        json.dumps({"kind": "robustkit-galaxies", "depths": ["Y10", "Y4", "Y1"]})
    )
    return tmp_path / "galaxies"


def test_it_is_at_the_front_door():
    assert robustkit.open_images is open_images


def test_galaxies_open_at_their_deepest_or_at_the_one_named(galaxies):
    image_set = open_images(galaxies)
    np.testing.assert_array_equal(image_set.images, images(seed=0))
    assert has_note(image_set, "depth: Y10, the deepest of Y10, Y4, Y1")
    np.testing.assert_array_equal(open_images(galaxies / "Y1").images, images(seed=2))


def test_a_pair_is_the_deepest_and_the_shallowest(galaxies):
    deep, shallow = open_pair(galaxies)
    np.testing.assert_array_equal(deep.images, images(seed=0))
    np.testing.assert_array_equal(shallow.images, images(seed=2))


def test_a_pair_shows_the_same_objects_row_by_row(galaxies, tmp_path):
    order = np.random.default_rng(0).permutation(20)
    for path in (galaxies / "Y1").iterdir():
        path.unlink()
    make(2).select(order).save(galaxies / "Y1")
    deep, shallow = open_pair(galaxies)
    assert deep.ids.tolist() == shallow.ids.tolist()
    np.testing.assert_array_equal(shallow.images, images(seed=2))
    for path in (galaxies / "Y1").iterdir():
        path.unlink()
    make(2).select(np.arange(19)).save(galaxies / "Y1")
    with pytest.raises(InputError, match="do not show the same objects"):
        open_pair(galaxies)


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ({"kind": "robustkit-galaxies", "depths": ["Y10"]}, "has only the depth Y10; expected at least two"),
        ({"kind": "robustkit-galaxies", "depths": ["Y10", "Y2"]}, "names the depth 'Y2' but has no such subfolder"),
        ({"kind": "robustkit-galaxies", "depths": ["Y10", "../x"]}, "names the depth '../x'"),
        ({"kind": "robustkit-galaxies", "depths": []}, "does not list depths"),
        ({"kind": "robustkit-galaxies"}, "does not list depths"),
        ({"kind": "other", "depths": ["Y10", "Y1"]}, "does not list depths"),
        ([1], "does not list depths"),
    ],
)
def test_garbled_galaxies_are_refused(galaxies, value, message):
    (galaxies / "galaxies.json").write_text(json.dumps(value))
    (galaxies.parent / "x").mkdir()
    with pytest.raises(InputError, match=message):
        open_pair(galaxies)


def test_what_is_no_folder_of_galaxies_has_no_pair(tmp_path):
    with pytest.raises(InputError, match=r"cannot read .*galaxies\.json as a JSON file"):
        open_pair(tmp_path)


def test_a_saved_set_opens_with_all_it_knows(tmp_path):
    image_set = replace(make(), stretch=fit_stretch("arcsinh", images()), notes=("as it was",))
    opened = open_images(str(image_set.save(tmp_path / "set")))
    assert opened.stretch == image_set.stretch
    assert opened.notes == ("as it was",)
    assert opened.ids.tolist() == image_set.ids.tolist()


def test_what_was_opened_saves_and_opens_alike(tmp_path):
    np.savez(tmp_path / "a.npz", images=images().astype(np.uint8), labels=labels(), split=np.array(["train"] * 20))
    first = open_images(tmp_path / "a.npz")
    second = open_images(first.save(tmp_path / "set"))
    np.testing.assert_array_equal(first.images, second.images)
    for name in ("class_names", "bands", "units", "bounds", "meta", "notes"):
        assert getattr(first, name) == getattr(second, name)
    assert second.provenance["a.npz"] == first.provenance["a.npz"]


def test_a_saved_set_with_a_pixel_that_is_not_finite_is_refused(tmp_path):
    values = images()
    values[1, 1, 1, 1] = np.nan
    replace(make(), images=values).save(tmp_path / "set")
    with pytest.raises(InputError, match="1 pixel is NaN or infinite, first: g1 band r row 1 column 1"):
        open_images(tmp_path / "set")


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("none.npy", None, "no such file or folder"),
        ("a.txt", b"x", r"robustkit cannot read .*; expected a folder or \.npy, \.npz"),
        ("a.npy", b"", "is empty"),
        ("a.npz", b"x", "is not readable as an .npz archive"),
        ("a.NPY", b"x", "is not readable as a .npy file"),
    ],
)
def test_paths_that_hold_no_images(tmp_path, name, content, message):
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError, match=message):
        open_images(tmp_path / name)


@pytest.mark.parametrize("path", ["x" * 5000, "a\0b", "."])
def test_paths_that_are_no_paths(path, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError):
        open_images(path)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"ids": "x"}, "ids does not apply to a .npy file; leave it out"),
        ({"images": "x"}, "--images does not apply to a .npy file"),
        ({"channels": "1"}, "unknown --channels .1.; known are first, last, none"),
        ({"nan": "drop"}, "unknown --nan .drop.; known are refuse, fill"),
        ({"size": 0}, "expected size as pixels"),
        ({"size": (3, 4, 5)}, "expected size as pixels"),
        ({"size": 10**6}, "expected size as pixels"),
        ({"size": 3.5}, "expected size as pixels"),
        ({"bands": "gri"}, "expected bands as a sequence of names, got 'gri'"),
        ({"bands": []}, "expected bands as a sequence of names"),
        ({"class_names": [1, 2]}, "expected class_names as a sequence of names"),
        ({"units": "jansky"}, "unknown units 'jansky'"),
        ({"bounds": (1, 0)}, "expected bounds as the lowest and the highest value"),
        ({"labels": 3}, "expected one label per image"),
        ({"labels": "nowhere.npy"}, "cannot read nowhere.npy as a .npy file: No such file"),
    ],
)
def test_options_that_do_not_apply_are_refused(tmp_path, options, message):
    np.save(tmp_path / "a.npy", images())
    with pytest.raises(InputError, match=message):
        open_images(tmp_path / "a.npy", **options)


def test_a_saved_set_takes_no_options(tmp_path, galaxies):
    make().save(tmp_path / "set")
    for path in (tmp_path / "set", galaxies):
        with pytest.raises(InputError, match="--bands does not apply to"):
            open_images(path, bands=["a", "b", "c"])


def test_size_and_bounds_apply_to_arrays_too(tmp_path):
    np.save(tmp_path / "a.npy", images())
    image_set = open_images(tmp_path / "a.npy", size=(10, 10), units="display", bounds=(-50, 50))
    np.testing.assert_array_equal(image_set.images, images()[:, :, 1:11, 2:12])
    assert image_set.bounds == (-50, 50)
    assert has_note(image_set, "size: 12x14 became 10x10; 20 cut, 0 padded")


@pytest.mark.slow
def test_a_catalogue_of_few_bytes_may_name_a_large_image(tmp_path):
    np.save(tmp_path / "large.npy", np.random.default_rng(0).normal(size=(1, 7000, 7000)).astype(np.float64))  # 374 MiB
    (tmp_path / "a.csv").write_text("file,label\nlarge.npy,0\n")
    assert open_images(tmp_path / "a.csv", channels="first").images.shape == (1, 1, 7000, 7000)
