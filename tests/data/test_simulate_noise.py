"""Survey constants, and the moments of the noise against formulas and against GalSim's noise."""

import dataclasses

import numpy as np
import pytest

from robustkit.data.simulate import expose
from robustkit.data.survey import DES, HSC, HST, LSST, SDSS, SURVEYS, BandSurvey, Depth, Survey, open_survey
from robustkit.errors import InputError

Y10, Y1 = Depth(LSST, 10, 10), Depth(LSST, 1, 10)
RATE = np.array([0.0, 0.5, 40.0])


def _flat(depth, seed=0):
    """Stored values of three constant rates, shape (3 bands, 3 rates, M)."""
    rate = np.broadcast_to(RATE[None, :, None], (3, 3, 40_000))
    return expose(rate, depth, np.random.default_rng(seed))


def test_lsst_numbers_are_the_published_ones():
    # Electrons per pixel from the sky, and their root: LSST overview paper, Table 2, through descwl.
    assert [LSST.sky_rate(band) for band in LSST.bands] == pytest.approx([9.71, 23.04, 32.51], rel=1e-3)
    assert [Y10.sky(band) for band in LSST.bands] == pytest.approx([23_296, 127_198, 179_476], rel=1e-3)
    assert [Y1.sky(band) ** 0.5 for band in LSST.bands] == pytest.approx([48.3, 112.8, 134.0], rel=1e-3)
    assert [Y1.exposure(band) for band in LSST.bands] == [240, 552, 552]
    assert [Y10.visits(band) for band in LSST.bands] == [80, 184, 184]
    assert [LSST.seeing(band) for band in LSST.bands] == pytest.approx([0.814, 0.781, 0.747], abs=1e-3)
    assert LSST.obscuration == pytest.approx(0.64, abs=0.01)


def test_every_survey_has_a_mirror_with_a_hole_and_a_place_by_name():
    for name, survey in SURVEYS.items():
        assert open_survey(name) is survey
        assert open_survey(survey) is survey
        assert 0 < survey.obscuration < 0.7
    assert {DES.name, HSC.name, LSST.name, SDSS.name, HST.name} == set(SURVEYS)


@pytest.mark.parametrize("depth", [Y10, Y1, Depth(DES, 6, 6), Depth(HSC, 3, 6)])
def test_noise_has_the_mean_and_variance_of_the_formula(depth):
    stored = _flat(depth)
    for c, band in enumerate(depth.survey.bands):
        electrons = RATE * depth.exposure(band)
        variance = depth.scale**2 * (electrons + depth.background(band))
        error = np.sqrt(variance / stored.shape[-1])
        assert np.all(np.abs(stored[c].mean(1) - depth.scale * electrons) < 5 * error)
        np.testing.assert_allclose(stored[c].var(1), variance, rtol=5 * np.sqrt(2 / stored.shape[-1]))


def test_depths_are_equally_bright_and_the_shallower_is_noisier():
    deep, shallow = _flat(Y10), _flat(Y1)
    np.testing.assert_allclose(shallow[:, 2].mean(1), deep[:, 2].mean(1), rtol=1e-3)
    np.testing.assert_allclose(shallow[:, 0].std(1) / deep[:, 0].std(1), np.sqrt(10), rtol=0.02)


@pytest.mark.parametrize("depth", [Y10, Y1])
def test_noise_is_galsims(depth):
    galsim = pytest.importorskip("galsim")
    band = LSST.bands[1]
    sky, visits, rate = depth.sky(band), depth.visits(band), 2.0
    noise = galsim.CCDNoise(
        galsim.BaseDeviate(5), gain=1.0, sky_level=sky, read_noise=np.sqrt(visits) * LSST.read_noise
    )
    image = galsim.ImageF(np.full((300, 300), rate * depth.exposure(band)))
    image.addNoise(noise)
    ours = expose(np.full((3, 300, 300), rate), depth, np.random.default_rng(6))[1] / depth.scale
    theirs = image.array
    assert abs(ours.mean() - theirs.mean()) < 5 * np.sqrt(2) * theirs.std() / 300
    assert ours.var() / theirs.var() == pytest.approx(1, abs=5 * np.sqrt(2 * 2 / 90_000))


def test_thinning_ten_years_gives_one_year():
    """A share f of the photons, and the noise that a share lacks: what makes a shallower image of a stored one."""
    deep, shallow, f = _flat(Y10), _flat(Y1, seed=1), 0.1
    for c, band in enumerate(LSST.bands):
        n = deep[c].astype(np.float64) / Y10.scale
        spread = np.sqrt(f * (1 - f) * (np.maximum(n, 0) + Y10.background(band)))
        thinned = (f * n + spread * np.random.default_rng(c).standard_normal(n.shape)) / f
        np.testing.assert_allclose(thinned.var(1), shallow[c].var(1), rtol=0.05)
        error = np.sqrt(2 * shallow[c].var(1) / n.shape[1])
        assert np.all(np.abs(thinned.mean(1) - shallow[c].mean(1)) < 5 * error)


def test_meta_says_what_the_noise_is_made_of():
    meta = Y1.meta()
    assert (meta["survey"], meta["depth"], meta["scale"], meta["reference_years"]) == ("lsst", "Y1", 10, 10)
    for band in LSST.bands:
        name = band.name
        background = meta["sky_electron"][name] + meta["visits"][name] * meta["read_noise"] ** 2
        assert meta["background_electron2"][name] == pytest.approx(background)
        assert meta["noise_sigma"][name] == pytest.approx(10 * background**0.5)
        # A source of zero-point magnitude adds one stored unit, whatever the depth.
        assert meta["zero_point_mag"][name] == pytest.approx(Y10.meta()["zero_point_mag"][name])
        assert 24 + 2.5 * np.log10(band.zero_point * Y10.exposure(band)) == pytest.approx(meta["zero_point_mag"][name])


def test_bounds_hold_no_electron_and_every_visit_at_full_well():
    low, high = Y1.bounds
    assert low == pytest.approx(-10 * Y1.sky(LSST.bands[2]))
    assert high == pytest.approx(10 * (18.4 * 103_000 - Y1.sky(LSST.bands[1])))
    assert Y10.bounds == pytest.approx((low, high))


def test_names_of_depths():
    assert Depth(LSST, 10.0, 10.0).name == "Y10"
    assert Depth(LSST, 0.5, 10).name == "Y0.5"


def test_unknown_surveys_and_bands_are_refused():
    with pytest.raises(InputError, match=r"unknown survey 'euclid'; known are lsst, des, hsc, sdss, hst"):
        open_survey("euclid")
    other = BandSurvey("z", 870, 22.7, 19.6, 0.65, 4800, 30)
    with pytest.raises(InputError, match="expected bands among g, r, i"):
        dataclasses.replace(LSST, bands=(*LSST.bands, other))
    assert isinstance(dataclasses.replace(LSST, bands=LSST.bands[1:2]), Survey)
