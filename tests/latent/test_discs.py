import numpy as np
import pytest

from robustkit.latent.discs import disc_area, disc_shares
from robustkit.latent.polygons import Region, affine_regions


@pytest.mark.parametrize(
    ("polygon", "area"),
    [
        ([[-1, -1], [1, -1], [1, 1], [-1, 1]], np.pi),  # every side touches the circle
        ([[-0.5, -0.5], [0.5, -0.5], [0.5, 0.5], [-0.5, 0.5]], 1.0),  # all inside
        ([[2, 2], [3, 2], [3, 3]], 0.0),
        ([[-9, 0], [9, 0], [9, 9], [-9, 9]], np.pi / 2),
        ([[0, 0], [9, 0], [9, 9]], np.pi / 8),
        ([[-9, 0.5], [9, 0.5], [9, 9], [-9, 9]], np.pi / 3 - 3**0.5 / 4),  # a cap
    ],
)
def test_areas_that_are_formulas(polygon, area):
    assert disc_area(np.array(polygon, dtype=float), 1.0) == pytest.approx(area, abs=1e-12)
    assert disc_area(3 * np.array(polygon, dtype=float), 3.0) == pytest.approx(9 * area, abs=1e-11)
    assert disc_area(np.zeros((0, 2)), 1.0) == 0


def test_shares_of_any_partition_sum_to_1_and_agree_with_counting():
    rng = np.random.default_rng(0)
    points = rng.uniform(-2, 2, (200_000, 2))
    points = points[(points**2).sum(axis=1) <= 4]
    for _ in range(5):
        constant, slopes = rng.normal(size=4), rng.normal(size=(4, 2))
        regions = affine_regions(constant, slopes, np.full(2, -2.0), np.full(2, 2.0))
        shares = disc_shares(regions, 2.0, 4)
        assert shares.sum() == pytest.approx(1, abs=1e-12)
        counted = np.bincount((points @ slopes.T + constant).argmax(axis=1), minlength=4) / len(points)
        np.testing.assert_allclose(shares, counted, atol=5e-3)


def test_a_class_in_several_pieces_is_added_up():
    right = np.array([[0.0, -1.0], [1.0, -1.0], [1.0, 1.0], [0.0, 1.0]])
    left = (right * [-1, 1])[::-1]
    assert disc_shares([Region(1, right, 0.5), Region(1, left, 0.5)], 1.0, 2) == pytest.approx([0, 1])
    assert disc_shares([Region(0, right, 0.5), Region(1, left, 0.5)], 1.0, 2) == pytest.approx([0.5, 0.5])
