"""Margins and crossings of affine heads, against formulas, searches along lines, and changes of coordinates."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize
from torch import nn

from robustkit.errors import InputError
from robustkit.latent.geometry import (
    AffineHead,
    crossings,
    decision_share,
    decision_space,
    find_affine_head,
    margins,
)


def _case(seed=0, n=20, dimension=6, classes=4):
    rng = np.random.default_rng(seed)
    head = AffineHead(rng.normal(size=(classes, dimension)), rng.normal(size=classes))
    return head, rng.normal(size=(n, dimension)), rng.normal(size=(n, dimension))


def _in_other_coordinates(head, seed=1):
    """A random invertible A, and the same classifier on A z."""
    change = np.random.default_rng(seed).normal(size=(head.weight.shape[1],) * 2)
    return change, AffineHead(head.weight @ np.linalg.inv(change), head.bias)


def _as_function(module):
    return lambda z: module(torch.as_tensor(z, dtype=torch.float32)).detach().numpy()


def test_two_classes_have_the_margin_of_a_plane():
    head = AffineHead([[3.0, 4.0], [0.0, 0.0]], [-5.0, 0.0])
    found = margins(head, [[3.0, 4.0], [0.0, 0.0], [1.0, 0.5]])
    np.testing.assert_allclose(found.distance, [4.0, 1.0, 0.0], atol=1e-15)  # |3 x + 4 y - 5| / 5
    assert found.predicted[:2].tolist() == [0, 1]
    assert found.rival[:2].tolist() == [1, 0]


def test_margin_is_the_shortest_way_out():
    head, latents, _ = _case(n=4)
    found = margins(head, latents)
    for z, k, distance in zip(latents, found.predicted, found.distance, strict=True):
        ways = []
        for j in set(range(4)) - {int(k)}:
            tie = {"type": "eq", "fun": lambda x, j=j, k=k: head(x)[k] - head(x)[j]}
            ways.append(minimize(lambda x, z=z: ((x - z) ** 2).sum(), z, constraints=tie, method="SLSQP").fun ** 0.5)
        assert distance == pytest.approx(min(ways), rel=1e-5)


def test_no_step_shorter_than_the_margin_flips_and_the_right_one_does():
    head, latents, _ = _case()
    found = margins(head, latents)
    steps = np.random.default_rng(3).normal(size=(500, *latents.shape))
    steps *= 0.999 * found.distance[:, None] / np.linalg.norm(steps, axis=2, keepdims=True)
    assert (head(latents + steps).argmax(axis=2) == found.predicted).all()
    way = head.weight[found.rival] - head.weight[found.predicted]
    way *= 1.001 * found.distance[:, None] / np.linalg.norm(way, axis=1, keepdims=True)
    np.testing.assert_array_equal(head(latents + way).argmax(axis=1), found.rival)


def test_crossing_is_where_a_search_along_the_line_finds_it():
    head, latents, directions = _case(n=200)
    found = crossings(head, latents, directions)
    reached = np.isfinite(found.t)
    assert 0 < reached.sum() < 200
    for sign, at in ((-1, margins(head, latents).predicted), (1, found.to)):
        beside = latents + (found.t * (1 + sign * 1e-9))[:, None] * directions
        np.testing.assert_array_equal(head(beside[reached]).argmax(axis=1), at[reached])
    far = np.linspace(0, 1e4, 2000)[:, None, None] * directions[~reached] + latents[~reached]
    assert (head(far).argmax(axis=2) == found.to[~reached]).all()


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 2**32 - 1), st.integers(2, 6))
def test_below_one_is_a_flip(seed, classes):
    head, latents, directions = _case(seed, classes=classes)
    before, after = (head(z).argmax(axis=1) for z in (latents, latents + directions))
    found = crossings(head, latents, directions)
    # A class that is left is never entered again: its region is convex.
    np.testing.assert_array_equal(found.t < 1, before != after)


def test_crossings_do_not_depend_on_coordinates_and_margins_do():
    head, latents, directions = _case()
    change, other = _in_other_coordinates(head)
    one, two = crossings(head, latents, directions), crossings(other, latents @ change.T, directions @ change.T)
    np.testing.assert_allclose(one.t, two.t, rtol=1e-8)
    np.testing.assert_array_equal(one.to, two.to)
    assert not np.allclose(margins(head, latents).distance, margins(other, latents @ change.T).distance, rtol=0.1)


def test_standing_still_and_classes_of_equal_weights_never_cross():
    head = AffineHead([[1.0, 0.0], [1.0, 0.0]], [1.0, 0.0])
    assert margins(head, [[0.0, 0.0]]).distance == np.inf
    found = crossings(head, [[0.0, 0.0], [0.0, 0.0]], [[0.0, 0.0], [5.0, 1.0]])
    assert found.t.tolist() == [np.inf, np.inf]
    assert found.to.tolist() == [0, 0]


def test_decision_space_of_three_classes_is_a_plane_that_keeps_classes_and_margins():
    head, latents, _ = _case(dimension=40, classes=3)
    space = decision_space(head)
    assert space.basis.shape == (40, 2)
    np.testing.assert_allclose(space.basis.T @ space.basis, np.eye(2), atol=1e-12)
    within, whole = margins(space.head, space.coordinates(latents)), margins(head, latents)
    np.testing.assert_array_equal(within.predicted, whole.predicted)
    np.testing.assert_allclose(within.distance, whole.distance)
    logits = head(latents)
    np.testing.assert_allclose(space.head(space.coordinates(latents)), logits - logits.mean(axis=1, keepdims=True))


def test_what_lies_outside_the_decision_space_changes_nothing():
    head, latents, _ = _case(dimension=40, classes=3)
    basis = decision_space(head).basis
    unseen = 100 * np.random.default_rng(5).normal(size=latents.shape)
    unseen -= unseen @ basis @ basis.T
    np.testing.assert_allclose(np.diff(head(latents + unseen)), np.diff(head(latents)), atol=1e-9)


@pytest.mark.parametrize(("rows", "rank"), [([0, 1], 1), ([0, 1, 2], 2), ([0, 1, 1], 1), ([0, 1, 2, 3], 3)])
def test_decision_space_has_the_rank_of_the_differences(rows, rank):
    head, _, _ = _case()
    assert decision_space(AffineHead(head.weight[rows], head.bias[rows])).basis.shape == (6, rank)


def test_a_common_row_is_no_direction():
    head, _, _ = _case(classes=3)
    shifted = AffineHead(head.weight + 1e3 * np.ones(6), head.bias)
    assert decision_space(shifted).basis.shape == (6, 2)
    assert margins(shifted, np.zeros((1, 6))).distance == pytest.approx(margins(head, np.zeros((1, 6))).distance)


def test_decision_share_is_one_inside_none_outside_and_small_at_random():
    head, _, _ = _case(dimension=256, classes=3)
    space, rng = decision_space(head), np.random.default_rng(0)
    inside = rng.normal(size=(5, 2)) @ space.basis.T
    outside = rng.normal(size=(5, 256))
    outside -= outside @ space.basis @ space.basis.T
    np.testing.assert_allclose(decision_share(space, inside), 1)
    np.testing.assert_allclose(decision_share(space, outside), 0, atol=1e-25)
    assert decision_share(space, rng.normal(size=(4000, 256))).mean() == pytest.approx(2 / 256, rel=0.05)
    assert np.isnan(decision_share(space, np.zeros((1, 256)))).all()


def test_the_head_of_a_network_is_found():
    torch.manual_seed(0)
    module = nn.Sequential(nn.Linear(30, 8), nn.BatchNorm1d(8), nn.Dropout(), nn.Linear(8, 3)).eval()
    module[1].running_mean.normal_()
    module[1].running_var.uniform_(0.5, 2)
    latents = 20 * np.random.default_rng(0).normal(size=(50, 30))
    head = find_affine_head(_as_function(module), latents)
    np.testing.assert_allclose(head(latents), _as_function(module)(latents), rtol=1e-4, atol=1e-4)
    linear = nn.Linear(30, 3)
    found = find_affine_head(_as_function(linear), latents)
    np.testing.assert_allclose(found.weight, linear.weight.detach(), atol=1e-5)


@pytest.mark.parametrize("latents", ["signed", "positive"])
@pytest.mark.parametrize(
    "module", [nn.Sequential(nn.ReLU(), nn.Linear(12, 3)), nn.Sequential(nn.Linear(12, 9), nn.Tanh(), nn.Linear(9, 3))]
)
def test_a_head_that_is_not_affine_is_not_taken_for_one(module, latents):
    # Behind a ReLU all real latents may be positive, where the head looks affine.
    values = np.random.default_rng(0).normal(size=(40, 12))
    assert find_affine_head(_as_function(module), np.abs(values) if latents == "positive" else values) is None


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: AffineHead(np.zeros((1, 3)), np.zeros(1)), "K >= 2"),
        (lambda: AffineHead(np.zeros((2, 3)), np.zeros(3)), r"\(2, 3\) and \(3,\)"),
        (lambda: AffineHead(np.full((2, 3), np.nan), np.zeros(2)), "not all finite"),
        (lambda: margins(_case()[0], np.zeros((1, 5))), "latents have 5 dimensions; the head takes 6"),
        (lambda: margins(_case()[0], np.full((2, 6), np.nan)), "2 of 2 rows"),
        (lambda: margins(_case()[0], np.zeros(6)), r"\(N, D\)"),
        (lambda: crossings(_case()[0], np.zeros((1, 6)), np.zeros((2, 6))), "each latent needs a direction"),
        (lambda: decision_space(AffineHead(np.ones((3, 4)), [0, 1, 2])), "does not look at the latent"),
        (lambda: decision_share(decision_space(_case()[0]), np.zeros((1, 5))), "displacements have 5"),
        (lambda: find_affine_head(_case()[0], np.zeros((0, 6))), "at least one real latent"),
    ],
)
def test_refusals(call, words):
    with pytest.raises(InputError, match=words):
        call()
