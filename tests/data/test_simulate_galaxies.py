"""The population: what makes a galaxy the same, what its classes share, and what an encounter does."""

import dataclasses

import numpy as np
import pytest

from robustkit.data.encounters import Encounter, meet
from robustkit.data.galaxies import CLASSES, SHARES, draw_galaxy, label_of
from robustkit.data.light import Map, Plane, Profile, Target, fluxes, with_colours
from robustkit.data.spirals import draw_disc, draw_parameters, make_spiral, smooth_field
from robustkit.data.styles import STYLES
from robustkit.seeds import stream

PLANE = Plane(32, 0.2)
SAMPLE = STYLES["lsst"].sample
TARGET = Target(absolute=-21.0, redshift=0.1, magnitude=18.0, population="blue", colours=(0.6, 0.3), radius=2.0)


def _same(a, b):
    if isinstance(a, Map):
        return isinstance(b, Map) and np.array_equal(a.light, b.light) and (a.flux, a.blur) == (b.flux, b.blur)
    return a == b


def test_a_galaxy_is_the_same_whenever_it_is_drawn():
    for index in (3, 4, 5):
        one, other = draw_galaxy(7, index, PLANE), draw_galaxy(7, index, PLANE)
        assert one.truth == other.truth
        assert (one.seeing, one.shear) == (other.seeing, other.shear)
        assert all(map(_same, one.parts + one.neighbours, other.parts + other.neighbours))
        assert draw_galaxy(8, index, PLANE).truth != one.truth
        assert draw_galaxy(7, index, PLANE).id != draw_galaxy(7, index + 1, PLANE).id


def test_styles_have_other_galaxies_with_names_of_their_own():
    made = {name: draw_galaxy(7, 3, PLANE, style=style) for name, style in STYLES.items()}
    assert {name: galaxy.id for name, galaxy in made.items()} == {
        "lsst": "galaxy-000003",
        "sdss": "sdss-000003",
        "hst": "hst-000003",
    }
    assert len({galaxy.shear for galaxy in made.values()}) == 3


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


def test_truth_is_within_the_limits_of_the_sample():
    for index in range(25):
        galaxy = draw_galaxy(1, index, PLANE)
        # The limit is one of the mean K correction, and half a cell of the grid.
        assert SAMPLE.magnitudes[0] - 0.3 <= galaxy.truth["mag_r"] <= SAMPLE.magnitudes[1] + 0.3
        assert SAMPLE.redshifts[0] * 0.9 <= galaxy.truth["redshift"] <= SAMPLE.redshifts[1] * 1.01
        assert galaxy.truth["neighbours"] == len(galaxy.neighbours)


def test_no_neighbour_that_is_nearly_as_bright_lies_upon_the_galaxy():
    for index in range(60):
        galaxy = draw_galaxy(2, index, PLANE)
        for part in galaxy.neighbours:
            if part.flux[1] > 10 ** (-0.4 * (galaxy.truth["mag_r"] + 0.6 - 24)):
                assert np.hypot(part.x, part.y) > 1.0 + 1.5 * galaxy.truth["radius_arcsec"]


def _g_r(part):
    return -2.5 * np.log10(part.flux[0] / part.flux[1])


def test_bulges_are_redder_than_discs_and_young_stars_bluest():
    parts, _ = make_spiral(stream(0, "a"), PLANE, TARGET)
    colours = [_g_r(part) for part in parts]  # disc, arms, knots, bulge
    assert colours[2] < colours[1] < colours[0] < colours[3]


def test_red_spirals_have_fainter_arms_and_larger_bulges_than_blue_ones():
    red, blue = (
        [make_spiral(stream(0, str(k)), PLANE, dataclasses.replace(TARGET, population=population)) for k in range(20)]
        for population in ("red", "blue")
    )
    arms = lambda made: np.mean([parts[1].flux[1] for parts, _ in made])  # noqa: E731
    assert arms(red) < 0.5 * arms(blue)
    assert np.mean([row["bulge_share"] for _, row in red]) > np.mean([row["bulge_share"] for _, row in blue])


def test_distant_spirals_are_clumpier():
    near, far = (
        make_spiral(stream(0, "a"), PLANE, dataclasses.replace(TARGET, clumps=clumps))[0] for clumps in (1.0, 2.5)
    )
    assert far[2].flux[1] == pytest.approx(2.5 * near[2].flux[1], rel=0.1)
    assert sum(part.flux[1] for part in far) == pytest.approx(sum(part.flux[1] for part in near))


def test_an_inclined_disc_is_redder_than_the_same_face_on():
    made = [make_spiral(stream(0, str(k)), PLANE, TARGET) for k in range(40)]
    ratio = np.array([row["axis_ratio"] for _, row in made])
    total = np.array([np.sum([part.flux for part in parts], axis=0) for parts, _ in made])
    colour = -2.5 * np.log10(total[:, 0] / total[:, 1])
    assert np.corrcoef(np.log(ratio), colour)[0, 1] < -0.999
    assert TARGET.colours[0] <= colour.min() < TARGET.colours[0] + 0.02
    assert colour.max() <= TARGET.colours[0] + 0.1 + 1e-9


def test_components_add_to_the_target():
    total = sum(TARGET.flux(share)[1] for share in (0.2, 0.3, 0.5))
    assert total == pytest.approx(10 ** (-0.4 * (TARGET.magnitude - 24)))


def test_parts_take_the_colours_that_they_are_given_and_keep_their_differences():
    parts = [Profile(1.0, 1.0, fluxes(20, 0.3, 0.1)), Profile(4.0, 1.0, fluxes(19, 0.9, 0.5))]
    made = with_colours(parts, 0.6, 0.25)
    g, r, i = np.sum([part.flux for part in made], axis=0)
    assert -2.5 * np.log10([g / r, r / i]) == pytest.approx([0.6, 0.25])
    assert [part.flux[1] for part in made] == [part.flux[1] for part in parts]
    assert _g_r(made[1]) - _g_r(made[0]) == pytest.approx(0.6)


def test_discs_have_bars_rings_and_arms_in_their_shares():
    discs = [draw_parameters(stream(0, str(k)), 1.0) for k in range(1500)]
    assert np.mean([disc.bar > 0 for disc in discs]) == pytest.approx(0.50, abs=0.05)
    assert np.mean([disc.ring > 0 for disc in discs]) == pytest.approx(0.33, abs=0.05)
    assert np.mean([disc.flocculent for disc in discs]) == pytest.approx(0.30, abs=0.05)
    assert np.mean([disc.arms == 2 for disc in discs if not disc.flocculent]) == pytest.approx(0.62, abs=0.06)
    assert min(disc.axis_ratio for disc in discs) == pytest.approx(0.2, abs=0.01)


def test_a_ring_is_brighter_than_what_lies_beside_it():
    disc = dataclasses.replace(
        draw_parameters(stream(0, "disc"), 1.2), x=0.0, y=0.0, axis_ratio=1.0, ring=1.5, bar=0.0, contrast=0.0,
        lopsided=(0.0, 0.0), dust=0.0, edge=5.0,
    )  # fmt: skip
    plane = Plane(60, 0.1)
    radius = np.hypot(plane.x, plane.y) / disc.length
    ringed, _ = draw_disc(stream(0, "a"), plane, disc)
    plain, _ = draw_disc(stream(0, "a"), plane, dataclasses.replace(disc, ring=0.0))
    gain = ringed / plain
    assert gain[abs(radius - 1.5) < 0.05].mean() > 1.2
    assert gain[abs(radius - 0.8) < 0.05].mean() < 1.01


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
