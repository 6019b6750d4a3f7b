# pyright: reportOptionalMemberAccess=false
"""Arrays whose axes stand otherwise: opened where their shape and labels leave one answer, named with `--axes` else."""

import numpy as np
import pytest

from robustkit.data import open_images
from robustkit.errors import InputError

RNG = np.random.default_rng(0)
SET = RNG.random((6, 3, 20, 20), dtype=np.float32)


@pytest.fixture
def opened(tmp_path):
    """Opens an array, alone or in an archive with labels, as an image set."""

    def make(array, labels=None, form="npz", **options):
        if form == "npy":
            np.save(tmp_path / "x.npy", array)
            return open_images(tmp_path / "x.npy", **options)
        beside = {} if labels is None else {"labels": np.arange(labels) % 2}
        if form == "h5":
            h5py = pytest.importorskip("h5py")
            with h5py.File(tmp_path / "x.h5", "w") as file:
                for name, value in {"images": array, **beside}.items():
                    file[name] = value
        else:
            np.savez(tmp_path / "x.npz", images=array, **beside)
        return open_images(tmp_path / f"x.{form}", **options)

    return make


@pytest.mark.parametrize("form", ["npz", "npy", "h5"])
@pytest.mark.parametrize(
    "array",
    [SET[:, None], SET[:, :, None], SET[..., None], SET.transpose(0, 2, 3, 1)[:, None], SET[:, None, None]],
    ids=["N1CHW", "NC1HW", "NCHW1", "N1HWC", "N11CHW"],
)
def test_axes_of_length_one_say_nothing(opened, array, form):
    found = opened(array, form=form)
    assert np.array_equal(found.images, SET)
    assert any("of length 1 in" in note for note in found.notes)


@pytest.mark.parametrize("form", ["npz", "h5"])
@pytest.mark.parametrize(
    ("array", "images"),
    [(SET.transpose(2, 3, 1, 0), SET), (SET.transpose(1, 2, 3, 0), SET), (SET[:, 0].transpose(1, 2, 0), SET[:, :1])],
    ids=["HWCN", "CHWN", "HWN"],
)
def test_images_along_the_last_axis_are_those_that_have_labels(opened, array, images, form):
    found = opened(array, labels=6, form=form)
    assert np.array_equal(found.images, images)
    assert found.labels.tolist() == [0, 1, 0, 1, 0, 1]
    assert any(note.startswith("axes: ") for note in found.notes)


@pytest.mark.parametrize("form", ["npz", "npy", "h5"])
def test_letters_say_what_each_axis_is(opened, form):
    visits = np.stack([SET, SET + 1, SET + 5], 1)
    mean = opened(visits, form=form, axes="NVCHW")
    np.testing.assert_allclose(mean.images, SET + 2, rtol=1e-6)
    assert any("3 visits, of which the mean is taken" in note for note in mean.notes)
    for array, axes, images in (
        (visits, "N2CHW", SET + 5),
        (visits.transpose(3, 4, 1, 2, 0), "HWVCN", SET + 2),
        (SET.transpose(3, 2, 1, 0), "WHCN", SET),
        (SET[:, 0].transpose(1, 2, 0), "HWN", SET[:, :1]),
        (SET[:, 0], "NHW", SET[:, :1]),
        (SET[0, 0], "HW", SET[:1, :1]),
        (SET[0], "CHW", SET[:1]),
        (SET[0].transpose(1, 2, 0), "HWC", SET[:1]),
        (SET, "0CHW", SET[:1]),
        (SET[:, 0], "VHW", SET[:, :1].mean(0, keepdims=True)),
    ):
        found = opened(array, form=form, axes=axes, images="images" if array.ndim < 3 and form != "npy" else None)
        np.testing.assert_allclose(found.images, images, rtol=1e-6, err_msg=axes)


def test_whole_numbers_of_visits_have_a_mean(opened):
    visits = RNG.integers(0, 255, (6, 4, 20, 20), dtype=np.uint8)
    np.testing.assert_allclose(opened(visits, axes="NVHW").images[:, 0], visits.mean(1), rtol=1e-6)


@pytest.mark.parametrize("form", ["npz", "npy"])
@pytest.mark.parametrize(
    ("array", "options", "words"),
    [
        (np.stack([SET, SET], 1), {}, r"five axes: if they are 6 images of 2 visits each, give --axes NVCHW .* N0CHW"),
        (np.stack([SET, SET], 1).transpose(0, 1, 3, 4, 2), {}, "--axes NVHWC"),
        (RNG.random((20, 20, 60)), {}, "60 images of 20x20 along its last axis or 20 images of 20x60; give --axes HWN"),
        (RNG.random((32, 32, 3, 60)), {}, "such as --axes HWCN"),
        (np.zeros((2, 2, 2, 3, 20, 20)), {}, r"6 axes; say which is which with --axes|no array of images"),
        (SET, {"axes": "NCH"}, "H and W among them"),
        (SET, {"axes": "NCHWW"}, "each once"),
        (SET, {"axes": "NXHW"}, "got 'NXHW'"),
        (SET, {"axes": "CHW"}, r"--axes CHW has 3 letters, and .* 4 axes"),
        (SET, {"axes": "9CHW"}, "takes place 9 of an axis that has 6, counted from 0"),
        (SET, {"axes": "NCHW", "channels": "first"}, "--axes says where the bands are too"),
    ],
)
def test_what_is_left_open_names_the_letters(opened, array, options, words, form):
    with pytest.raises(InputError, match=words):
        opened(array, form=form, **options)


def test_one_image_of_two_axes(opened, tmp_path):
    with pytest.raises(
        InputError, match="one image, which --axes HW says, or 20 images whose 20 pixels stand in a row"
    ):
        opened(SET[0, 0], form="npy")
    np.savez(tmp_path / "x.npz", image=SET[0, 0])
    with pytest.raises(InputError, match="name one with --images, and what its axes are with --axes"):
        open_images(tmp_path / "x.npz")
    assert np.array_equal(open_images(tmp_path / "x.npz", images="image", axes="HW").images, SET[:1, :1])
    assert np.array_equal(open_images(tmp_path / "x.npz", axes="HW").images, SET[:1, :1])


def test_files_of_one_image_each_have_letters_too(tmp_path):
    for k in range(4):
        np.save(tmp_path / f"{k}.npy", np.stack([SET[k], SET[k] + 2]))
    (tmp_path / "d.csv").write_text("path,label\n" + "".join(f"{k}.npy,{'ab'[k % 2]}\n" for k in range(4)))
    with pytest.raises(InputError):
        open_images(tmp_path / "d.csv")
    np.testing.assert_allclose(open_images(tmp_path / "d.csv", axes="VCHW").images, SET[:4] + 1, rtol=1e-6)
    with pytest.raises(InputError, match=r"counts images, and .* is one image"):
        open_images(tmp_path / "d.csv", axes="NCHW")


def test_labels_that_are_too_few_do_not_turn_images_round(opened):
    """Twenty labels for six images of twenty columns."""
    with pytest.raises(InputError, match="6 images"):
        opened(SET, labels=20)
    with pytest.raises(InputError):
        opened(RNG.random((30, 24, 20)), labels=20)
