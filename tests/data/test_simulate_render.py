"""What the telescope would count without noise, against GalSim's own drawing."""

import numpy as np
import pytest

from robustkit.data.light import Galaxy, Map, Plane, Profile
from robustkit.data.render import Renderer
from robustkit.data.survey import DES, HSC, HST, LSST, SDSS

galsim = pytest.importorskip("galsim")
ONE = (1.0, 1.0, 1.0)


def _drawn(profile, renderer, band):
    """GalSim's picture of a profile under the renderer's own PSF."""
    psf = renderer.psf(renderer.survey.bands[band].name)
    image = galsim.Convolve(profile, psf).drawImage(
        nx=renderer.size, ny=renderer.size, scale=renderer.survey.pixel_scale
    )
    return image.array * renderer.survey.bands[band].zero_point


@pytest.mark.parametrize(("index", "size"), [(1.0, 64), (4.0, 64), (2.5, 51)])
def test_a_profile_is_what_galsim_draws(index, size):
    renderer = Renderer(LSST, size)
    part = Profile(index, 0.9, (0.5, 1.0, 2.0), x=0.7, y=-1.1, axis_ratio=0.6, angle=0.5)
    ours = renderer(Galaxy("a", 0, (part,)))
    profile = galsim.Sersic(index, half_light_radius=0.9).shear(q=0.6, beta=0.5 * galsim.radians).shift(0.7, -1.1)
    for band, flux in enumerate(part.flux):
        theirs = _drawn(profile * flux, renderer, band)
        assert np.abs(ours[band] - theirs).max() < 5e-4 * theirs.max()


def test_a_map_is_what_galsim_draws_of_the_same_light():
    renderer = Renderer(DES, 50)
    plane = renderer.plane
    light = np.exp(-0.5 * ((plane.x - 1.3) ** 2 + (plane.y + 0.4) ** 2) / 0.9**2)
    ours = renderer(Galaxy("a", 0, (Map(light, ONE, blur=0.5),)))
    theirs = _drawn(galsim.Gaussian(sigma=np.hypot(0.9, 0.5)).shift(1.3, -0.4), renderer, 1)
    assert np.abs(ours[1] - theirs).max() < 1e-4 * theirs.max()


@pytest.mark.parametrize("survey", [LSST, DES, HSC])
def test_a_star_has_the_flux_of_its_magnitude_and_the_width_of_the_seeing(survey):
    renderer = Renderer(survey, 80)
    rate = renderer(Galaxy("a", 0, (Profile(1.0, 0.0, ONE),)))
    for band, constants in enumerate(survey.bands):
        # The wings of a Kolmogorov profile take about a percent beyond eight arcsec.
        assert rate[band].sum() == pytest.approx(constants.zero_point, rel=0.02)
        psf = renderer.psf(constants.name)
        assert psf.calculateFWHM() == pytest.approx(survey.seeing(constants), rel=0.05)
        assert psf.calculateFWHM() > survey.seeing(constants)
        # The same tool on GalSim's own image of a star: the width is that of the pixels' centres.
        seen = galsim.Image(rate[band], scale=survey.pixel_scale).calculateFWHM()
        star = galsim.Image(_drawn(galsim.DeltaFunction(), renderer, band), scale=survey.pixel_scale)
        assert seen == pytest.approx(star.calculateFWHM(), rel=1e-3)


@pytest.mark.parametrize(("survey", "wide"), [(SDSS, 1.33), (HST, 0.115)])
def test_other_cameras_have_other_psfs(survey, wide):
    renderer = Renderer(survey, 80)
    psf = renderer.psf("r")
    assert psf.calculateFWHM() == pytest.approx(wide, rel=0.1)
    # Wings: a Moffat profile and an Airy disc hold less light within a radius of 1.5 FWHM than a Gaussian's 99.8 %.
    image = psf.drawImage(nx=401, ny=401, scale=wide / 20)
    side = (np.arange(401) - 200) * wide / 20
    inside = np.hypot(side[:, None], side) < 1.5 * psf.calculateFWHM()
    assert 0.75 < image.array[inside].sum() < 0.985


def test_a_sheared_psf_is_wider_along_its_axis():
    renderer = Renderer(LSST, 40)
    star = (Profile(1.0, 0.0, ONE),)
    image = renderer(Galaxy("a", 0, star, shear=(0.1, 0.0)))[1]
    side = np.arange(40) - 19.5
    core = image * (np.hypot(side[:, None], side) < 8)
    assert (core * side**2).sum() > 1.15 * (core * side[:, None] ** 2).sum()
    assert image.sum() == pytest.approx(renderer(Galaxy("a", 0, star))[1].sum(), rel=1e-3)


def test_seeing_scales_the_atmosphere():
    renderer = Renderer(LSST, 40)
    star = (Profile(1.0, 0.0, ONE),)
    sharp, mean, blurred = (renderer(Galaxy("a", 0, star, seeing=seeing))[1].max() for seeing in (0.8, 1.0, 1.25))
    assert sharp > mean > blurred
    assert renderer.psf("r", 1.25).calculateFWHM() == pytest.approx(1.25 * renderer.psf("r").calculateFWHM(), rel=0.01)


def test_neighbours_are_seen_too():
    renderer = Renderer(LSST, 32)
    one, two = Profile(1.0, 0.5, ONE), Profile(1.0, 0.4, ONE, x=2.0)
    apart = renderer(Galaxy("a", 0, (one,))) + renderer(Galaxy("a", 0, (two,)))
    together = renderer(Galaxy("a", 0, (one,), neighbours=(two,)))
    np.testing.assert_allclose(together, apart, atol=1e-8 * together.max())


def test_points_keep_their_place_and_lose_what_falls_beyond_the_plane():
    plane = Plane(32, 0.2)
    (drawn,) = plane.points(np.array([[1.02, -0.53], [99.0, 0.0]]), np.array([0.75, 0.25]), (4.0, 2.0, 1.0), blur=0.1)
    row, column = np.unravel_index(drawn.light.argmax(), drawn.light.shape)
    assert plane.x[0, column] == pytest.approx(1.02, abs=plane.step / 2)
    assert plane.y[row, 0] == pytest.approx(-0.53, abs=plane.step / 2)
    assert drawn.flux == (3.0, 1.5, 0.75)
    assert plane.points(np.array([[99.0, 0.0]]), np.array([1.0]), ONE, blur=0.1) == []
