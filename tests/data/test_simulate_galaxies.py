"""The population: what makes a galaxy the same, what its classes share, and what an encounter does."""

import numpy as np
import pytest

from robustkit.data.encounters import Encounter, meet
from robustkit.data.galaxies import CLASSES, SHARES, draw_galaxy, label_of
from robustkit.data.light import Map, Plane, Profile, Target, stellar_flux
from robustkit.data.spirals import smooth_field
from robustkit.seeds import stream

PLANE = Plane(32, 0.2)


def _same(a, b):
    if isinstance(a, Map):
        return isinstance(b, Map) and np.array_equal(a.light, b.light) and (a.flux, a.blur) == (b.flux, b.blur)
    return a == b


def test_a_galaxy_is_the_same_whenever_it_is_drawn():
    for index in (3, 4, 5):
        one, other = draw_galaxy(7, index, PLANE), draw_galaxy(7, index, PLANE)
        assert one.truth == other.truth
        assert all(map(_same, one.parts + one.neighbours, other.parts + other.neighbours))
        assert draw_galaxy(8, index, PLANE).truth != one.truth
        assert draw_galaxy(7, index, PLANE).id != draw_galaxy(7, index + 1, PLANE).id


@pytest.mark.parametrize("n", [10, 57, 1000])
def test_the_first_n_have_each_class_in_proportion(n):
    labels = [label_of(index) for index in range(n)]
    counts = np.bincount(labels, minlength=3)
    assert np.all(np.abs(counts - n * np.array([SHARES[name] for name in CLASSES])) < 2)


def test_shares_need_not_add_to_one_and_may_be_left_out():
    assert {label_of(index, {"merger": 2.0}) for index in range(50)} == {CLASSES.index("merger")}
    assert [label_of(index, {"spiral": 4, "elliptical": 3, "merger": 3}) for index in range(200)] == [
        label_of(index) for index in range(200)
    ]


def test_the_flux_of_a_galaxy_is_that_of_its_magnitude():
    plane = Plane(100, 0.2)
    for index in range(12):
        galaxy = draw_galaxy(0, index, plane)
        light = -2.5 * np.log10(sum(part.flux[1] for part in galaxy.parts)) + 24
        # Stars that an encounter throws beyond the plane take their light with them.
        lost = 0.4 if CLASSES[galaxy.label] == "merger" else 1e-6
        assert -1e-6 < light - galaxy.truth["mag_r"] < lost


def test_truth_is_within_the_limits_of_the_sample_and_brighter_than_the_neighbours():
    for index in range(25):
        galaxy = draw_galaxy(1, index, PLANE)
        assert 17 <= galaxy.truth["mag_r"] <= 21.5
        assert 1.4 <= galaxy.truth["radius_arcsec"] <= 5
        assert 0 < galaxy.truth["redshift"] < 0.5
        assert galaxy.truth["neighbours"] == len(galaxy.neighbours)
        brightest = max((part.flux[1] for part in galaxy.neighbours), default=0.0)
        assert brightest < 10 ** (-0.4 * (galaxy.truth["mag_r"] + 1 - 24)) * (1 + 1e-9)


def test_bulges_are_redder_than_discs_and_young_stars_bluest():
    index = next(index for index in range(50) if label_of(index) == 0)
    old, young, knots, bulge = draw_galaxy(0, index, PLANE).parts
    assert isinstance(bulge, Profile)
    red = [part.flux[2] / part.flux[0] for part in (knots, young, old, bulge)]
    assert red == sorted(red)


def test_stars_redden_with_age_and_redshift():
    colour = lambda age, z: -2.5 * np.log10(np.divide(*stellar_flux(stream(0, "a"), 20.0, age, z, scatter=0.0)[:2]))  # noqa: E731
    assert colour(0, 0) < colour(0.5, 0) < colour(1, 0) < colour(1, 0.1)
    # E and Im galaxies at redshift 0 (Fukugita et al. 1995, Table 3).
    assert colour(1, 0) == pytest.approx(0.77, abs=0.08)
    assert colour(0, 0) == pytest.approx(0.22, abs=0.08)


def test_components_add_to_the_target():
    target = Target(magnitude=20.0, radius=2.0, redshift=0.1)
    rng = stream(0, "a")
    total = sum(target.flux(rng, share, 0.5)[1] for share in (0.2, 0.3, 0.5))
    assert total == pytest.approx(10 ** (-0.4 * (20 - 24)))


def test_a_smooth_field_has_the_moments_it_promises():
    values = np.stack([smooth_field(stream(0, str(k)), PLANE, 1.5) for k in range(400)])
    np.testing.assert_allclose(values.mean(0), 0, atol=5 / np.sqrt(400))
    np.testing.assert_allclose(values.var(0), 1, atol=5 * np.sqrt(2 / 400))
    apart = round(1.5 / PLANE.step)
    neighbour = (values[:, :, :-1] * values[:, :, 1:]).mean()
    distant = (values[:, :, : -4 * apart] * values[:, :, 4 * apart :]).mean() if values.shape[2] > 4 * apart else 0.0
    assert neighbour > 0.95
    assert abs(distant) < 0.1


def _meet(mass_ratio, *, time=40.0, seed=0, discs=(True, True), reach=99.0):
    encounter = Encounter(mass_ratio=mass_ratio, pericentre=1.0, time=time, reach=reach, discs=discs)
    return meet(stream(seed, "encounter"), encounter, stars=800)


def _far(remains):
    """Share of the primary's stars that are further out than it began."""
    return np.mean(np.linalg.norm(remains.stars[0] - remains.centres[0], axis=1) > 8)


@pytest.mark.parametrize("disc", [True, False])
def test_a_galaxy_that_meets_nothing_keeps_its_stars(disc):
    assert _far(_meet(1e-7, discs=(disc, True))) < 0.02


def test_equals_throw_out_stars_and_pull_each_other_in():
    assert np.mean([_far(_meet(1.0, seed=seed)) for seed in range(5)]) > 0.1
    assert _meet(1.0, time=150.0).separation < 1.5 < _meet(1.0, time=6.0).separation


def test_the_picture_is_taken_before_the_centres_pass_the_reach():
    assert _meet(0.05, time=80.0, reach=4.0).separation < 4.6
    assert _meet(0.05, time=80.0).separation > 4.6


def test_light_of_each_galaxy_adds_to_one():
    remains = _meet(0.5)
    assert remains.stars.shape == (2, 800, 2)
    np.testing.assert_allclose(remains.weights.sum(1), 1)
