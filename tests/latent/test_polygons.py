"""Regions of affine classes in a box, against a grid of 2000 x 2000 points."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from matplotlib.path import Path

from robustkit.latent.polygons import affine_boundaries, affine_regions

LOW, HIGH = np.array([-1.1, -0.7]), np.array([1.1, 1.3])


def _case(seed, classes):
    rng = np.random.default_rng(seed)
    return rng.normal(0, 0.6, classes), rng.normal(size=(classes, 2))


def _on_grid(constant, slopes, side=2000):
    """The class at the middle of each cell, and the middles."""
    x, y = (low + (np.arange(side) + 0.5) * (high - low) / side for low, high in zip(LOW, HIGH, strict=True))
    logits = constant[:, None, None] + slopes[:, :1, None] * x[:, None] + slopes[:, 1:, None] * y
    return logits.argmax(axis=0), x, y


@pytest.mark.parametrize(("seed", "classes"), [(0, 2), (0, 3), (1, 3), (0, 7)])
def test_areas_are_those_of_a_fine_grid(seed, classes):
    constant, slopes = _case(seed, classes)
    labels, _, _ = _on_grid(constant, slopes)
    regions = affine_regions(constant, slopes, LOW, HIGH)
    counted = np.bincount(labels.ravel(), minlength=classes) / labels.size
    exact = np.zeros(classes)
    exact[[region.label for region in regions]] = [region.area for region in regions]
    # A boundary of length l cuts l / h cells, each miscounted by less than itself; most of that averages out.
    np.testing.assert_allclose(exact, counted, atol=2e-4)
    assert exact.sum() == pytest.approx(1, abs=1e-12)


@pytest.mark.parametrize("classes", [2, 3, 5])
def test_each_polygon_holds_the_points_of_its_class(classes):
    constant, slopes = _case(7, classes)
    labels, x, y = _on_grid(constant, slopes, side=200)
    points = np.stack(np.meshgrid(x, y, indexing="ij"), axis=-1).reshape(-1, 2)
    for region in affine_regions(constant, slopes, LOW, HIGH):
        inside = Path(region.vertices).contains_points(points)
        np.testing.assert_array_equal(inside, labels.ravel() == region.label)


@settings(deadline=None, max_examples=60)
@given(st.integers(0, 2**32 - 1), st.integers(2, 7))
def test_polygons_are_convex_counter_clockwise_and_fill_the_box(seed, classes):
    constant, slopes = _case(seed, classes)
    regions = affine_regions(constant, slopes, LOW, HIGH)
    assert sum(region.area for region in regions) == pytest.approx(1)
    for region in regions:
        edges = np.roll(region.vertices, -1, axis=0) - region.vertices
        after = np.roll(edges, -1, axis=0)
        assert (edges[:, 0] * after[:, 1] - edges[:, 1] * after[:, 0] >= -1e-9).all()
        assert (region.vertices >= LOW - 1e-9).all()
        assert (region.vertices <= HIGH + 1e-9).all()
        assert constant.shape[0] > region.label >= 0


@settings(deadline=None, max_examples=60)
@given(st.integers(0, 2**32 - 1), st.integers(2, 7))
def test_boundaries_are_where_two_classes_tie_and_win(seed, classes):
    constant, slopes = _case(seed, classes)
    regions = {region.label: region for region in affine_regions(constant, slopes, LOW, HIGH)}
    boundaries = affine_boundaries(constant, slopes, LOW, HIGH)
    assert {k for boundary in boundaries for k in boundary.classes} <= set(regions)
    assert len(boundaries) >= len(regions) - 1  # the box is in one piece
    for boundary in boundaries:
        for point in (*boundary.ends, boundary.ends.mean(axis=0)):
            values = constant + slopes @ point
            np.testing.assert_allclose(values[list(boundary.classes)], values.max(), atol=1e-9)


def test_perimeters_of_regions_are_made_of_boundaries_and_the_box():
    constant, slopes = _case(3, 4)
    regions = affine_regions(constant, slopes, LOW, HIGH)
    perimeter = sum(np.linalg.norm(np.roll(r.vertices, -1, axis=0) - r.vertices, axis=1).sum() for r in regions)
    inner = sum(np.linalg.norm(np.diff(b.ends, axis=0)) for b in affine_boundaries(constant, slopes, LOW, HIGH))
    assert perimeter == pytest.approx(2 * (HIGH - LOW).sum() + 2 * inner)


def test_the_first_of_equal_classes_wins_as_in_argmax():
    slopes = np.array([[0.0, 0.0], [1.0, 0.0], [1.0, 0.0]])
    regions = affine_regions(np.zeros(3), slopes, LOW, HIGH)
    assert [region.label for region in regions] == [0, 1]
    assert sum(region.area for region in regions) == pytest.approx(1)


def test_a_class_that_wins_nowhere_has_no_region_and_no_boundary():
    constant, slopes = np.array([0.0, 0.0, -50.0]), np.array([[1.0, 0.0], [-1.0, 0.0], [0.0, 1.0]])
    assert [region.label for region in affine_regions(constant, slopes, LOW, HIGH)] == [0, 1]
    (boundary,) = affine_boundaries(constant, slopes, LOW, HIGH)
    assert boundary.classes == (0, 1)
    np.testing.assert_allclose(boundary.ends[np.argsort(boundary.ends[:, 1])], [[0, -0.7], [0, 1.3]], atol=1e-12)


def test_a_plane_that_the_head_does_not_see_is_one_region():
    regions = affine_regions(np.array([0.0, 1.0]), np.zeros((2, 2)), LOW, HIGH)
    assert [(region.label, region.area) for region in regions] == [(1, 1.0)]
    assert affine_boundaries(np.array([0.0, 1.0]), np.zeros((2, 2)), LOW, HIGH) == ()
