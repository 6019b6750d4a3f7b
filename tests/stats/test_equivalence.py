"""Equivalence within a margin, against SciPy's one-sided tests."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import ttest_ind, ttest_rel

from robustkit.errors import InputError
from robustkit.stats.equivalence import (
    equivalent_means,
    equivalent_paired_means,
    equivalent_paired_rates,
    equivalent_rates,
)
from robustkit.stats.proportions import newcombe, newcombe_paired

X, Y = np.random.default_rng(1).normal(0, 1, 40), np.random.default_rng(2).normal(0.1, 2, 60)


@pytest.mark.parametrize("margin", [0.2, 0.9, 2.0])
def test_means_are_scipys_two_one_sided_welch_tests(margin):
    result = equivalent_means(X, Y, margin=margin)
    above = ttest_ind(X + margin, Y, equal_var=False, alternative="greater").pvalue
    below = ttest_ind(X - margin, Y, equal_var=False, alternative="less").pvalue
    assert result.p == pytest.approx(max(above, below))
    interval = ttest_ind(X, Y, equal_var=False).confidence_interval(0.9)
    assert (result.difference.low, result.difference.high) == pytest.approx(tuple(interval))
    assert result.equivalent == (result.p < 0.05)


@pytest.mark.parametrize("margin", [0.05, 0.8])
def test_paired_means_are_scipys_two_one_sided_tests(margin):
    result = equivalent_paired_means(X, Y[:40], margin=margin)
    above = ttest_rel(X + margin, Y[:40], alternative="greater").pvalue
    below = ttest_rel(X - margin, Y[:40], alternative="less").pvalue
    assert result.p == pytest.approx(max(above, below))
    assert result.equivalent == (result.p < 0.05)


@pytest.mark.parametrize("margin", [0.01, 0.03, 0.08, 0.3])
def test_p_of_rates_is_the_level_at_which_the_interval_meets_the_margin(margin):
    for result, at in (
        (equivalent_rates(80, 100, 85, 110, margin=margin), lambda level: newcombe(80, 100, 85, 110, level=level)),
        (
            equivalent_paired_rates(70, 10, 7, 13, margin=margin),
            lambda level: newcombe_paired(70, 10, 7, 13, level=level),
        ),
    ):
        assert result.equivalent == (result.p < 0.05)
        if 1e-9 < result.p < 0.5:
            interval = at(1 - 2 * result.p)
            assert max(-interval.low, interval.high) == pytest.approx(margin)


def test_the_smallest_margin_is_where_the_answer_turns():
    found = equivalent_rates(80, 100, 85, 100, margin=0.05)
    assert not found.equivalent
    assert not equivalent_rates(80, 100, 85, 100, margin=found.smallest_margin * 0.999).equivalent
    assert equivalent_rates(80, 100, 85, 100, margin=found.smallest_margin * 1.001).equivalent


def test_the_same_counts_are_not_equivalent_by_being_few():
    assert not equivalent_rates(4, 5, 4, 5, margin=0.1).equivalent
    assert equivalent_rates(4000, 5000, 4000, 5000, margin=0.1).equivalent


def test_it_prints_its_margin():
    assert str(equivalent_means(X, Y, margin=0.1)).startswith("not shown to be equivalent within 0.1: difference ")


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: equivalent_rates(1, 2, 1, 2, margin=0), "margin is 0"),
        (lambda: equivalent_rates(1, 2, 1, 2, margin=np.nan), "margin is nan"),
        (lambda: equivalent_rates(1, 2, 1, 2, margin=0.1, alpha=0.6), "alpha is 0.6"),
        (lambda: equivalent_rates(0, 0, 1, 2, margin=0.1), "n is 0"),
        (lambda: equivalent_means([1, 1], [1, 1], margin=0.1), "without spread"),
        (lambda: equivalent_paired_means([1, 2], [2, 3], margin=0.1), "without spread"),
        (lambda: equivalent_paired_means([1], [2], margin=0.1), "at least 2 pairs"),
    ],
)
def test_refusals(call, words):
    with pytest.raises(InputError, match=words):
        call()
