"""The relations: published values, and what a sample drawn from them looks like."""

import numpy as np
import pytest

from robustkit.data.galaxies import CLASSES, draw_galaxy
from robustkit.data.light import Plane
from robustkit.data.relations import (
    Sample,
    comoving_distance,
    distance_modulus,
    draw_place,
    kpc_per_arcsec,
    observed_colours,
    reddening,
    sersic_index,
)
from robustkit.data.styles import EARLY_SIZES, LATE_SIZES, STYLES
from robustkit.seeds import stream

SPIRAL, ELLIPTICAL, _ = STYLES["lsst"].kinds


def test_distances_are_astropys():
    cosmology = pytest.importorskip("astropy.cosmology").FlatLambdaCDM(H0=70, Om0=0.3, Tcmb0=0)
    for z in (0.03, 0.1, 0.5, 1.5):
        assert comoving_distance(z) == pytest.approx(cosmology.comoving_distance(z).value, rel=1e-5)
        assert distance_modulus(z) == pytest.approx(cosmology.distmod(z).value, abs=1e-4)
        assert kpc_per_arcsec(z) == pytest.approx(1 / cosmology.arcsec_per_kpc_proper(z).value, rel=1e-5)


def test_sizes_are_the_published_ones():
    # Early types: log R = 0.26 |M| - 5.06; late types at their knee: log R = 0.104 |M| + 0.25 log 2 - 1.71.
    assert EARLY_SIZES.median(-22.0) == pytest.approx(10**0.66)
    assert LATE_SIZES.median(-20.91) == pytest.approx(10 ** (0.104 * 20.91 + 0.25 * np.log10(2) - 1.71))
    assert LATE_SIZES.median(-20) > 1.3 * EARLY_SIZES.median(-20)
    # Dwarfs scatter more than giants.
    assert LATE_SIZES.scatter(-15) == pytest.approx(0.45, abs=0.01)
    assert LATE_SIZES.scatter(-24) == pytest.approx(0.27, abs=0.01)


def test_stars_redden_with_age_and_redshift():
    # E and Im galaxies at redshift 0 (Fukugita et al. 1995, Table 3).
    assert observed_colours(0.77, 0.0) == pytest.approx((0.77, 0.39), abs=0.01)
    assert observed_colours(0.22, 0.0) == pytest.approx((0.22, 0.08), abs=0.01)
    assert observed_colours(0.72, 0.2)[0] > observed_colours(0.72, 0.0)[0] > observed_colours(0.4, 0.0)[0]
    assert reddening(1.0) == 0
    assert reddening(0.2) == pytest.approx(0.1)
    assert reddening(0.1) == pytest.approx(0.1)


def test_brighter_spheroids_are_more_concentrated():
    indices = {m: [sersic_index(stream(0, f"{m} {k}"), m) for k in range(300)] for m in (-19.5, -22.5)}
    assert np.median(indices[-22.5]) - np.median(indices[-19.5]) >= 1.5
    assert min(indices[-19.5]) >= 2
    assert max(indices[-22.5]) <= 6


def test_a_flux_limited_sample_follows_its_luminosity_function():
    # Near enough that every galaxy of the range is seen: the luminosities are those of the Schechter function.
    sample = Sample(magnitudes=(0, 30), redshifts=(0.05, 0.06))
    drawn = np.array([draw_place(stream(0, str(k)), SPIRAL, sample) for k in range(4000)])
    light = lambda m: 10 ** (-0.4 * (m - SPIRAL.knee))  # noqa: E731
    m = np.linspace(*sample.luminosities, 4001)
    density = light(m) ** (SPIRAL.slope + 1) * np.exp(-light(m))
    expected = (m * density).sum() / density.sum()
    assert drawn[:, 0].mean() == pytest.approx(expected, abs=5 * drawn[:, 0].std() / np.sqrt(4000))
    # And what is limited in flux is more luminous further away.
    drawn = np.array([draw_place(stream(0, str(k)), SPIRAL, Sample((16, 19), (0.02, 0.3))) for k in range(500)])
    assert np.corrcoef(drawn.T)[0, 1] < -0.5


@pytest.fixture(scope="module")
def drawn():
    plane = Plane(100, 0.2)
    return [draw_galaxy(0, index, plane) for index in range(400)]


def test_median_radii_are_those_of_the_relations(drawn):
    for label in range(3):
        sizes = EARLY_SIZES if CLASSES[label] == "elliptical" else LATE_SIZES
        rows = [galaxy.truth for galaxy in drawn if galaxy.label == label]
        ratio = [row["radius_kpc"] / sizes.median(row["abs_mag_r"]) for row in rows]
        assert 1 / 1.3 < np.median(ratio) < 1.3
        assert 0.2 < np.std(np.log(ratio)) < 0.45
        arcsec = [row["radius_arcsec"] * kpc_per_arcsec(row["redshift"]) for row in rows]
        np.testing.assert_allclose(arcsec, [row["radius_kpc"] for row in rows])


def test_colours_alone_hardly_tell_the_classes(drawn):
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import cross_val_score
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    labels = np.array([galaxy.label for galaxy in drawn])
    light = np.array([np.sum([part.flux for part in galaxy.parts], axis=0) for galaxy in drawn])
    colours = -2.5 * np.log10(light[:, :2] / light[:, 1:])
    right = cross_val_score(make_pipeline(StandardScaler(), LogisticRegression()), colours, labels, cv=5).mean()
    constant = np.bincount(labels).max() / len(labels)
    # At most 0.15 with many galaxies; 400 leave an error of 0.025. Nor are colours noise: early types are redder.
    assert constant + 0.03 < right < constant + 0.15 + 0.05


def test_every_class_has_red_green_and_blue_members(drawn):
    for label in range(3):
        shares = [
            np.mean([galaxy.truth["population"] == name for galaxy in drawn if galaxy.label == label])
            for name in ("red", "green", "blue")
        ]
        assert min(shares) > 0.04
    reds = [np.mean([g.truth["population"] == "red" for g in drawn if g.label == label]) for label in range(2)]
    assert reds[0] < reds[1]
    assert ELLIPTICAL.share_red(-22) > ELLIPTICAL.share_red(-20)
