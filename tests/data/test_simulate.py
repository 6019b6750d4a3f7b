"""The folder of simulated galaxies: what is in it, that it is reproducible, and what is refused."""

import csv
import sys

import numpy as np
import pytest

pytest.importorskip("galsim")

import robustkit.data.simulate as module
from robustkit.data.imageset import ImageSet
from robustkit.data.simulate import simulate
from robustkit.data.stretch import fit_stretch
from robustkit.errors import InputError, MissingExtra
from robustkit.files import read_json

SIZE = 24


@pytest.fixture(scope="module")
def galaxies(tmp_path_factory):
    return simulate(6, seed=3, size=SIZE, workers=1, out=tmp_path_factory.mktemp("simulate") / "galaxies")


def test_each_depth_is_an_image_set_of_the_same_galaxies(galaxies):
    deep, shallow = ImageSet.load(galaxies / "Y10"), ImageSet.load(galaxies / "Y1")
    for images in (deep, shallow):
        assert images.images.shape == (6, 3, SIZE, SIZE)
        assert isinstance(images.images, np.memmap)
        assert (images.class_names, images.bands) == (("spiral", "elliptical", "merger"), ("g", "r", "i"))
        assert images.units == "electron"
        assert images.stretch is None
        assert images.bounds[0] < images.images.min() < images.images.max() < images.bounds[1]
    assert deep.ids.tolist() == shallow.ids.tolist() == [f"galaxy-{index:06d}" for index in range(6)]
    assert deep.labels.tolist() == shallow.labels.tolist()
    # The same light, and noise that differs.
    difference = (deep.images - shallow.images)[:, 1]
    sigma = np.hypot(deep.meta["noise_sigma"]["r"], shallow.meta["noise_sigma"]["r"])
    assert 0.95 < difference.std() / sigma < 1.2


def test_the_noise_of_one_year_is_seen_through_one_stretch_and_hidden_by_another(galaxies):
    deep, shallow = ImageSet.load(galaxies / "Y10"), ImageSet.load(galaxies / "Y1")
    sky = np.zeros((2, 3, 1, 1))
    sky[1, :, 0, 0] = [shallow.meta["noise_sigma"][band] for band in deep.bands]
    share = {}
    for name in ("arcsinh", "lupton"):
        stretch = fit_stretch(name, np.asarray(deep.images))
        dark, noisy = stretch(sky)
        share[name] = np.abs(noisy - dark).max() / np.ptp(stretch(np.asarray(deep.images)))
    assert share["arcsinh"] < 0.02
    assert share["lupton"] > 2 * share["arcsinh"]


def test_metadata_is_complete(galaxies):
    for name, scale in (("Y10", 1), ("Y1", 10)):
        meta = ImageSet.load(galaxies / name).meta
        assert (meta["depth"], meta["scale"], meta["seed"], meta["simulated"]) == (name, scale, 3, True)
        assert meta["psf_fwhm"]["g"] > meta["seeing_fwhm"]["g"] > 0.8
    about = read_json(galaxies / "galaxies.json")
    assert about["kind"] == "robustkit-galaxies"
    assert about["depths"] == ["Y10", "Y1"]
    assert (about["survey"]["name"], about["seed"], about["n"], about["size"]) == ("lsst", 3, 6, SIZE)
    assert {"robustkit", "galsim", "numpy", "python"} == set(about["versions"])


def test_the_catalogue_has_a_row_for_each_galaxy_in_order(galaxies):
    with open(galaxies / "catalogue.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    images = ImageSet.load(galaxies / "Y10")
    assert [row["id"] for row in rows] == images.ids.tolist()
    assert [int(row["label"]) for row in rows] == images.labels.tolist()
    assert [images.class_names[int(row["label"])] for row in rows] == [row["class"] for row in rows]
    assert all(0.7 <= float(row["radius_arcsec"]) <= 4 for row in rows)
    assert {row["class"]: bool(row["mass_ratio"]) for row in rows} == {
        "spiral": False,
        "elliptical": False,
        "merger": True,
    }


def test_neither_n_nor_workers_nor_other_depths_change_a_galaxy(galaxies, tmp_path, monkeypatch):
    monkeypatch.setattr(module, "_CHUNK", 1)  # so that three galaxies occupy two processes
    other = simulate(3, seed=3, size=SIZE, workers=2, years=(1,), out=tmp_path / "other")
    one_year = ImageSet.load(other / "Y1")
    assert one_year.meta["scale"] == 1
    np.testing.assert_allclose(10 * one_year.images, ImageSet.load(galaxies / "Y1").images[:3], rtol=1e-6)


def test_every_style_is_stored_on_one_zero_point_with_its_own_noise(tmp_path):
    sets = {
        style: ImageSet.load(simulate(3, size=SIZE, workers=1, style=style, out=tmp_path / style) / name)
        for style, name in (("lsst", "Y10"), ("sdss", "Y1"), ("hst", "Y1"))
    }
    assert [path.name for path in (tmp_path / "sdss").iterdir() if path.is_dir()] == ["Y1"]
    zero = [images.meta["zero_point_mag"]["r"] for images in sets.values()]
    np.testing.assert_allclose(zero, zero[0], rtol=1e-9)
    assert {style: images.meta["style"] for style, images in sets.items()} == {name: name for name in sets}
    assert sets["lsst"].meta["scale"] == 1
    for images in sets.values():
        assert images.bounds[0] < images.images.min() < images.images.max() < images.bounds[1]
    # Ten years of a large mirror against a minute of a small one, per square arcsec.
    noise = {s: i.meta["noise_sigma"]["r"] / i.meta["pixel_scale"] for s, i in sets.items()}
    assert noise["sdss"] > 20 * noise["lsst"]
    assert sets["hst"].meta["psf_fwhm"]["r"] < 0.14 < 0.75 < sets["lsst"].meta["psf_fwhm"]["r"]


def test_a_style_can_be_seen_by_another_camera(tmp_path):
    folder = simulate(2, size=SIZE, workers=1, style="hst", survey="hsc", out=tmp_path / "far")
    deep, shallow = ImageSet.load(folder / "Y6"), ImageSet.load(folder / "Y0.6")
    assert (deep.meta["survey"], deep.meta["style"], deep.meta["scale"]) == ("hsc", "hst", 1)
    assert shallow.meta["scale"] == pytest.approx(10)


def test_classes_can_be_chosen(tmp_path):
    folder = simulate(2, size=SIZE, workers=1, years=(2,), classes={"elliptical": 1}, out=tmp_path / "e")
    assert ImageSet.load(folder / "Y2").class_counts() == {"spiral": 0, "elliptical": 2, "merger": 0}


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"survey": "euclid"}, "unknown survey 'euclid'; known are lsst, des, hsc, sdss, hst"),
        ({"style": "euclid"}, "unknown style 'euclid'; known are lsst, sdss, hst"),
        ({"years": (10, 0)}, "positive numbers of years"),
        ({"years": ()}, "positive numbers of years"),
        ({"years": (float("nan"),)}, "positive numbers of years"),
        ({"n": 0}, "n must be at least 1, got 0"),
        ({"seed": -1}, "seed must be at least 0"),
        ({"workers": 0}, "workers must be at least 1"),
        ({"size": 4}, "size must be at least 16"),
        ({"classes": {"irregular": 1}}, "unknown class 'irregular'; known are spiral, elliptical, merger"),
        ({"classes": {"spiral": 0}}, "not all 0"),
        ({"classes": {"spiral": 2, "merger": -1}}, "class shares of at least 0"),
    ],
)
def test_bad_input_is_refused_before_anything_is_written(settings, message, tmp_path):
    with pytest.raises(InputError, match=message):
        simulate(**({"n": 1} | settings), out=tmp_path / "galaxies")
    assert not list(tmp_path.iterdir())


def test_a_folder_that_holds_something_is_left_alone(tmp_path):
    (tmp_path / "mine").write_text("mine")
    with pytest.raises(InputError, match="already holds files"):
        simulate(1, out=tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["mine"]


def test_an_interrupted_run_leaves_nothing(tmp_path, monkeypatch):
    def stop(*arguments):
        raise KeyboardInterrupt

    monkeypatch.setattr(module, "expose", stop)
    with pytest.raises(KeyboardInterrupt):
        simulate(1, size=SIZE, workers=1, out=tmp_path / "galaxies")
    assert not list(tmp_path.iterdir())


def test_without_galsim_the_message_names_the_extra(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "galsim", None)
    with pytest.raises(MissingExtra, match=r"galsim is needed to simulate galaxies.*robustkit-audit\[sim\]"):
        simulate(1, out=tmp_path / "galaxies")
    assert not list(tmp_path.iterdir())
