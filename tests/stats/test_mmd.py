"""Maximum mean discrepancy, against its definition and closed forms."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial.distance import cdist

from robustkit.errors import InputError
from robustkit.stats.mmd import mmd_test


def _rng(seed=0):
    return np.random.default_rng(seed)


def test_it_is_its_definition():
    x, y = _rng(1).normal(size=(20, 3)), _rng(2).normal(0.5, 1, size=(30, 3))
    result = mmd_test(x, y, draws=9, rng=_rng())
    pooled = np.concatenate([x, y])
    median = np.median(cdist(pooled, pooled)[np.triu_indices(50, 1)])
    assert result.bandwidths == pytest.approx((median / 2, median, 2 * median))

    def kernel(a, b):
        return np.mean([np.exp(-(cdist(a, b) ** 2) / (2 * s**2)) for s in result.bandwidths], axis=0)

    off = lambda k: (k.sum() - np.trace(k)) / (len(k) * (len(k) - 1))  # noqa: E731
    assert result.squared == pytest.approx(off(kernel(x, x)) + off(kernel(y, y)) - 2 * kernel(x, y).mean())


def test_it_nears_the_closed_form_of_gaussians():
    x, y = _rng(1).normal(size=1500), _rng(2).normal(1.0, 1, size=1500)
    result = mmd_test(x, y, factors=(1.0,), draws=1, rng=_rng())
    (s,) = result.bandwidths
    truth = 2 * s / np.sqrt(s**2 + 2) * (1 - np.exp(-1 / (2 * (s**2 + 2))))
    assert result.squared == pytest.approx(truth, abs=0.02)


def test_it_is_unbiased():
    rng = _rng(3)
    values = [
        mmd_test(rng.normal(size=(12, 2)), rng.normal(size=(12, 2)), factors=(1.0,), draws=1, rng=rng).squared
        for _ in range(300)
    ]
    assert np.mean(values) == pytest.approx(0, abs=3 * np.std(values) / np.sqrt(300))
    assert min(values) < 0 < max(values)


def test_a_difference_of_spread_is_found_that_no_mean_shows():
    x, y = _rng(1).normal(size=(120, 4)), _rng(2).normal(0, 1.6, size=(120, 4))
    assert mmd_test(x, y, rng=_rng()).p < 0.01


def test_twins_are_swapped_within_pairs():
    x = _rng(1).normal(size=(80, 4))
    twins = x + 0.2 + _rng(2).normal(0, 0.02, (80, 4))
    assert mmd_test(x, twins, paired=True, rng=_rng()).p < 0.01 < mmd_test(x, twins, rng=_rng()).p


def test_rotation_scale_and_order_do_not_matter():
    x, y = _rng(1).normal(size=(30, 5)), _rng(2).normal(0.4, 1, size=(25, 5))
    turn = np.linalg.qr(_rng(3).normal(size=(5, 5)))[0]
    one = mmd_test(x, y, draws=9, rng=_rng()).squared
    assert mmd_test(7 * x @ turn, 7 * y @ turn, draws=9, rng=_rng()).squared == pytest.approx(one)
    assert mmd_test(y[::-1], x, draws=9, rng=_rng()).squared == pytest.approx(one)


def test_many_equal_points_still_have_a_scale():
    x = np.zeros((20, 2))
    y = np.concatenate([np.zeros((15, 2)), np.ones((5, 2))])
    assert mmd_test(x, y, draws=9, rng=_rng()).bandwidths[1] == pytest.approx(np.sqrt(2))


def test_it_prints_its_null():
    text = str(mmd_test(_rng(1).normal(size=(30, 2)), _rng(2).normal(size=(40, 2)), draws=99, rng=_rng()))
    assert text.startswith("MMD^2 = ")
    assert text.endswith("n = 30 and 40")


@pytest.mark.parametrize(
    ("x", "y", "options", "words"),
    [
        (np.zeros((5, 2)), np.zeros((5, 2)), {}, "coincide"),
        (np.zeros((5, 2)), np.zeros((5, 3)), {}, "2 and 3"),
        (np.zeros((1, 2)), np.zeros((5, 2)), {}, "at least 2 needed"),
        (np.full((5, 2), np.inf), np.zeros((5, 2)), {}, "10 of 10"),
        (np.eye(3), np.ones((4, 3)), {"paired": True}, "3 and 4"),
        (np.eye(3), np.ones((3, 3)), {"factors": (0.0,)}, "width above 0"),
    ],
)
def test_refusals(x, y, options, words):
    with pytest.raises(InputError, match=words):
        mmd_test(x, y, rng=_rng(), **options)
