"""Distances between latents and what changes of coordinates do to them."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial.distance import mahalanobis
from sklearn.covariance import LedoitWolf

from robustkit.errors import InputError
from robustkit.latent.distances import latent_distances, summarize_distances, within_class
from robustkit.latent.geometry import AffineHead, decision_space

D, K = 8, 3


def _case(n=400, seed=0):
    rng = np.random.default_rng(seed)
    labels = np.arange(n) % K
    spread = rng.normal(size=(D, D))
    clean = rng.normal(0, 4, size=(K, D))[labels] + rng.normal(size=(n, D)) @ spread
    perturbed = clean + rng.normal(0, 0.7, size=(n, D))
    head = AffineHead(rng.normal(size=(K, D)), rng.normal(size=K))
    return clean, perturbed, labels, head


def test_each_distance_is_its_definition():
    clean, perturbed, labels, head = _case()
    within = within_class(clean, labels)
    found = latent_distances(clean, perturbed, within=within, head=head)
    residuals = clean - np.stack([clean[labels == k].mean(axis=0) for k in range(K)])[labels]
    covariance = residuals.T @ residuals / (len(clean) - K)
    np.testing.assert_allclose(found.euclidean, np.linalg.norm(perturbed - clean, axis=1))
    np.testing.assert_allclose(found.in_scatter, found.euclidean / np.sqrt(np.trace(covariance) / D))
    expected = [mahalanobis(a, b, np.linalg.inv(covariance)) for a, b in zip(clean, perturbed, strict=True)]
    np.testing.assert_allclose(found.whitened, expected)
    np.testing.assert_allclose(found.reach, 1 / found.crossing)
    flipped = head(clean).argmax(axis=1) != head(perturbed).argmax(axis=1)
    np.testing.assert_array_equal(found.reach > 1, flipped)
    assert 0 < flipped.sum() < len(clean)
    basis = decision_space(head).basis
    shares = np.linalg.norm((perturbed - clean) @ basis, axis=1) ** 2 / found.euclidean**2
    np.testing.assert_allclose(found.decision_share, shares)
    assert within.shrinkage == found.shrinkage == 0


def test_what_survives_a_change_of_coordinates():
    clean, perturbed, labels, head = _case()
    change = np.random.default_rng(5).normal(size=(D, D))
    other = AffineHead(head.weight @ np.linalg.inv(change), head.bias)
    one = latent_distances(clean, perturbed, within=within_class(clean, labels), head=head)
    moved, twin = clean @ change.T, perturbed @ change.T
    two = latent_distances(moved, twin, within=within_class(moved, labels), head=other)
    np.testing.assert_allclose(two.whitened, one.whitened, rtol=1e-6)
    np.testing.assert_allclose(two.reach, one.reach, rtol=1e-6)
    assert not np.allclose(two.euclidean, one.euclidean, rtol=0.2)
    assert not np.allclose(two.in_scatter, one.in_scatter, rtol=0.2)


def test_scatter_units_survive_rotation_and_scale():
    clean, perturbed, labels, _ = _case()
    change = 30 * np.linalg.qr(np.random.default_rng(5).normal(size=(D, D)))[0]
    one = latent_distances(clean, perturbed, within=within_class(clean, labels))
    two = latent_distances(clean @ change, perturbed @ change, within=within_class(clean @ change, labels))
    np.testing.assert_allclose(two.in_scatter, one.in_scatter)
    np.testing.assert_allclose(two.euclidean, 30 * one.euclidean)
    assert one.reach is one.crossing is one.decision_share is None


def test_few_latents_and_flat_ones_get_a_shrunk_covariance():
    clean, _, labels, _ = _case(n=30)
    within = within_class(clean, labels)
    residuals = clean - np.stack([clean[labels == k].mean(axis=0) for k in range(K)])[labels]
    expected = LedoitWolf(assume_centered=True).fit(residuals)
    assert within.shrinkage == pytest.approx(expected.shrinkage_)
    assert within.shrinkage > 0
    np.testing.assert_allclose(within.factor @ within.factor.T, expected.covariance_ * 30 / 27)
    many, twins, classes, _ = _case()
    many[:, 3] = twins[:, 3] = 0.0  # a dead unit
    flat = within_class(many, classes)
    assert flat.shrinkage > 0
    assert np.isfinite(latent_distances(many, twins, within=flat).whitened).all()


def test_a_shrunk_covariance_is_moved_by_the_scale_of_one_axis_and_its_record_says_so():
    clean, perturbed, labels, head = _case(n=30)
    covariance = within_class(clean, labels).factor
    axis = np.linalg.eigh(covariance @ covariance.T)[1][:, -1]
    change = np.eye(D) + 4 * np.outer(axis, axis)  # the first principal axis five times as long
    other = AffineHead(head.weight @ np.linalg.inv(change), head.bias)
    one = latent_distances(clean, perturbed, within=within_class(clean, labels), head=head)
    moved, twin = clean @ change.T, perturbed @ change.T
    two = latent_distances(moved, twin, within=within_class(moved, labels), head=other)
    np.testing.assert_allclose(two.reach, one.reach, rtol=1e-6)
    assert np.median(two.whitened) < 0.8 * np.median(one.whitened)


@pytest.mark.parametrize(
    "latents",
    [
        np.array([[0.0, 0, 0], [2, 0, 0], [5, 5, 0], [5, 7, 0]]),  # two pairs, two directions of three
        np.outer([0.0, 1, 5, 6], np.ones(4)),  # all on one line
        1e-30 * np.random.default_rng(0).normal(size=(4, 40)),  # far below the rounding of 1
        1e30 * np.random.default_rng(0).normal(size=(4, 40)),
        np.concatenate([np.zeros((3, 5)), 1e-12 * np.ones((1, 5))]),
        np.eye(4)[:, :2] * [1e8, 1e-8],
    ],
    ids=["pairs", "line", "tiny", "huge", "nearly equal", "uneven"],
)
def test_few_and_flat_latents_give_what_can_be_had_and_no_traceback(latents):
    labels = np.array([0, 0, 1, 1])
    within = within_class(latents, labels)
    found = latent_distances(latents, latents[::-1], within=within)
    assert np.isfinite(found.euclidean).all()
    assert np.isfinite(found.in_scatter).all()
    assert np.isfinite(found.whitened).all() == (within.factor is not None)
    assert np.isnan(within.shrinkage) == (within.factor is None)
    table = summarize_distances(found, draws=50, rng=np.random.default_rng(0))
    assert ("whitened" in table) == (within.factor is not None)


@pytest.mark.parametrize(
    ("latents", "labels", "words"),
    [
        (np.ones((4, 3)), [0, 0, 1, 1], "the same"),
        (np.ones((1, 3)), [0], "single image"),
        (np.ones((2, 3)), [0, 1], "single image"),
        (np.zeros((0, 3)), [], "needs a label"),
    ],
)
def test_latents_without_any_scatter_are_refused_in_words(latents, labels, words):
    with pytest.raises(InputError, match=words):
        within_class(latents, np.array(labels))


def test_summaries_leave_out_what_has_no_share_and_say_how_many():
    clean, perturbed, labels, head = _case(n=90)
    perturbed[:5] = clean[:5]
    found = latent_distances(clean, perturbed, within=within_class(clean, labels), head=head)
    table = summarize_distances(found, draws=200, rng=np.random.default_rng(0))
    assert list(table) == ["euclidean", "in_scatter", "whitened", "reach", "decision_share"]
    assert table["euclidean"].n == table["reach"].n == 90
    assert table["decision_share"].n == 85
    assert table["euclidean"].median.value == np.median(found.euclidean)
    assert (found.reach[:5] == 0).all()
    clustered = summarize_distances(found, clusters=np.arange(90) // 3, draws=200, rng=np.random.default_rng(0))
    assert clustered["euclidean"].mean.method == "BCa bootstrap, 30 objects"
    without = latent_distances(clean, perturbed, within=within_class(clean, labels))
    assert list(summarize_distances(without, draws=50, rng=np.random.default_rng(0))) == list(table)[:3]


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda c, p, y, w: within_class(c, y[:-1]), "each latent needs a label"),
        (lambda c, p, y, w: within_class(c, np.arange(len(c))), "single image"),
        (lambda c, p, y, w: within_class(np.ones_like(c), y), "nothing scatters"),
        (lambda c, p, y, w: within_class(np.full_like(c, np.nan), y), "400 of 400 rows"),
        (lambda c, p, y, w: latent_distances(c, p[:-1], within=w), "perturbed twin"),
        (
            lambda c, p, y, w: latent_distances(c[:, :4], p[:, :4], within=w),
            "4 dimensions; their scatter was measured in 8",
        ),
    ],
)
def test_refusals(call, words):
    clean, perturbed, labels, _ = _case()
    with pytest.raises(InputError, match=words):
        call(clean, perturbed, labels, within_class(clean, labels))
