"""Isomaps of surfaces whose flat map is known, and against scikit-learn's."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from scipy.spatial import procrustes
from sklearn.manifold import Isomap

from robustkit.errors import InputError
from robustkit.latent.isomap import fit_isomap
from robustkit.latent.neighbour_graph import neighbour_graph


def roll(n, dimensions=12, seed=0):
    """A rolled sheet in many dimensions, and where its points lie on the flat sheet."""
    rng = np.random.default_rng(seed)
    angle, height = 1.5 * np.pi * (1 + 2 * rng.random(n)), 21 * rng.random(n)
    sheet = np.stack([angle * np.cos(angle), height, angle * np.sin(angle)], axis=1)
    turn = np.linalg.qr(rng.normal(size=(dimensions, 3)))[0]
    along = (angle * np.sqrt(1 + angle**2) + np.arcsinh(angle)) / 2  # arc length of the spiral
    return sheet @ turn.T, np.stack([along, height], axis=1)


@pytest.fixture(scope="module")
def rolled():
    return roll(700)


@pytest.mark.parametrize("landmarks", [0, 100])
def test_a_rolled_sheet_comes_out_flat(rolled, landmarks):
    latents, flat = rolled
    fit = fit_isomap(latents, neighbours=8, landmarks=landmarks)
    assert procrustes(flat, fit.coordinates[:, :2])[2] < 0.01
    assert fit.graph.components == 1
    assert fit.duplicates == 0
    assert len(fit.landmarks) == landmarks


def test_landmarks_give_the_full_map(rolled):
    latents, _ = rolled
    full, landmark = (fit_isomap(latents, neighbours=8, landmarks=m) for m in (0, 150))
    assert procrustes(full.coordinates, landmark.coordinates)[2] < 0.001
    assert procrustes(full.coordinates[:, :2], landmark.coordinates[:, :2])[2] < 0.001
    everyone = fit_isomap(latents, neighbours=8, landmarks=700)
    size = np.abs(full.coordinates).max()
    np.testing.assert_allclose(np.abs(everyone.coordinates), np.abs(full.coordinates), atol=1e-6 * size)


def test_the_full_map_is_that_of_scikit_learn(rolled):
    latents, _ = rolled
    theirs = Isomap(n_neighbors=8, n_components=3, eigen_solver="dense").fit(latents)
    ours = fit_isomap(latents, neighbours=8)
    np.testing.assert_array_equal(ours.coordinates, theirs.embedding_)
    np.testing.assert_allclose(ours.graph.geodesics([0, 5]), theirs.dist_matrix_[[0, 5]])


@pytest.mark.parametrize("landmarks", [0, 100])
def test_what_is_projected_lands_where_it_belongs_and_moves_nothing(rolled, landmarks):
    latents, flat = rolled
    fit = fit_isomap(latents[:600], neighbours=8, landmarks=landmarks)
    before = fit.coordinates.copy()
    np.testing.assert_allclose(fit.project(latents[:50]), fit.coordinates[:50], atol=1e-5 * np.abs(before).max())
    both = np.concatenate([fit.coordinates, fit.project(latents[600:])])[:, :2]
    assert procrustes(flat, both)[2] < 0.01
    np.testing.assert_array_equal(fit.coordinates, before)
    assert fit.project(latents[:0]).shape == (0, 3)


@pytest.mark.parametrize("landmarks", [0, 60])
def test_the_same_whatever_is_drawn_in_between(rolled, landmarks):
    latents, _ = rolled
    one = fit_isomap(latents[:300], neighbours=8, landmarks=landmarks)
    np.random.seed(7)  # noqa: NPY002 (what other code may do)
    np.testing.assert_array_equal(
        fit_isomap(latents[:300], neighbours=8, landmarks=landmarks).coordinates, one.coordinates
    )


@pytest.mark.parametrize("landmarks", [0, 40])
def test_pieces_are_counted_before_they_are_joined(landmarks):
    rng = np.random.default_rng(0)
    clouds = [rng.normal(size=(40, 5)) + shift for shift in (0, 30, 90)]
    latents = np.concatenate(clouds)
    fit = fit_isomap(latents, neighbours=5, landmarks=landmarks)
    assert fit.graph.components == 3
    assert len(fit.graph.bridges) == 3
    for a, b in fit.graph.bridges:
        apart = np.linalg.norm(clouds[a // 40][:, None] - clouds[b // 40], axis=2)
        assert np.linalg.norm(latents[a] - latents[b]) == pytest.approx(apart.min())
    assert np.isfinite(fit.coordinates).all()
    order = [fit.coordinates[i : i + 40, 0].mean() for i in (0, 40, 80)]
    assert order in (sorted(order), sorted(order, reverse=True))


def test_joined_pieces_have_the_paths_of_scikit_learn():
    rng = np.random.default_rng(1)
    latents = np.concatenate([rng.normal(size=(30, 4)), rng.normal(size=(30, 4)) + 20])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of what this test is about
        theirs = Isomap(n_neighbors=4).fit(latents)
    np.testing.assert_allclose(neighbour_graph(latents, 4).geodesics(np.arange(60)), theirs.dist_matrix_)


@pytest.mark.parametrize("landmarks", [0, 50])
def test_duplicates_share_a_place_and_do_not_shape_the_map(rolled, landmarks):
    latents, _ = rolled
    plain = fit_isomap(latents[:200], neighbours=8, landmarks=landmarks)
    twice = fit_isomap(np.concatenate([latents[:200], latents[50:80]]), neighbours=8, landmarks=landmarks)
    assert twice.duplicates == 30
    np.testing.assert_array_equal(twice.coordinates[:200], plain.coordinates)
    np.testing.assert_array_equal(twice.coordinates[200:], plain.coordinates[50:80])


def test_fewer_dimensions_are_the_first_columns(rolled):
    latents, _ = rolled
    two, three = (fit_isomap(latents[:300], neighbours=8, dimensions=d).coordinates for d in (2, 3))
    np.testing.assert_allclose(np.abs(two), np.abs(three[:, :2]), atol=1e-8 * np.abs(three).max())


@pytest.mark.parametrize(
    ("latents", "options", "words"),
    [
        (np.eye(8), {"neighbours": 10}, "more than 10 distinct points; there are 8"),
        (np.ones((50, 4)), {}, "all 50 latents are the same"),
        (np.full((20, 4), np.nan), {}, "20 of 20 rows are not finite"),
        (np.arange(40.0)[:, None], {"landmarks": 20}, "do not spread over 3 dimensions"),
        (np.arange(40.0)[:, None], {}, "do not spread over 3 dimensions"),
        (np.eye(8), {"neighbours": 0}, "at least 1"),
        (np.eye(8), {"dimensions": 0}, "at least 1"),
        (np.eye(8), {"landmarks": 3}, "3 landmarks span no map of 3 dimensions"),
        (np.eye(8), {"landmarks": -1}, "give more, or 0"),
        (np.zeros((4, 3, 2, 2)), {}, r"shape \(N, D\)"),
    ],
)
def test_what_has_no_map_is_refused(latents, options, words):
    with pytest.raises(InputError, match=words):
        fit_isomap(latents, **options)


@pytest.mark.parametrize(("apart", "landmarks"), [(1e4, 0), (1e6, 0), (1e4, 20)])
def test_pieces_far_apart_have_a_map_that_shows_both_distances(landmarks, apart):
    points = np.random.default_rng(0).normal(size=(60, 5))
    points[30:, 0] += apart
    found = fit_isomap(points, neighbours=5, landmarks=landmarks).coordinates
    for piece in (found[:30], found[30:]):
        assert 3 < np.ptp(piece, axis=0).max() < 20
    assert abs(found[:30, 0].mean() - found[30:, 0].mean()) == pytest.approx(apart, rel=0.01)


@pytest.mark.parametrize("landmarks", [0, 20])
def test_pieces_too_far_apart_for_a_map_are_called_that(landmarks):
    points = np.random.default_rng(0).normal(size=(60, 5))
    points[30:] += 1e9
    with pytest.raises(InputError, match="in 2 pieces, so far apart that"):
        fit_isomap(points, neighbours=5, landmarks=landmarks)


@pytest.mark.parametrize("landmarks", [0, 20])
@pytest.mark.parametrize("strays", [1, 3])
def test_points_far_from_all_others_are_named(landmarks, strays):
    points = np.random.default_rng(0).normal(size=(60, 5))
    points[7 : 7 + strays] += 1e9 * np.arange(1, strays + 1)[:, None]
    with pytest.raises(InputError, match=rf"{strays} of 60 points lie so far from the rest"):
        fit_isomap(points, neighbours=5, landmarks=landmarks)
