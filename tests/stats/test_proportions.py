"""Intervals of rates, against SciPy, published tables and exact coverage."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy.stats import binom, binomtest

from robustkit.errors import InputError
from robustkit.stats.proportions import clopper_pearson, mcnemar, newcombe, newcombe_paired, paired_counts, wilson

COUNTS = [(0, 1), (1, 1), (0, 150), (1, 150), (75, 150), (136, 150), (150, 150), (3, 7)]


@pytest.mark.parametrize("level", [0.68, 0.95, 0.999])
@pytest.mark.parametrize(("function", "method"), [(wilson, "wilson"), (clopper_pearson, "exact")])
def test_interval_of_a_rate_is_scipys(function, method, level):
    k, n = np.array(COUNTS).T
    ours = function(k, n, level=level)
    expected = np.array([binomtest(*row).proportion_ci(level, method) for row in COUNTS])
    np.testing.assert_allclose(
        np.stack([ours.low, ours.high], axis=1), expected, rtol=1e-10, atol=1e-11
    )  # SciPy searches the root
    np.testing.assert_array_equal(ours.value, k / n)


@pytest.mark.parametrize("function", [wilson, clopper_pearson])
def test_nothing_tried_has_no_rate(function):
    one = function(0, 0)
    assert np.isnan([one.value, one.low, one.high]).all()
    assert str(one) == "nan [no interval], n = 0"
    many = function([0, 3], [0, 4])
    np.testing.assert_array_equal(np.isnan(many.low), [True, False])


@pytest.mark.parametrize("function", [wilson, clopper_pearson])
def test_ends_are_exact_at_none_and_all(function):
    assert function(0, 20).low == 0.0
    assert function(20, 20).high == 1.0


def test_shapes_broadcast_and_scalars_stay_plain():
    assert np.shape(wilson(np.ones((2, 3), int), 5).low) == (2, 3)
    assert type(wilson(1, 5).low) is float
    assert type(wilson(1, 5).n) is int


def test_clopper_pearson_covers_at_every_rate():
    n, rates = 20, np.linspace(0.001, 0.999, 400)[:, None]
    interval = clopper_pearson(np.arange(n + 1), n)
    covered = (interval.low <= rates) & (rates <= interval.high)
    coverage = (binom.pmf(np.arange(n + 1), n, rates) * covered).sum(axis=1)
    assert coverage.min() >= 0.95


@settings(deadline=None)
@given(st.integers(0, 60), st.integers(0, 60), st.sampled_from([0.5, 0.9, 0.99]))
def test_intervals_are_symmetric_and_hold_the_rate(successes, failures, level):
    n = successes + failures
    assume(n > 0)
    for function in (wilson, clopper_pearson):
        interval, mirror = function(successes, n, level=level), function(failures, n, level=level)
        assert 0 <= interval.low <= interval.value <= interval.high <= 1
        assert interval.low == pytest.approx(1 - mirror.high, abs=1e-12)


@pytest.mark.parametrize(
    ("counts", "expected"),
    # Newcombe 1998, Stat. Med. 17, 873, table II, method 10.
    [
        ((56, 70, 48, 80), (0.0524, 0.3339)),
        ((9, 10, 3, 10), (0.1705, 0.8090)),
        ((6, 7, 2, 7), (0.0582, 0.8062)),
        ((5, 56, 0, 29), (-0.0381, 0.1926)),
        ((0, 10, 0, 20), (-0.1611, 0.2775)),
        ((10, 10, 0, 20), (0.6791, 1.0000)),
    ],
)
def test_independent_difference_is_the_published_one(counts, expected):
    result = newcombe(*counts)
    assert (result.low, result.high) == pytest.approx(expected, abs=5.1e-5)


@pytest.mark.parametrize(
    ("counts", "expected"),
    # Newcombe 1998, Stat. Med. 17, 2635, table II, method 10.
    [((36, 12, 2, 0), (0.0569, 0.3404))],
)
def test_paired_difference_is_the_published_one(counts, expected):
    result = newcombe_paired(*counts)
    assert (result.low, result.high) == pytest.approx(expected, abs=5.1e-5)


def test_paired_difference_narrows_as_the_answers_agree():
    # The same two rates, 40 % and 30 %, by answers that agree and by answers that do not.
    agree, disagree = newcombe_paired(30, 10, 0, 60), newcombe_paired(12, 28, 18, 42)
    assert agree.value == disagree.value == pytest.approx(0.1)
    assert agree.high - agree.low < 0.75 * (disagree.high - disagree.low)


@settings(deadline=None)
@given(*[st.integers(0, 40)] * 4)
def test_paired_difference_changes_sign_with_the_order(both, first, second, neither):
    one, two = newcombe_paired(both, first, second, neither), newcombe_paired(both, second, first, neither)
    np.testing.assert_allclose([one.value, one.low, one.high], [-two.value, -two.high, -two.low], atol=1e-12)
    if both + first + second + neither:
        assert -1 <= one.low <= one.value <= one.high <= 1


def test_mcnemar_is_the_published_one():
    # Airway hyper-responsiveness before and after transplantation: Fagerland et al. 2013.
    result = mcnemar(1, 7)
    assert (result.p, result.mid_p) == pytest.approx((0.0703, 0.0391), abs=5e-5)


@settings(deadline=None)
@given(st.integers(0, 60), st.integers(0, 60))
def test_mcnemar_is_the_sign_test_of_the_discordant(first, second):
    result = mcnemar(first, second)
    expected = binomtest(first, first + second, 0.5).pvalue if first + second else 1.0
    assert result.p == pytest.approx(expected, rel=1e-10)
    assert result.mid_p <= result.p
    assert mcnemar(second, first).mid_p == result.mid_p


def test_mcnemar_over_arrays_is_each_alone():
    many = mcnemar([1, 0, 5], [7, 0, 5])
    assert many.p.tolist() == [mcnemar(b, c).p for b, c in [(1, 7), (0, 0), (5, 5)]]
    assert many.p[1] == many.mid_p[1] == 1.0
    assert str(many).splitlines()[0] == str(mcnemar(1, 7))


def test_paired_counts_count():
    counts = paired_counts(np.array([1, 1, 0, 0, 0], bool), np.array([1, 0, 1, 0, 0], bool))
    assert (counts.both, counts.first_only, counts.second_only, counts.neither, counts.n) == (1, 1, 1, 2, 5)
    assert paired_counts([], []).n == 0


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: wilson(5, 4), "5 successes among n = 4"),
        (lambda: wilson(-1, 4), "whole numbers of at least 0"),
        (lambda: wilson(0.5, 4), "whole numbers of at least 0"),
        (lambda: wilson(np.nan, 4), "whole numbers of at least 0"),
        (lambda: wilson(1, 4, level=95), "level is 95"),
        (lambda: paired_counts([True], [True, False]), r"\(1,\) and \(2,\)"),
        (lambda: paired_counts([1, 0], [True, False]), "need bool answers"),
        (lambda: mcnemar(-1, 3), "whole numbers of at least 0"),
    ],
)
def test_refusals(call, words):
    with pytest.raises(InputError, match=words):
        call()
