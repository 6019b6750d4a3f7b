"""Confidence against accuracy."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.calibration import calibration_curve

from robustkit.errors import InputError
from robustkit.stats.calibration import brier_scores, reliability


def _rng(seed=0):
    return np.random.default_rng(seed)


def _calibrated(n, seed=0, classes=3):
    p = _rng(seed).dirichlet(np.ones(classes), n)
    labels = (p.cumsum(axis=1) < _rng(seed + 1).random((n, 1))).sum(axis=1)
    return p, labels


def test_ece_by_hand():
    # Two bins of [0.5, 1]: in the first, confidence 0.6 and accuracy 1/2; in the second 0.9 and 1.
    p = np.array([[0.6, 0.4], [0.6, 0.4], [0.1, 0.9]])
    result = reliability(p, [0, 1, 1], bins=2, rng=_rng())
    assert result.edges.tolist() == [0.5, 0.75, 1.0]
    assert result.counts.tolist() == [2, 1]
    np.testing.assert_allclose(result.confidence, [0.6, 0.9])
    np.testing.assert_allclose(result.accuracy.value, [0.5, 1.0])
    assert result.ece == pytest.approx((2 * 0.1 + 0.1) / 3)


def test_curve_is_scikit_learns():
    p, labels = _calibrated(500)
    result = reliability(p, labels, bins=10, adaptive=True, draws=9, rng=_rng())
    accuracy, confidence = calibration_curve(p.argmax(1) == labels, p.max(1), n_bins=10, strategy="quantile")
    np.testing.assert_allclose(result.accuracy.value, accuracy)
    np.testing.assert_allclose(result.confidence, confidence)
    assert result.counts.tolist() == [50] * 10


@pytest.mark.parametrize("adaptive", [False, True])
def test_a_calibrated_classifier_sits_in_its_null(adaptive):
    result = reliability(*_calibrated(300), adaptive=adaptive, rng=_rng())
    assert result.p > 0.05
    assert 0.02 < result.null_mean < result.null_high < 0.15


def test_an_overconfident_classifier_does_not():
    p, labels = _calibrated(300)
    sharp = p**3 / (p**3).sum(axis=1, keepdims=True)
    result = reliability(sharp, labels, rng=_rng())
    assert result.p < 0.001
    assert result.ece > 2 * result.null_high
    assert str(result).startswith("ECE 0.")


def test_the_null_falls_as_the_root_of_n():
    floors = [reliability(*_calibrated(n), rng=_rng()).null_mean for n in (250, 4000)]
    assert floors[0] / floors[1] == pytest.approx(4, rel=0.15)


def test_empty_bins_and_equal_confidences():
    p = np.tile([0.75, 0.25], (8, 1))
    equal = reliability(p, [0] * 6 + [1] * 2, bins=5, rng=_rng(), draws=9)
    assert equal.counts.sum() == 8
    assert np.isnan(equal.confidence).sum() == 4
    assert equal.ece == 0
    adaptive = reliability(p, [0] * 6 + [1] * 2, bins=5, adaptive=True, rng=_rng(), draws=9)
    assert adaptive.counts.tolist() == [8]
    assert adaptive.ece == 0


def test_no_image_is_outside_the_bins():
    p = np.array([[0.5, 0.5], [1.0, 0.0], [1 / 3 + 1 / 6, 0.5]])
    assert reliability(p, [0, 0, 1], bins=4, rng=_rng(), draws=9).counts.tolist() == [2, 0, 0, 1]


def test_brier_by_hand():
    np.testing.assert_allclose(brier_scores([[0.5, 0.3, 0.2]], [1]), 0.25 + 0.49 + 0.04)
    np.testing.assert_allclose(brier_scores([[0.0, 0.0, 1.0]], [0]), 2.0)
    np.testing.assert_allclose(brier_scores([[0.0, 1.0]], [0]), 1.0)


def test_refusals():
    with pytest.raises(InputError, match="bins is 0"):
        reliability([[0.5, 0.5]], [0], bins=0, rng=_rng())
    with pytest.raises(InputError, match="softmax"):
        brier_scores([[3.0, -2.0]], [0])
