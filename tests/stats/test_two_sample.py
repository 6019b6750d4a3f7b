"""Classifier two-sample test, against scikit-learn and the Gaussians' best accuracy."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import norm
from sklearn.linear_model import RidgeClassifier
from sklearn.metrics import balanced_accuracy_score
from sklearn.model_selection import StratifiedKFold, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from robustkit.errors import InputError
from robustkit.stats.two_sample import classifier_two_sample


def _rng(seed=0):
    return np.random.default_rng(seed)


def test_accuracy_is_that_of_scikit_learns_ridge_classifier():
    x, y = _rng(1).normal(size=(100, 6)), _rng(2).normal(0.5, 1, size=(100, 6))
    pooled, labels = np.concatenate([x, y]), np.repeat([1, 0], 100)
    folds = StratifiedKFold(5, shuffle=True, random_state=int(_rng().integers(2**31)))
    model = make_pipeline(StandardScaler(), RidgeClassifier(alpha=0.1 * 160))
    expected = balanced_accuracy_score(labels, cross_val_predict(model, pooled, labels, cv=folds))
    assert classifier_two_sample(x, y, draws=9, rng=_rng()).accuracy == pytest.approx(expected)


def test_accuracy_nears_the_best_there_is():
    x, y = _rng(1).normal(size=(2000, 4)), _rng(2).normal(0.5, 1, size=(2000, 4))
    result = classifier_two_sample(x, y, draws=9, rng=_rng())
    assert result.accuracy == pytest.approx(norm.cdf(0.5), abs=0.02)  # half the distance of the centres, 1


def test_unequal_sizes_do_not_favour_the_larger_cloud():
    x, y = _rng(1).normal(size=(1500, 4)), _rng(2).normal(0.5, 1, size=(100, 4))
    assert classifier_two_sample(x, y, draws=9, rng=_rng()).accuracy == pytest.approx(norm.cdf(0.5), abs=0.05)


def test_clouds_apart_are_told_apart_and_the_rest_is_not():
    x = _rng(1).normal(size=(60, 40))
    far = classifier_two_sample(x, x + 9, draws=99, rng=_rng())
    assert (far.accuracy, far.p) == (1.0, 0.01)
    same = classifier_two_sample(x, _rng(2).normal(size=(60, 40)), draws=99, rng=_rng())
    assert same.p > 0.05
    assert same.accuracy < same.null_high


def test_twins_share_their_fold():
    # Equal twins: a classifier that saw one of them under the other label would do worse than guessing.
    x = _rng(1).normal(size=(100, 60))
    result = classifier_two_sample(x, x.copy(), paired=True, draws=49, rng=_rng())
    assert result.accuracy == 0.5
    assert result.p == 1.0


def test_a_cloud_barely_larger_than_the_folds_is_answered():
    x, y = _rng(1).normal(size=(2, 3)), _rng(2).normal(size=(30, 3))
    assert 0 < classifier_two_sample(x, y, folds=2, draws=99, rng=_rng()).p <= 1


def test_it_prints_its_null():
    text = str(classifier_two_sample(_rng(1).normal(size=(30, 2)), _rng(2).normal(size=(40, 2)), draws=9, rng=_rng()))
    assert text.startswith("told apart with accuracy 0.")
    assert text.endswith("n = 30 and 40")


@pytest.mark.parametrize(
    ("x", "y", "options", "words"),
    [
        (np.zeros((9, 2)), np.zeros((9, 2)), {}, "coincide"),
        (np.zeros((9, 2)), np.zeros((9, 3)), {}, "2 and 3"),
        (np.zeros((4, 2)), np.zeros((9, 2)), {}, "at least 5 needed, 4 given"),
        (np.zeros((9, 2)), np.ones((8, 2)), {"paired": True}, "9 and 8"),
        (np.zeros((9, 2)), np.ones((8, 2)), {"folds": 1}, "folds is 1"),
    ],
)
def test_refusals(x, y, options, words):
    with pytest.raises(InputError, match=words):
        classifier_two_sample(x, y, rng=_rng(), **options)
