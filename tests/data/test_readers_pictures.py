"""PNG and JPEG: alone, in folders of classes, and in CSV catalogues with files of any kind."""

import io

import numpy as np
import pytest
from PIL import Image

from robustkit.data import given_split, open_images
from robustkit.data.preprocess import Fit, Resize
from robustkit.errors import InputError
from tests.data.samples import has_note, images


def colour(seed: int = 0, height: int = 12, width: int = 14) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def put(path, pixels: np.ndarray, mode: str | None = None, **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    image = Image.fromarray(pixels)
    (image.convert(mode) if mode else image).save(path, **options)
    return path


@pytest.fixture
def classes(tmp_path):
    """Two classes of three pictures each."""
    folder = tmp_path / "set"
    for number, name in enumerate(("spiral", "elliptical")):
        for copy in range(3):
            put(folder / name / f"{copy}.png", colour(10 * number + copy))
    return folder


def test_a_folder_of_classes(classes):
    image_set = open_images(classes)
    assert image_set.describe() == ("6 images of 12x14, bands R G B, units display: 3 elliptical, 3 spiral")
    assert image_set.bounds == (0.0, 255.0)
    assert image_set.ids.tolist() == [f"{name}/{copy}" for name in ("elliptical", "spiral") for copy in range(3)]
    np.testing.assert_array_equal(image_set.images[4], np.moveaxis(colour(1), -1, 0))
    assert has_note(image_set, "class names: elliptical, spiral, in sorted order")
    assert len(image_set.provenance) == 6


def test_classes_may_be_put_in_order_but_not_renamed(classes):
    assert open_images(classes, class_names=["spiral", "elliptical"]).class_counts() == {"spiral": 3, "elliptical": 3}
    with pytest.raises(InputError, match="labels have the class elliptical, which is not among spiral, merger"):
        open_images(classes, class_names=["spiral", "merger"])


def test_other_files_are_named_and_hidden_ones_left_out(classes):
    (classes / "README.md").write_text("x")
    (classes / "spiral" / ".thumb.png").write_text("x")
    image_set = open_images(classes)
    assert len(image_set) == 6
    assert has_note(image_set, "1 other files were left out (README.md)")


def test_many_files_get_one_manifest_hash_that_sees_every_byte(tmp_path):
    for copy in range(20):
        put(tmp_path / "a" / f"{copy}.png", colour(copy, 2, 2))
    ((key, first),) = open_images(tmp_path).provenance.items()
    assert "manifest of 20 files" in key
    put(tmp_path / "a" / "7.png", colour(99, 2, 2))
    assert open_images(tmp_path).provenance[key] != first


def test_parts_above_the_classes_are_a_split(tmp_path):
    for part, count in (("train", 4), ("val", 2), ("test", 2)):
        for name in ("a", "b"):
            for copy in range(count):
                put(tmp_path / part / name / f"{copy}.png", colour(copy + ord(name) + 100 * len(part)))
    image_set = open_images(tmp_path)
    assert image_set.class_counts() == {"a": 8, "b": 8}
    taken = given_split(image_set)
    assert taken is not None
    assert (len(taken.train), len(taken.valid), len(taken.test)) == (8, 4, 4)


def test_a_flat_folder_has_no_labels_and_takes_them(tmp_path):
    for copy in range(3):
        put(tmp_path / f"{copy}.png", colour(copy))
    assert open_images(tmp_path).labels is None
    image_set = open_images(tmp_path, labels=[0, 1, 0], class_names=["x", "y"])
    assert image_set.class_counts() == {"x": 2, "y": 1}


def test_sizes_differ(classes):
    put(classes / "spiral" / "9.png", colour(5, 20, 9))
    with pytest.raises(
        InputError, match=r"0.png is 12x14 and spiral/9.png is 20x9; --resize H W brings all to one size"
    ):
        open_images(classes)
    image_set = open_images(classes, size=(16, 14))
    assert image_set.images.shape == (7, 3, 16, 14)
    assert has_note(image_set, "size: 12x14 to 20x9 became 16x14; 1 cut, 7 padded with the median of their border")
    np.testing.assert_array_equal(image_set.images[6][:, :, 2:11], np.moveaxis(colour(5, 20, 9)[2:18], -1, 0))
    resized = open_images(classes, preprocess=["resize 8 8"])
    assert resized.images.shape == (7, 3, 8, 8)
    assert has_note(resized, "size: 12x14 to 20x9 became 8x8")


def test_modes_differ(classes):
    put(classes / "spiral" / "9.png", colour(5), "L")
    with pytest.raises(
        InputError, match=r"has 3 bands and spiral/9\.png has 1 band; --rgb makes three bands of grey images"
    ):
        open_images(classes)


@pytest.mark.parametrize(
    ("mode", "bands", "top"), [("L", ("grey",), 255.0), ("1", ("grey",), 255.0), ("P", ("R", "G", "B"), 255.0)]
)
def test_modes_that_have_plain_pixels(tmp_path, mode, bands, top):
    path = put(tmp_path / "a.png", colour(), mode)
    image_set = open_images(path)
    assert image_set.bands == bands
    assert image_set.bounds == (0.0, top)
    with Image.open(path) as image:
        expected = np.asarray(image.convert("RGB" if mode == "P" else "L"), dtype=np.float32)
    np.testing.assert_array_equal(image_set.images[0], np.moveaxis(expected.reshape(12, 14, -1), -1, 0))


def test_sixteen_bits_of_grey_are_kept(tmp_path):
    pixels = np.arange(168, dtype=np.uint16).reshape(12, 14) * 300
    image_set = open_images(put(tmp_path / "a.png", pixels))
    np.testing.assert_array_equal(image_set.images[0, 0], pixels)
    assert image_set.bounds == (0.0, 65535.0)


def test_an_opaque_alpha_channel_is_left_out_with_a_note_and_a_clear_one_refused(tmp_path):
    pixels = np.dstack([colour(), np.full((12, 14), 255, np.uint8)])
    image_set = open_images(put(tmp_path / "a.png", pixels))
    np.testing.assert_array_equal(image_set.images[0], np.moveaxis(colour(), -1, 0))
    assert has_note(image_set, "alpha channel")
    pixels[0, 0, 3] = 9
    with pytest.raises(InputError, match=r"b\.png is partly transparent"):
        open_images(put(tmp_path / "b.png", pixels))


def _png_of_16_bit_colour() -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(colour()).save(buffer, "PNG")
    data = bytearray(buffer.getvalue())
    data[24] = 16
    return bytes(data)


def _two_frames() -> bytes:
    buffer = io.BytesIO()
    frames = [Image.fromarray(colour(seed)) for seed in (0, 1)]
    frames[0].save(buffer, "PNG", save_all=True, append_images=frames[1:])
    return buffer.getvalue()


def _cmyk() -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(colour()).convert("CMYK").save(buffer, "JPEG")
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (_png_of_16_bit_colour(), "has 16 bits per colour, which Pillow cuts to 8"),
        (_two_frames(), "holds 2 pictures; expected one per file"),
        (_cmyk(), "is a picture of mode CMYK"),
        (b"GIF89a" + bytes(50), "is not a PNG or JPEG picture"),
        (b"not a picture", "is not a PNG or JPEG picture"),
        (b"", "is empty"),
    ],
)
def test_other_pictures_are_refused(tmp_path, data, message):
    (tmp_path / "a.png").write_bytes(data)
    with pytest.raises(InputError, match=message):
        open_images(tmp_path / "a.png")


def test_pillows_limit_is_an_error(tmp_path, monkeypatch):
    path = put(tmp_path / "a.png", colour())
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    with pytest.raises(InputError, match="exceeds limit of 100 pixels"):
        open_images(path)


@pytest.mark.parametrize(
    ("paths", "message"),
    [
        ([], "holds no PNG, JPEG or FITS images and no image set"),
        (["a.png", "b/c.png"], "at different depths"),
        (["a/b/c/d.png"], "too deep"),
        (["train/a.png", "test/a.png"], "has parts of a split but no classes inside"),
        (["old/spiral/a.png", "train/spiral/a.png"], "expected only train, valid, val, validation, test above"),
    ],
)
def test_folders_that_can_be_read_in_two_ways_are_refused(tmp_path, paths, message):
    for path in paths:
        put(tmp_path / path, colour())
    with pytest.raises(InputError, match=message):
        open_images(tmp_path)


def test_a_folder_of_arrays_says_to_name_one(tmp_path):
    np.save(tmp_path / "images_Y10_test.npy", images())
    with pytest.raises(InputError, match=r"it holds images_Y10_test\.npy, so name one of them"):
        open_images(tmp_path)


# -------------------------------------------------------------------------------------------------- sizes


@pytest.mark.parametrize("size", [(12, 14), (6, 6), (7, 9), (20, 20), (5, 30), (1, 1)])
def test_cropping_and_padding_keep_the_centre(size):
    values = images(2)
    fitted = Fit(size)(values, None)
    assert fitted.shape == (2, 3, *size)
    rows, columns = np.indices(size)
    for axis, (new, old) in enumerate(zip(size, (12, 14), strict=True)):
        shift = (new - old) // 2 if new >= old else -((old - new) // 2)
        (rows if axis == 0 else columns)[...] -= shift
    inside = (rows >= 0) & (rows < 12) & (columns >= 0) & (columns < 14)
    np.testing.assert_array_equal(fitted[..., inside], values[..., rows[inside], columns[inside]])
    border = np.concatenate([values[0, 1, 0], values[0, 1, -1], values[0, 1, 1:-1, 0], values[0, 1, 1:-1, -1]])
    np.testing.assert_array_equal(fitted[0, 1][~inside], np.median(border))


def test_an_odd_stamp_in_an_odd_size_keeps_its_central_pixel():
    stamp = np.zeros((1, 1, 7, 7), dtype=np.float32)
    stamp[..., 3, 3] = 1
    for size in (3, 11, 191):
        assert np.argwhere(Fit((size, size))(stamp, None)[0, 0] == 1).tolist() == [[size // 2, size // 2]]


def test_resampling_keeps_a_gradient_and_averages_where_it_shrinks():
    ramp = np.broadcast_to(np.arange(32, dtype=np.float32), (1, 1, 32, 32))
    half = Resize((16, 16))(ramp, None)[0, 0, 5, 3:-3]
    np.testing.assert_allclose(half, np.arange(16)[3:-3] * 2 + 0.5, atol=1e-5)
    noise = np.random.default_rng(0).normal(0, 1, (1, 1, 256, 256)).astype(np.float32)
    assert Resize((32, 32))(noise, None).std() < 0.2


# ---------------------------------------------------------------------------------------------- catalogue


@pytest.fixture
def catalogue(tmp_path):
    """A catalogue of three .npy stamps."""
    (tmp_path / "stamps").mkdir()
    for row in range(3):
        np.save(tmp_path / "stamps" / f"{row}.npy", images(3)[row])
    path = tmp_path / "catalogue.csv"
    path.write_text(
        "objid,file,ra,class,split\n"
        + "".join(
            f"J{row},stamps/{row}.npy,1.5,{name},train\n" for row, name in enumerate(("merger", "spiral", "merger"))
        )
    )
    return path


def test_a_catalogue(catalogue):
    image_set = open_images(catalogue)
    np.testing.assert_array_equal(image_set.images, images(3))
    assert image_set.ids.tolist() == ["J0", "J1", "J2"]
    assert image_set.class_counts() == {"merger": 2, "spiral": 1}
    assert image_set.meta["split"] == {"J0": "train", "J1": "train", "J2": "train"}
    assert set(image_set.provenance) == {"catalogue.csv", "stamps/0.npy", "stamps/1.npy", "stamps/2.npy"}
    for column in ("objid", "class", "split"):
        assert has_note(image_set, f"the column {column!r}")


def test_columns_can_be_named(catalogue):
    text = catalogue.read_text().replace("objid,file,ra,class", "name,where,type,label")
    catalogue.write_text(text)
    with pytest.raises(InputError, match="has no column of paths among name, where, type, label, split; name it"):
        open_images(catalogue)
    with pytest.raises(InputError, match="the columns type and label could be the labels; name it with --labels"):
        open_images(catalogue, images="where")
    image_set = open_images(catalogue, images="where", labels="label", ids="name")
    assert image_set.class_counts() == {"merger": 2, "spiral": 1}


def test_a_byte_order_mark_tabs_and_blanks_do_no_harm(catalogue, tmp_path):
    rows = [line.replace(",", " \t ") for line in catalogue.read_text().splitlines()]
    (tmp_path / "catalogue.tsv").write_bytes(b"\xef\xbb\xbf" + "\r\n".join(rows).encode())
    assert open_images(tmp_path / "catalogue.tsv").ids.tolist() == ["J0", "J1", "J2"]


def test_without_ids_the_paths_are_the_ids(catalogue):
    catalogue.write_text("file\nstamps/2.npy\nstamps/0.npy\n")
    image_set = open_images(catalogue)
    assert image_set.ids.tolist() == ["stamps/2", "stamps/0"]
    np.testing.assert_array_equal(image_set.images, images(3)[[2, 0]])
    assert image_set.labels is None


@pytest.mark.parametrize("where", ["../secret.npy", "/etc/passwd", "stamps/../../secret.npy", "link/secret.npy"])
def test_paths_that_leave_the_folder_are_refused(catalogue, tmp_path_factory, where):
    outside = tmp_path_factory.mktemp("outside")
    np.save(outside / "secret.npy", images(1)[0])
    np.save(catalogue.parent.parent / "secret.npy", images(1)[0])
    (catalogue.parent / "link").symlink_to(outside)
    catalogue.write_text(f"file\n{where}\n")
    with pytest.raises(InputError, match="outside the catalogue's folder"):
        open_images(catalogue)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("\n", "has no header"),
        ("file,file\n", "has no header of different column names"),
        ("file\n", "has no rows"),
        ("file,label\nstamps/0.npy\n", "line 2 of .* has 1 cells; expected 2"),
        ("file\nstamps/9.npy\n", r"row 1 .* names 'stamps/9.npy', which is not a file"),
        ("file\ncatalogue.csv\n", r"names 'catalogue.csv'; expected an image"),
        ("file\nstamps\n", "which is not a file"),
        ('file\n"stamps/0.npy\n', "not readable as a CSV catalogue"),
        ("file\nstamps/\0.npy\n", "outside the catalogue|not readable as a CSV"),
        ("file\n\xff", "not readable as a CSV catalogue"),
    ],
)
def test_damaged_tables_are_refused(catalogue, text, message):
    catalogue.write_bytes(text.encode("latin-1"))
    with pytest.raises(InputError, match=message):
        open_images(catalogue)


def test_files_of_two_kinds_are_refused(catalogue):
    put(catalogue.parent / "stamps" / "9.png", colour())
    catalogue.write_text("file\nstamps/0.npy\nstamps/9.png\n")
    with pytest.raises(InputError, match=r"is a NumPy image of 3 bands and stamps/9\.png is a colour picture"):
        open_images(catalogue)
