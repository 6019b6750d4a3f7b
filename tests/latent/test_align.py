import numpy as np
import pytest
from scipy.spatial import procrustes

from robustkit.errors import InputError
from robustkit.latent.align import align_maps


def test_a_turned_mirrored_and_scaled_map_comes_back():
    rng = np.random.default_rng(0)
    reference = rng.normal(size=(40, 3)) * (3, 2, 1)
    turn = np.linalg.qr(rng.normal(size=(3, 3)))[0] @ np.diag((1, 1, -1))
    moved = 0.2 * reference @ turn + (5, -3, 8)
    alignment = align_maps(reference[:30], moved[:30])
    np.testing.assert_allclose(alignment(moved), reference)
    assert alignment.disparity == pytest.approx(0, abs=1e-12)
    assert alignment.scale == pytest.approx(5)


def test_the_disparity_is_that_of_scipy_and_what_remains():
    rng = np.random.default_rng(1)
    reference, moved = rng.normal(size=(2, 60, 2))
    alignment = align_maps(reference, moved)
    assert alignment.disparity == procrustes(reference, moved)[2]
    left = ((alignment(moved) - reference) ** 2).sum() / ((reference - reference.mean(0)) ** 2).sum()
    assert left == pytest.approx(alignment.disparity)


def test_what_has_no_shape_is_refused():
    points = np.random.default_rng(2).normal(size=(5, 2))
    with pytest.raises(InputError, match=r"\(5, 2\), \(4, 2\)"):
        align_maps(points, points[:4])
    for pair in ((points, np.ones((5, 2))), (np.ones((5, 2)), points)):
        with pytest.raises(InputError, match="nothing to align"):
            align_maps(*pair)
