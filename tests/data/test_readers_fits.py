"""FITS through astropy: cubes, stamps, one file per band, and what is wrong with a file."""

import gzip

import numpy as np
import pytest

from robustkit.data import open_images
from robustkit.errors import InputError, MissingExtra
from tests.data.samples import has_note, images, labels

fits = pytest.importorskip("astropy.io.fits")


def write(path, *arrays: np.ndarray, names=None, checksum=False, **header):
    """The first array goes to the primary HDU; `None` leaves it empty."""
    hdus = [fits.PrimaryHDU(arrays[0])]
    hdus += [fits.ImageHDU(array, name=names[i] if names else None) for i, array in enumerate(arrays[1:])]
    for hdu in hdus:
        hdu.header.update(header)
    fits.HDUList(hdus).writeto(path, checksum=checksum)
    return path


def stamps(*sizes: int) -> list[np.ndarray]:
    return [np.random.default_rng(size).normal(0, 1, (size, size)) for size in sizes]


@pytest.mark.parametrize("dtype", [">f4", ">f8", ">i2", "u1", ">u2"])
def test_a_cube_is_brought_to_native_float32(tmp_path, dtype):
    values = images().clip(0).astype(dtype)
    image_set = open_images(write(tmp_path / "a.fits", values))
    np.testing.assert_array_equal(image_set.images, values.astype(np.float32))
    assert image_set.images.dtype.isnative
    assert has_note(image_set, "channel axis: first in (20, 3, 12, 14)")


def test_blocks_of_a_cube_join_to_the_whole(tmp_path, monkeypatch):
    path = write(tmp_path / "a.fits", images())
    monkeypatch.setattr("robustkit.data.pixels.BLOCK_BYTES", 3 * images()[0].nbytes * 2)
    np.testing.assert_array_equal(open_images(path).images, images())


def test_a_cube_of_one_band_and_negative_sky(tmp_path):
    values = images(30, 1)[:, 0] - 12
    image_set = open_images(write(tmp_path / "a.fits", values, FILTER="F814W"), labels=labels(30))
    np.testing.assert_array_equal(image_set.images[:, 0], values)
    assert image_set.images.min() < 0
    assert image_set.bands == ("F814W",)
    assert image_set.class_counts() == {"0": 10, "1": 10, "2": 10}


def test_scaled_integers_are_unscaled(tmp_path):
    hdu = fits.ImageHDU(np.linspace(-1, 1, 16 * 3).reshape(3, 4, 4))
    hdu.scale("int16", bscale=0.001, bzero=0.25)
    fits.HDUList([fits.PrimaryHDU(), hdu]).writeto(tmp_path / "a.fits")
    image_set = open_images(tmp_path / "a.fits", channels="none")
    np.testing.assert_allclose(image_set.images.ravel(), np.linspace(-1, 1, 48), atol=6e-4)


def test_one_hdu_an_object_of_different_sizes(tmp_path):
    arrays = stamps(16, 40, 25)
    path = write(tmp_path / "cosmos.fits", *arrays)
    with pytest.raises(InputError, match=r"the 3 images in cosmos\.fits are from 16x16 to 40x40; --resize H W"):
        open_images(path)
    image_set = open_images(path, size=25, bands=["F814W"])
    assert image_set.ids.tolist() == ["cosmos-0000", "cosmos-0001", "cosmos-0002"]
    np.testing.assert_array_equal(image_set.images[2, 0], arrays[2].astype(np.float32))
    np.testing.assert_array_equal(image_set.images[1, 0], arrays[1][7:32, 7:32].astype(np.float32))
    np.testing.assert_array_equal(image_set.images[0, 0, 4:20, 4:20], arrays[0].astype(np.float32))
    assert has_note(image_set, "one HDU per object, 3 of 16x16 to 40x40")
    assert has_note(image_set, "1 cut, 1 padded")


def test_named_hdus_give_ids_and_an_empty_primary_is_none(tmp_path):
    image_set = open_images(write(tmp_path / "a.fits", None, *stamps(8, 8), names=["NGC1", "NGC2"]))
    assert image_set.ids.tolist() == ["NGC1", "NGC2"]


def test_errors_and_masks_are_never_taken_for_images(tmp_path):
    path = write(tmp_path / "a.fits", None, *stamps(8, 8, 8), names=["SCI", "ERR", "DQ"])
    with pytest.raises(InputError, match=r"holds errors or masks beside images \(DQ, ERR\); name one with --images"):
        open_images(path)
    image_set = open_images(path, images="SCI")
    assert image_set.ids.tolist() == ["SCI"]
    assert has_note(image_set, "DQ, ERR beside SCI was not read")
    alone = open_images(write(tmp_path / "b.fits", None, *stamps(8), names=["SCI"]), images="SCI")
    assert not has_note(alone, "was not read")
    with pytest.raises(InputError, match="has no image extension 'X'; it has DQ, ERR, SCI"):
        open_images(path, images="X")


def test_compressed_hdus(tmp_path):
    values = (stamps(32)[0] * 1000).astype(np.int16)
    hdus = [fits.PrimaryHDU(), fits.CompImageHDU(values, compression_type="RICE_1")]
    fits.HDUList(hdus).writeto(tmp_path / "a.fits.fz")
    np.testing.assert_array_equal(open_images(tmp_path / "a.fits.fz").images[0, 0], values)


@pytest.mark.parametrize(
    ("unit", "units", "words"),
    [
        ("electron", "electron", "from BUNIT 'electron'"),
        ("ELECTRONS", "electron", "from BUNIT"),
        ("counts", "electron", "one electron per count; --units unknown if not so"),
        ("electron/s", "unknown", "not one that robustkit recognises"),
        ("nJy", "unknown", "not one that robustkit recognises"),
        (None, "unknown", "not stated"),
    ],
)
def test_units_from_the_header(tmp_path, unit, units, words):
    header = {} if unit is None else {"BUNIT": unit}
    image_set = open_images(write(tmp_path / "a.fits", images(), **header))
    assert image_set.units == units
    assert has_note(image_set, "units", words)
    assert open_images(tmp_path / "a.fits", units="electron").units == "electron"


def test_blank_pixels_are_not_finite(tmp_path):
    values = images(20, 1)[:, 0]
    values[3, 4, 5] = np.nan
    path = write(tmp_path / "a.fits", values)
    with pytest.raises(InputError, match="1 pixel is NaN or infinite, first: 000003 band band0 row 4 column 5"):
        open_images(path)
    assert np.isfinite(open_images(path, nan="fill").images).all()


# ------------------------------------------------------------------------------------------------- folders


def test_a_folder_of_files_with_one_image_each(tmp_path):
    for row in range(3):
        write(tmp_path / f"{row}.fits", images()[row], BUNIT="electron")
    image_set = open_images(tmp_path)
    np.testing.assert_array_equal(image_set.images, images()[:3])
    assert image_set.ids.tolist() == ["0", "1", "2"]
    assert image_set.units == "electron"


def test_one_cube_a_band(tmp_path):
    for band, name in enumerate("gri"):
        write(tmp_path / f"{name}.fits", images()[:, band])
    with pytest.raises(InputError, match=r"give --bands g,i,r in the order"):
        open_images(tmp_path)
    image_set = open_images(tmp_path, bands=["g", "r", "i"], labels=labels())
    np.testing.assert_array_equal(image_set.images, images())
    assert image_set.bands == ("g", "r", "i")
    assert image_set.class_counts() == {"0": 7, "1": 7, "2": 6}
    assert set(image_set.provenance) == {"g.fits", "r.fits", "i.fits"}
    np.testing.assert_array_equal(open_images(tmp_path, bands=["i", "r", "g"]).images, images()[:, ::-1])


def test_one_file_an_object_and_band(tmp_path):
    for row in range(4):
        for band, name in enumerate("gri"):
            write(tmp_path / f"NGC_{row}_{name}.fits", images()[row, band])
    image_set = open_images(tmp_path, bands=["g", "r", "i"])
    np.testing.assert_array_equal(image_set.images, images()[:4])
    assert image_set.ids.tolist() == [f"NGC_{row}" for row in range(4)]
    assert len(image_set.provenance) == 12
    single = open_images(tmp_path, bands=["any"])
    assert single.images.shape == (12, 1, 12, 14)
    (tmp_path / "NGC_2_r.fits").unlink()
    with pytest.raises(InputError, match=r"object 'NGC_2' .* has no file for band r"):
        open_images(tmp_path, bands=["g", "r", "i"])


def test_bands_that_disagree_are_refused(tmp_path):
    write(tmp_path / "g.fits", images()[:, 0])
    write(tmp_path / "r.fits", images()[:19, 1])
    with pytest.raises(InputError, match="expected the same number of images in every band, got 20 in g, 19 in r"):
        open_images(tmp_path, bands=["g", "r"])
    (tmp_path / "r.fits").unlink()
    write(tmp_path / "r.fits", images()[:, 1, :8])
    with pytest.raises(InputError, match=r"image 0 of g\.fits has another size than image 0 of r\.fits"):
        open_images(tmp_path, bands=["g", "r"])
    (tmp_path / "r.fits").unlink()
    write(tmp_path / "r.fits", images()[:, 1], BUNIT="electron")
    with pytest.raises(InputError, match="are in different units"):
        open_images(tmp_path, bands=["g", "r"])


def test_a_file_of_several_images_among_files_of_one_is_refused(tmp_path):
    write(tmp_path / "0.fits", *stamps(8))
    write(tmp_path / "1.fits", *stamps(8, 8))
    with pytest.raises(InputError, match=r"1\.fits holds 2 images; expected one per file"):
        open_images(tmp_path)


# ------------------------------------------------------------------------------------------------- damage


def test_a_flipped_byte_fails_its_checksum(tmp_path):
    path = write(tmp_path / "a.fits", None, images(), checksum=True)
    assert len(open_images(path)) == 20
    data = bytearray(path.read_bytes())
    data[8000] ^= 1
    path.write_bytes(data)
    with pytest.raises(InputError, match=r"a\.fits is damaged: .*verification failed"):
        open_images(path)


@pytest.mark.parametrize("keep", [1, 80, 2880, 5000, -2880, -1])
def test_truncated_files_are_refused(tmp_path, keep):
    path = write(tmp_path / "a.fits", None, images(), images())
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(InputError):
        open_images(path)


def test_a_file_whose_later_headers_are_damaged_does_not_open_shortened(tmp_path):
    path = write(tmp_path / "a.fits", *stamps(30, 30, 30))
    data = path.read_bytes()
    second = data.index(b"XTENSION", data.index(b"XTENSION") + 1)
    path.write_bytes(data[:second] + b"YTENSION" + data[second + 8 :])
    with pytest.raises(InputError, match=r"HDU 2 of a\.fits is neither image nor table; its header is damaged"):
        open_images(path)


@pytest.mark.parametrize("axis", [b"NAXIS1  =                   14", b"NAXIS4  =                   20"])
def test_sizes_that_the_file_cannot_hold_are_refused_before_reading(tmp_path, axis):
    path = write(tmp_path / "a.fits", images())
    data = path.read_bytes()
    assert data.count(axis) == 1
    path.write_bytes(data.replace(axis, axis[:10] + b"          2000000000"))
    with pytest.raises(InputError):
        open_images(path)


def test_a_compressed_image_that_claims_too_much_is_refused(tmp_path):
    hdu = fits.CompImageHDU(np.zeros((64, 64), np.int16), compression_type="RICE_1")
    fits.HDUList([fits.PrimaryHDU(), hdu]).writeto(tmp_path / "a.fits")
    data = (tmp_path / "a.fits").read_bytes()
    for key in (b"ZNAXIS1 ", b"ZNAXIS2 "):
        at = data.index(key)
        data = data[: at + 10] + b"             2000000" + data[at + 30 :]
    (tmp_path / "a.fits").write_bytes(data)
    with pytest.raises(InputError, match="claims"):
        open_images(tmp_path / "a.fits")


def test_other_contents_are_refused(tmp_path):
    table = fits.BinTableHDU.from_columns([fits.Column("x", "E", array=np.zeros(3))], name="CATALOG")
    fits.HDUList([fits.PrimaryHDU(), table]).writeto(tmp_path / "table.fits")
    with pytest.raises(InputError, match="holds no images, only tables or spectra: CATALOG"):
        open_images(tmp_path / "table.fits")
    write(tmp_path / "line.fits", np.zeros(7))
    with pytest.raises(InputError, match="holds no images, only tables or spectra: PRIMARY"):
        open_images(tmp_path / "line.fits")
    (tmp_path / "zip.fits").write_bytes(gzip.compress(write(tmp_path / "a.fits", images()).read_bytes()))
    with pytest.raises(InputError, match="if it is compressed, unpack it first"):
        open_images(tmp_path / "zip.fits")


def test_without_astropy_the_extra_is_named(tmp_path, monkeypatch):
    path = write(tmp_path / "a.fits", images())
    monkeypatch.setitem(__import__("sys").modules, "astropy.io.fits", None)
    with pytest.raises(MissingExtra, match=r"pip install 'robustkit-audit\[fits\]'"):
        open_images(path)
