"""Accuracy against always guessing the most frequent class."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.dummy import DummyClassifier

from robustkit.errors import InputError
from robustkit.stats.majority import against_chance, best_constant, chance
from robustkit.stats.proportions import mcnemar

LABELS = np.repeat([0, 1, 2], [90, 40, 20])


def test_chance_is_the_dummy_classifier():
    dummy = DummyClassifier().fit(np.zeros((150, 1)), LABELS)
    assert chance(LABELS).value == dummy.score(np.zeros((150, 1)), LABELS)
    assert chance(LABELS).n == 150


def test_guessing_is_not_distinguishable_from_itself():
    result = against_chance(np.zeros(150, int), LABELS)
    assert result.accuracy.value == result.chance.value == 0.6
    assert result.difference.value == 0
    assert result.test.p == 1.0
    assert "is not distinguishable from always guessing class 0" in str(result)


def test_better_and_worse_are_said():
    better = against_chance(np.where(np.arange(150) < 140, LABELS, 0), LABELS)
    assert better.distinguishable
    assert (better.test.first_only, better.test.second_only) == (50, 0)
    assert better.test.p == mcnemar(50, 0).p
    assert "is better than always guessing class 0" in str(better)
    worse = against_chance(np.full(150, 2), LABELS)
    assert worse.difference.value == pytest.approx((20 - 90) / 150)
    assert "is worse than" in str(worse)


def test_an_accuracy_near_the_share_of_the_largest_class_is_chance():
    # 43 % right is above chance with three classes of equal shares, but not where the largest holds 43 %.
    rng = np.random.default_rng(0)
    labels = rng.choice(3, p=[0.43, 0.3, 0.27], size=300)
    predictions = np.where(rng.random(300) < 0.145, labels, rng.integers(3, size=300))
    assert 0.38 < (predictions == labels).mean() < 0.48
    assert not against_chance(predictions, labels).distinguishable


@pytest.mark.parametrize(
    ("predictions", "labels", "words"),
    [
        ([0, 1], [0], "1 labels and 2 predictions"),
        ([0.5], [0], "predictions must be whole"),
        ([], [], "labels must be"),
    ],
)
def test_refusals(predictions, labels, words):
    with pytest.raises(InputError, match=words):
        against_chance(predictions, labels)


def test_the_best_constant_is_that_of_brute_force():
    rng = np.random.default_rng(0)
    for n in (1, 2, 7, 60):
        middle, half = rng.normal(size=n).round(1), rng.random(n).round(1)
        answer, right = best_constant(middle - half, middle + half)
        tried = np.unique(np.concatenate([middle - half, middle + half]))
        counts = ((middle - half <= tried[:, None]) & (tried[:, None] <= middle + half)).sum(1)
        assert right.sum() == counts.max()
        assert answer == tried[counts.argmax()]
        assert np.array_equal(right, (middle - half <= answer) & (answer <= middle + half))


@pytest.mark.parametrize(("low", "high"), [([], []), ([1.0], [0.0]), ([0.0, 1.0], [2.0]), ([np.nan], [1.0])])
def test_bands_that_are_none_have_no_best_constant(low, high):
    with pytest.raises(InputError, match="expected bands"):
        best_constant(low, high)
