"""Preprocessing in torchvision's meaning, and options that say what images are."""

import numpy as np
import pytest
import torch
from PIL import Image

from robustkit.data import open_images
from robustkit.data.imageset import ImageSet
from robustkit.data.preprocess import Crop, Grey, Invert, Pad, Resize, kept_area, parse_steps
from robustkit.errors import WARNING, InputError


def _picture(seed=0, height=37, width=52):
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def _bands(picture):
    return np.moveaxis(picture, -1, 0)[None]


@pytest.mark.parametrize("size", [(16, 24), (80, 20), (37, 52), (5, 5)])
def test_pictures_are_resized_as_by_pillow(size):
    """Which is what torchvision's Resize does to a PIL image: bilinear, antialiased, rounded to 8 bits."""
    picture = _picture()
    expected = np.asarray(Image.fromarray(picture).resize(size[::-1], Image.Resampling.BILINEAR))
    np.testing.assert_array_equal(Resize(size)(_bands(picture), None), _bands(expected))


@pytest.mark.parametrize("size", [(16, 24), (80, 20), (9, 60)])
def test_values_are_resized_as_by_torch_with_antialiasing(size):
    """Which is what torchvision's Resize does to a tensor."""
    values = np.random.default_rng(1).normal(100, 30, (2, 3, 37, 52)).astype(np.float32)
    expected = torch.nn.functional.interpolate(torch.from_numpy(values), size, mode="bilinear", antialias=True)
    np.testing.assert_allclose(Resize(size)(values, None), expected.numpy(), rtol=1e-4, atol=1e-3)


@pytest.mark.parametrize(
    ("short", "size", "expected"),
    [(24, (37, 52), (24, 33)), (24, (52, 37), (33, 24)), (64, (64, 100), (64, 100)), (100, (50, 50), (100, 100))],
)
def test_one_number_is_the_shorter_side(short, size, expected):
    assert Resize((short,)).sides(*size) == expected
    assert Resize((short,))(np.zeros((1, 1, *size), dtype=np.float32), None).shape[2:] == expected


@pytest.mark.parametrize(("size", "first"), [((4, 6), (3, 2)), ((5, 5), (2, 2)), ((10, 10), (0, 0))])
def test_a_crop_is_central_and_rounds_as_torchvision_does(size, first):
    values = np.arange(100, dtype=np.float32).reshape(1, 1, 10, 10)
    top, left = (round((10 - side) / 2) for side in size)
    assert first == (top, left)
    np.testing.assert_array_equal(Crop(size)(values, None), values[:, :, top : top + size[0], left : left + size[1]])


def test_a_crop_of_something_smaller_is_padded_with_0():
    made = Crop((7, 4))(np.ones((1, 1, 4, 4), dtype=np.float32), None)
    assert made.shape == (1, 1, 7, 4)
    assert made[0, 0, :, 0].tolist() == [0, 1, 1, 1, 1, 0, 0]  # the odd row at the high end


@pytest.mark.parametrize(
    ("text", "sides"), [("pad 3", (3, 3, 3, 3)), ("pad 1 2", (1, 2, 1, 2)), ("pad 1 2 3 4", (1, 2, 3, 4))]
)
def test_padding_is_left_top_right_bottom(text, sides):
    step = parse_steps([text])[0]
    assert step == Pad(sides)
    left, top, right, bottom = sides
    made = step(np.ones((1, 2, 5, 6), dtype=np.uint8), None)
    assert made.shape == (1, 2, 5 + top + bottom, 6 + left + right)
    assert made[0, 0, top : top + 5, left : left + 6].all()
    assert made.sum() == 60


def test_grey_is_that_of_pillow_for_pictures_and_of_torchvision_for_values():
    picture = _picture()
    np.testing.assert_array_equal(
        Grey()(_bands(picture), None)[0, 0], np.asarray(Image.fromarray(picture).convert("L"))
    )
    values = np.random.default_rng(2).random((1, 3, 4, 4), dtype=np.float32)
    expected = 0.2989 * values[:, 0] + 0.587 * values[:, 1] + 0.114 * values[:, 2]
    np.testing.assert_allclose(Grey()(values, None)[:, 0], expected, rtol=1e-6)
    three = Grey(3)(values[:, :1], None)
    assert three.shape == (1, 3, 4, 4)
    assert (three == values[:, :1]).all()
    with pytest.raises(InputError, match="--grey makes one band of three, and the images have 4"):
        Grey()(np.zeros((1, 4, 2, 2)), None)


def test_inversion_needs_a_range():
    assert Invert()(np.array([[[[0, 200]]]], dtype=np.uint8), None).ravel().tolist() == [255, 55]
    assert Invert()(np.array([[[[0.25]]]], dtype=np.float32), (0.0, 1.0)).ravel().tolist() == [0.75]
    assert Invert()(np.array([[[[10.0]]]], dtype=np.float32), (5.0, 15.0)).ravel().tolist() == [10.0]
    with pytest.raises(InputError, match="--image-range LOW HIGH"):
        Invert()(np.zeros((1, 1, 2, 2), dtype=np.float32), None)


@pytest.mark.parametrize(
    "text", ["", "rezise 3 3", "resize", "resize 1 2 3", "resize 0 4", "resize 3.5", "crop", "pad -1", "pad 1 2 3",
             "grey 2", "invert 3", "resize 100000 3"],
)  # fmt: skip
def test_what_is_no_step_is_refused(text):
    with pytest.raises(InputError, match="expected one of --resize H W"):
        parse_steps([text])


@pytest.mark.parametrize(
    ("steps", "kept"),
    [(["resize 64 64"], 1.0), (["fit 64 64"], (64 / 424) ** 2), (["crop 212 424"], 0.5),
     (["resize 64", "crop 32 32"], 0.25), (["pad 100", "crop 424 424"], (424 / 624) ** 2)],
)  # fmt: skip
def test_the_area_that_is_left(steps, kept):
    assert kept_area(parse_steps(steps), (424, 424)) == pytest.approx(kept)


@pytest.fixture
def mixed(tmp_path):
    """JPEG-like pictures of different sizes, one folder a class."""
    for k in range(6):
        folder = tmp_path / "mixed" / ("disc", "ring")[k % 2]
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(_picture(k, 60 + 5 * k, 80)).save(folder / f"{k}.png")
    return tmp_path / "mixed"


def test_the_order_is_the_one_given_and_is_said(mixed):
    made = open_images(mixed, preprocess=["crop 40 40", "resize 16 16", "grey", "invert"])
    assert made.images.shape == (6, 1, 16, 16)
    assert made.bands == ("grey",)
    first = Image.open(mixed / "disc" / "0.png").crop((20, 10, 60, 50)).resize((16, 16), Image.Resampling.BILINEAR)
    np.testing.assert_array_equal(made.images[0, 0], 255 - np.asarray(first.convert("L")))
    note = next(note for note in made.notes if note.startswith("preprocessing, in this order"))
    places = [
        note.index(word) for word in ("crop to 40x40", "resize to 16x16", "0.299 R + 0.587 G", "invert", "stretch")
    ]
    assert places == sorted(places)
    other = open_images(mixed, preprocess=["resize 16 16", "crop 40 40"])
    assert other.images.shape == (6, 3, 40, 40)


def test_images_of_different_sizes_are_refused_with_the_option_that_settles_it(mixed):
    with pytest.raises(InputError, match="--resize H W brings all to one size"):
        open_images(mixed)
    with pytest.raises(InputError, match="after these steps; --resize S alone keeps their shapes"):
        open_images(mixed, preprocess=["resize 32"])
    assert open_images(mixed, preprocess=["resize 32", "crop 32"]).images.shape == (6, 3, 32, 32)


@pytest.mark.parametrize(
    "options", [{"size": 32}, {"preprocess": ["crop 32 32"]}, {"preprocess": ["resize 90", "crop 50"]}]
)
def test_cutting_more_than_half_away_is_a_warning(mixed, options):
    warned = [note for note in open_images(mixed, **options).notes if note.startswith(WARNING)]
    assert len(warned) == 1
    assert "of the area of" in warned[0]
    assert "--resize" in warned[0]
    assert not [note for note in open_images(mixed, preprocess=["resize 32 32"]).notes if note.startswith(WARNING)]


def test_a_saved_set_takes_steps_too(tmp_path):
    values = np.random.default_rng(0).random((3, 3, 20, 20), dtype=np.float32)
    plain = ImageSet(values, np.arange(3), ("a", "b", "c"), ("R", "G", "B"), np.array(["x", "y", "z"]), "electron")
    plain.save(tmp_path / "set")
    made = open_images(tmp_path / "set", preprocess=["resize 10 10", "grey"])
    assert made.images.shape == (3, 1, 10, 10)
    assert made.bands == ("grey",)
    assert made.units == "unknown"  # resampled counts have the noise of no detector
    assert any(note.startswith(WARNING) and "--units electron" in note for note in made.notes)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"preprocess": ["grey"]}, "--grey has no effect"),
        ({"nan": "fill"}, "--nan fill has no effect"),
        ({"preprocess": ["resize 20 20"]}, "1 band of 20x20 there already, so --resize has no effect"),
        ({"preprocess": ["crop 20 20"]}, "--crop has no effect"),
        ({"preprocess": ["invert", "pad 0"], "bounds": (0, 1)}, "--pad has no effect"),
        ({"preprocess": ["grey 3", "rgb"]}, "3 bands of 20x20 there already, so --rgb has no effect"),
    ],
)
def test_an_option_without_effect_is_said(tmp_path, options, words):
    np.savez(tmp_path / "a.npz", images=np.random.default_rng(0).random((4, 1, 20, 20)), labels=np.arange(4) % 2)
    assert any(words in note for note in open_images(tmp_path / "a.npz", **options).notes)


# ------------------------------------------------------------------------------ what files say, and what they lack


@pytest.mark.parametrize("lost", ["images", "labels"])
@pytest.mark.parametrize("chunk", [1, 10])
def test_chunks_of_a_zarr_store_that_are_gone_are_refused(tmp_path, lost, chunk):
    zarr = pytest.importorskip("zarr")
    group = zarr.open_group(tmp_path / "one.zarr", mode="w")
    group.create_array("images", shape=(40, 3, 8, 8), chunks=(chunk, 3, 8, 8), dtype="f4")[:] = (
        1 + np.random.default_rng(0).random((40, 3, 8, 8))
    )
    group.create_array("labels", shape=(40,), chunks=(10,), dtype="i8")[:] = np.arange(40) % 3
    assert len(open_images(tmp_path / "one.zarr")) == 40
    next(file for file in sorted((tmp_path / "one.zarr" / lost / "c").rglob("*")) if file.is_file()).unlink()
    with pytest.raises(InputError, match=f"chunks of '{lost}' .* are not stored"):
        open_images(tmp_path / "one.zarr")


@pytest.mark.parametrize(("name", "chunks"), [("images", (10, 3, 8, 8)), ("labels", (10,)), ("labels", None)])
def test_parts_of_an_hdf5_file_that_were_never_written_are_refused(tmp_path, name, chunks):
    h5py = pytest.importorskip("h5py")
    values = {"images": np.random.default_rng(0).random((40, 3, 8, 8)), "labels": np.arange(40) % 3}
    with h5py.File(tmp_path / "a.h5", "w") as file:
        for key, value in values.items():
            made = file.create_dataset(key, value.shape, value.dtype, chunks=chunks if key == name else None)
            if key != name:
                made[:] = value
            elif chunks:
                made[:30] = value[:30]
    with pytest.raises(InputError, match=f"'{name}' in .* was not written whole"):
        open_images(tmp_path / "a.h5")


def test_folders_that_are_numbers_stand_in_the_order_of_image_folder(tmp_path):
    for k in range(12):
        (tmp_path / "num" / str(k)).mkdir(parents=True)
        Image.fromarray(np.full((8, 8, 3), 20 * k, np.uint8)).save(tmp_path / "num" / str(k) / "i.png")
    made = open_images(tmp_path / "num")
    assert made.class_names == tuple(sorted(map(str, range(12))))
    assert any(note.startswith(WARNING) and "--classes 0,1,2,3" in note for note in made.notes)
    named = open_images(tmp_path / "num", class_names=[str(k) for k in range(12)])
    assert named.images[named.labels == 10].mean() == 200


@pytest.mark.parametrize("kind", ["u2", "u4"])
@pytest.mark.parametrize("compressed", [False, True])
def test_undefined_pixels_of_unsigned_fits_images_are_undefined(tmp_path, kind, compressed):
    fits = pytest.importorskip("astropy.io.fits")
    values = np.full((24, 24), 100, kind)
    values[3, 4] = np.iinfo(kind).max
    hdu = fits.CompImageHDU(values) if compressed else fits.ImageHDU(values)
    hdu.header["BLANK"] = np.iinfo(kind).max // 2
    fits.HDUList([fits.PrimaryHDU(), hdu]).writeto(tmp_path / "b.fits")
    with pytest.raises(InputError, match=r"1 pixel is NaN.*--nan fill"):
        open_images(tmp_path / "b.fits", channels="none")
    assert open_images(tmp_path / "b.fits", channels="none", nan="fill").images.max() == 100


def test_a_transparent_colour_is_seen(tmp_path):
    picture = np.zeros((12, 12, 3), np.uint8)
    picture[8:] = 90
    Image.fromarray(picture).save(tmp_path / "t.png", transparency=(0, 0, 0))
    Image.fromarray(picture[..., 0]).save(tmp_path / "g.png", transparency=90)
    Image.fromarray(picture).save(tmp_path / "o.png", transparency=(1, 2, 3))
    for name in ("t.png", "g.png"):
        with pytest.raises(InputError, match="partly transparent"):
            open_images(tmp_path / name)
    assert any("alpha channel that is opaque" in note for note in open_images(tmp_path / "o.png").notes)


@pytest.mark.parametrize(("suffix", "orientation"), [(".jpg", 6), (".png", 3)])
def test_a_turned_picture_is_taken_as_stored_and_that_is_said(tmp_path, suffix, orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(_picture()).save(tmp_path / f"t{suffix}", exif=exif)
    made = open_images(tmp_path / f"t{suffix}")
    assert made.images.shape == (1, 3, 37, 52)
    assert any(f"EXIF orientation {orientation}" in note for note in made.notes)


def _catalogue(folder, labels, end=""):
    for k in range(len(labels)):
        Image.fromarray(_picture(k, 8, 8)).save(folder / f"{k}.png")
    rows = "\n".join(f"{k}.png,{label}" for k, label in enumerate(labels))
    (folder / "c.csv").write_text(f"path,label\n{rows}\n{end}")
    return folder / "c.csv"


@pytest.mark.parametrize("missing", ["nan", "NA", "None", "", "n/a", "#N/A", "--", "Missing"])
def test_labels_that_are_missing_are_no_class(tmp_path, missing):
    with pytest.raises(InputError, match="1 of 4 labels are empty or say that they are unknown"):
        open_images(_catalogue(tmp_path, ["bar", "disc", missing, "ring"]))


@pytest.mark.parametrize(("labels", "low"), [(["0", "1", "-1"], -1), (["0.0", "-99.0", "2.0"], -99)])
def test_a_negative_number_as_text_among_classes_from_0_is_no_class(tmp_path, labels, low):
    with pytest.raises(InputError, match=rf"the lowest label is {low} \(1 of 3\).*leave out images"):
        open_images(_catalogue(tmp_path, labels))


def test_classes_may_be_called_by_a_sign_and_by_a_mark_that_was_named(tmp_path):
    assert open_images(_catalogue(tmp_path, ["-1", "1", "1"])).class_names == ("-1", "1")
    named = open_images(_catalogue(tmp_path, ["a", "--", "a"]), class_names=["a", "--"])
    assert named.labels.tolist() == [0, 1, 0]


@pytest.mark.parametrize("labels", [["0.0", "1.0", "0.0"], ["0", "1", "0"], ["0", "1.", "+0"]])
def test_numbers_as_text_are_numbers(tmp_path, labels):
    made = open_images(_catalogue(tmp_path, labels, end="\n\n"))
    assert made.class_names == ("0", "1")
    assert made.labels.tolist() == [0, 1, 0]


@pytest.mark.parametrize("shape", [(1, 1, 12, 9), (1, 12, 9), (1, 1, 1, 12, 9), (12, 9)])
@pytest.mark.parametrize("folder", [True, False])
def test_radio_images_have_axes_of_length_1(tmp_path, shape, folder):
    fits = pytest.importorskip("astropy.io.fits")
    values = np.random.default_rng(0).normal(size=(12, 9)).astype(np.float32)
    (tmp_path / "radio").mkdir()
    for name in ("a", "b"):
        fits.PrimaryHDU(values.reshape(shape)).writeto(tmp_path / "radio" / f"{name}1.fits")
    made = open_images(tmp_path / "radio" if folder else tmp_path / "radio" / "a1.fits")
    assert made.images.shape == (2 if folder else 1, 1, 12, 9)
    np.testing.assert_array_equal(made.images[0, 0], values)


def test_shards_that_are_missing_are_said(tmp_path):
    pandas = pytest.importorskip("pyarrow")
    import pyarrow.parquet as parquet

    for k in (0, 2):
        images = pandas.array([{"bytes": _png(k), "path": f"{k}.png"}] * 2)
        parquet.write_table(
            pandas.table({"image": images, "label": [0, 1]}), tmp_path / f"train-{k:05d}-of-00003.parquet"
        )
    assert any(note.startswith(WARNING) and "00001" in note for note in open_images(tmp_path).notes)


def _png(seed):
    import io

    file = io.BytesIO()
    Image.fromarray(_picture(seed, 8, 8)).save(file, "PNG")
    return file.getvalue()


def test_grey_pictures_among_colours_are_brought_to_one_kind(tmp_path):
    pictures = [_picture(k, 20, 20) for k in range(4)]
    for k, picture in enumerate(pictures):
        (tmp_path / "ab"[k % 2]).mkdir(exist_ok=True)
        made = Image.fromarray(picture)
        (made.convert("L") if k == 3 else made).save(tmp_path / "ab"[k % 2] / f"{k}.png")
    with pytest.raises(InputError, match="--rgb makes three bands of grey images, and --grey one band of colours"):
        open_images(tmp_path)
    coloured = open_images(tmp_path, preprocess=["rgb"])
    assert coloured.bands == ("R", "G", "B")
    order = [int(name[-1]) for name in coloured.ids]
    for place, k in enumerate(order):
        seen = Image.fromarray(pictures[k])
        expected = np.asarray((seen.convert("L") if k == 3 else seen).convert("RGB")).transpose(2, 0, 1)
        np.testing.assert_array_equal(coloured.images[place], expected)
    grey = open_images(tmp_path, preprocess=["grey"])
    for place, k in enumerate(order):
        np.testing.assert_array_equal(grey.images[place, 0], np.asarray(Image.fromarray(pictures[k]).convert("L")))
    with pytest.raises(InputError, match="--rgb is for images of one band or three, and these have 4"):
        open_images_of(np.zeros((2, 4, 8, 8)), tmp_path)


def open_images_of(images, folder):
    np.savez(folder / "a.npz", images=images, labels=np.arange(len(images)))
    return open_images(folder / "a.npz", preprocess=["rgb"])
