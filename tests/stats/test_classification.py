"""Scores of a classifier, against scikit-learn."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics

from robustkit.errors import InputError
from robustkit.stats.classification import rank_auc, score_classifier
from robustkit.stats.proportions import wilson


def _rng(seed=0):
    return np.random.default_rng(seed)


def _sample(n=200, classes=3, seed=0, decimals=2):
    """Probabilities with ties, and labels that they know something about."""
    rng = _rng(seed)
    labels = rng.integers(classes, size=n)
    weights = np.round(rng.dirichlet(np.ones(classes), n) + 0.6 * np.eye(classes)[labels], decimals)
    return weights / weights.sum(axis=1, keepdims=True), labels


def _score(p, y, draws=50, **options):
    return score_classifier(p, y, draws=draws, rng=_rng(), **options)


def test_scores_are_scikit_learns():
    p, y = _sample()
    guess, ours = p.argmax(axis=1), _score(p, y)
    assert ours.accuracy.value == pytest.approx(metrics.accuracy_score(y, guess))
    assert ours.balanced_accuracy.value == pytest.approx(metrics.balanced_accuracy_score(y, guess))
    for average in ("weighted", "macro"):
        precision, recall, f1, _ = metrics.precision_recall_fscore_support(y, guess, average=average)
        assert getattr(ours, f"precision_{average}").value == pytest.approx(precision)
        assert getattr(ours, f"f1_{average}").value == pytest.approx(f1)
        assert (ours.recall_weighted if average == "weighted" else ours.balanced_accuracy).value == pytest.approx(
            recall
        )
    assert ours.auc.value == pytest.approx(metrics.roc_auc_score(y, p, multi_class="ovr"))
    assert ours.brier.value == pytest.approx(np.mean(((p - np.eye(3)[y]) ** 2).sum(axis=1)))
    np.testing.assert_array_equal(ours.confusion, metrics.confusion_matrix(y, guess))
    each = metrics.precision_recall_fscore_support(y, guess)
    np.testing.assert_allclose([e.value for e in ours.precision], each[0])
    np.testing.assert_allclose([e.value for e in ours.recall], each[1])
    assert ours.absent == ()


def test_two_classes_are_scikit_learns():
    p, y = _sample(classes=2)
    ours = _score(p, y)
    assert ours.auc.value == pytest.approx(metrics.roc_auc_score(y, p[:, 1]))
    assert ours.brier.value == pytest.approx(metrics.brier_score_loss(y, p[:, 1]))


@settings(deadline=None, max_examples=40)
@given(st.integers(0, 2**32 - 1))
def test_weighted_auc_is_scikit_learns(seed):
    rng = _rng(seed)
    score, positive, weights = rng.integers(5, size=30), rng.random(30) < 0.4, rng.integers(4, size=(3, 30))
    ours = rank_auc(score, positive, weights.astype(float))
    for area, weight in zip(ours, weights, strict=True):
        if weight @ positive and weight @ ~positive:
            assert area == pytest.approx(metrics.roc_auc_score(positive, score, sample_weight=weight))
        else:
            assert np.isnan(area)


def test_a_class_that_does_not_occur_is_named_and_left_out():
    p, y = _sample()
    y = np.where(y == 1, 0, y)
    guess, ours = p.argmax(axis=1), _score(p, y)
    assert ours.absent == (1,)
    assert np.isnan(ours.recall[1].value)
    assert ours.recall[1].n == 0
    precision, recall, f1, _ = metrics.precision_recall_fscore_support(y, guess, labels=[0, 2], average="macro")
    assert (ours.precision_macro.value, ours.balanced_accuracy.value, ours.f1_macro.value) == pytest.approx(
        (precision, recall, f1)
    )
    areas = [metrics.roc_auc_score(y == k, p[:, k]) for k in (0, 2)]
    assert ours.auc.value == pytest.approx(np.mean(areas))
    assert "no image of class 1" in str(ours)


def test_a_class_that_is_never_predicted_has_precision_zero_in_averages():
    p = np.tile([0.7, 0.2, 0.1], (30, 1))
    y = np.arange(30) % 3
    ours = _score(p, y)
    assert np.isnan(ours.precision[2].value)
    expected = metrics.precision_recall_fscore_support(y, np.zeros(30), average="weighted", zero_division=0)
    assert (ours.precision_weighted.value, ours.recall_weighted.value, ours.f1_weighted.value) == pytest.approx(
        expected[:3]
    )
    assert ours.auc.value == 0.5


def test_one_class_has_an_accuracy_and_no_auc():
    p, y = _sample()
    ours = _score(p, np.zeros_like(y))
    assert ours.accuracy.n == 200
    assert np.isnan(ours.auc.value)
    assert np.isnan(ours.auc.low)
    assert ours.absent == (1, 2)


def test_intervals_are_wilsons_without_clusters_and_wider_with():
    p, y = _sample(60)
    ours = _score(p, y, draws=999)
    right = int((p.argmax(axis=1) == y).sum())
    assert (ours.accuracy.low, ours.accuracy.high) == (wilson(right, 60).low, wilson(right, 60).high)
    assert ours.recall[0].method == "Wilson"
    rows = np.repeat(np.arange(60), 6)
    repeated = _score(p[rows], y[rows], draws=999)
    clustered = _score(p[rows], y[rows], draws=999, clusters=rows)
    for name in ("accuracy", "f1_macro", "auc", "brier"):
        one, naive, honest = (getattr(s, name) for s in (ours, repeated, clustered))
        assert honest.value == pytest.approx(one.value)
        assert honest.high - honest.low == pytest.approx(one.high - one.low, rel=0.15)
        assert naive.high - naive.low < 0.6 * (one.high - one.low)
    assert clustered.accuracy.method == clustered.recall[0].method == "BCa bootstrap, 60 objects"


def test_order_and_names_of_classes_do_not_matter():
    p, y = _sample(decimals=9)  # no two classes of an image tie
    order, names = _rng(1).permutation(200), np.array([2, 0, 1])
    ours, renamed = _score(p, y), _score(p[order][:, names], np.argsort(names)[y[order]])
    for name in ("accuracy", "f1_weighted", "f1_macro", "auc", "brier"):
        assert getattr(renamed, name).value == pytest.approx(getattr(ours, name).value)
    assert renamed.calibration.ece == pytest.approx(ours.calibration.ece)


def test_everything_right_is_one():
    ours = _score(np.eye(3)[[0, 1, 2, 0, 1]], [0, 1, 2, 0, 1])
    assert ours.accuracy.value == ours.f1_macro.value == ours.auc.value == 1.0
    assert ours.brier.value == ours.calibration.ece == 0.0
    assert ours.accuracy.low < 0.6  # Wilson: five images prove little
    assert "same value" in ours.f1_macro.method


@pytest.mark.parametrize(
    ("p", "y", "words"),
    [
        ([[2.0, -1.0]], [0], "need a softmax"),
        ([[np.nan, 1.0]], [0], "finite"),
        ([[0.5, 0.4]], [0], "sum to 1"),
        ([[0.5, 0.5]], [2], "label 2 needs 3 classes; the probabilities have 2"),
        ([[0.5, 0.5]], [0, 1], r"\(2, K >= 2\)"),
        ([[1.0]], [0], "K >= 2"),
        ([[0.5, 0.5]], [-1], "at least 0"),
        ([[0.5, 0.5]], [0.0], "whole numbers"),
        (np.zeros((0, 2)), np.zeros(0, int), "one class index for each"),
    ],
)
def test_refusals(p, y, words):
    with pytest.raises(InputError, match=words):
        _score(p, y)
