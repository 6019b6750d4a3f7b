import numpy as np
import pytest

from robustkit.errors import InputError
from robustkit.latent.any_window import any_window, window_method
from robustkit.latent.geometry import AffineHead
from robustkit.latent.relu_windows import ReLUWindow
from robustkit.latent.sampled import SampledWindow, sample_window
from robustkit.latent.windows import ChurchWindow, church_window
from tests.latent.test_cells import case


def test_every_head_gets_its_kind_of_window():
    relu, z, a, n = case()
    affine = AffineHead(np.random.default_rng(0).normal(size=(3, 10)), np.zeros(3))
    assert isinstance(any_window(affine, None, z, a, n), ChurchWindow)
    assert isinstance(any_window(relu, None, z, a, n), ReLUWindow)
    assert isinstance(any_window(None, relu, z, a, n, resolution=11), SampledWindow)
    assert isinstance(any_window(affine, None, z, a, n, resolution=11), SampledWindow)
    assert window_method(None, 11) == "sampled, 11 x 11 cells"
    assert window_method(relu, None) == "exact, ReLU head"


def test_a_head_that_is_only_a_function_needs_a_resolution():
    relu, z, a, n = case()
    with pytest.raises(InputError, match="sampled on a grid; give the cells along an axis with --resolution, such as"):
        any_window(None, relu, z, a, n)
    with pytest.raises(InputError, match="resolution is 10; it must be odd"):
        window_method(None, 10)


def test_a_sampled_window_has_the_numbers_of_the_exact_one_to_a_cell():
    rng = np.random.default_rng(3)
    for _ in range(5):
        head, (z, a, n) = AffineHead(rng.normal(size=(3, 12)), rng.normal(size=3)), rng.normal(size=(3, 12))
        exact, sampled = church_window(head, z, a, n), sample_window(head, z, a, n, resolution=201)
        cell = 2.2 / 201
        np.testing.assert_allclose(sampled.areas, exact.areas, atol=0.01)
        np.testing.assert_allclose(sampled.disc, exact.disc, atol=0.01)
        for axis in (0, 1):
            if exact.crossing[axis] < 1.1 - cell:
                assert sampled.crossing[axis] == pytest.approx(exact.crossing[axis], abs=cell)
                assert sampled.crossing_to[axis] == exact.crossing_to[axis]
            elif exact.crossing[axis] > 1.1:
                assert sampled.crossing[axis] == np.inf
        if sampled.plane_margin < np.inf:
            assert exact.plane_margin <= sampled.plane_margin * (1 + 1e-9)
            assert sampled.plane_margin - exact.plane_margin < 2 * cell * exact.lengths.max()
        assert np.isnan(sampled.true_margin)
