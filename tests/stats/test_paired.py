"""Two numbers for each image."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import wilcoxon

from robustkit.errors import InputError
from robustkit.stats.paired import _signed_rank_cut, hodges_lehmann, paired_ratio, paired_shift, what_is_compared

# Hamilton depression scale before and after treatment: Hollander & Wolfe, table 3.1.
BEFORE = [1.83, 0.50, 1.62, 2.48, 1.68, 1.88, 1.55, 3.06, 1.30]
AFTER = [0.878, 0.647, 0.598, 2.05, 1.06, 1.29, 1.06, 3.14, 1.29]


def test_shift_is_the_published_one():
    result = paired_shift(BEFORE, AFTER)
    # The book tests one-sided (W = 5, p = 0.0195), estimates -0.46 and gives [-0.786, -0.010].
    assert result.p == pytest.approx(0.0390625)
    assert result.shift.value == pytest.approx(-0.46)
    assert (result.shift.low, result.shift.high) == pytest.approx((-0.786, -0.010))
    assert result.rank_biserial == pytest.approx((5 - 40) / 45)
    assert (result.larger, result.smaller, result.n) == (2, 7, 9)
    assert result.sign_p == pytest.approx(2 * (1 + 9 + 36) / 2**9)


@pytest.mark.parametrize("n", [5, 9, 12])
def test_the_cut_of_the_interval_is_that_of_all_sign_patterns(n):
    sums = [
        sum(r for r, s in zip(range(1, n + 1), signs, strict=True) if s)
        for signs in itertools.product([0, 1], repeat=n)
    ]
    for tail in (0.025, 0.05, 0.2):
        expected = max((w for w in range(max(sums) + 1) if np.mean(np.array(sums) <= w) <= tail), default=-1)
        assert _signed_rank_cut(n, tail) == expected


def test_the_exact_cut_meets_the_approximate_one(monkeypatch):
    exact = _signed_rank_cut(200, 0.025)
    monkeypatch.setattr("robustkit.stats.paired._EXACT_UP_TO", 10)
    assert _signed_rank_cut(200, 0.025) == pytest.approx(exact, abs=3)


def test_the_interval_inverts_the_test():
    values = np.random.default_rng(0).normal(0.4, 1, size=25)
    interval = hodges_lehmann(values)
    inside, outside = 1e-6, -1e-6
    for end, into in ((interval.low, 1), (interval.high, -1)):
        assert wilcoxon(values - end - into * inside).pvalue > 0.05
        assert wilcoxon(values - end - into * outside).pvalue <= 0.05


@settings(deadline=None, max_examples=15)
@given(st.lists(st.integers(-20, 20), min_size=14, max_size=30).filter(any), st.floats(0.1, 10))
def test_shift_follows_order_and_scale(differences, scale):
    d = np.array(differences, dtype=float)
    zero = np.zeros(len(d))
    one, mirror, scaled = paired_shift(zero, d), paired_shift(d, zero), paired_shift(zero, scale * d)
    assert one.p == pytest.approx(mirror.p)
    assert one.rank_biserial == pytest.approx(-mirror.rank_biserial)
    assert one.shift.low == pytest.approx(-mirror.shift.high)
    assert scaled.shift.value == pytest.approx(scale * one.shift.value)
    assert -1 <= one.rank_biserial <= 1


def test_every_pair_larger_is_a_correlation_of_one():
    result = paired_shift(np.arange(30.0), np.arange(30.0) * 1.1 + 1)
    assert result.rank_biserial == 1
    assert result.p < 1e-5
    assert "rank-biserial r = 1.00" in str(result)


def test_too_few_pairs_for_the_level_have_no_interval():
    assert np.isnan(hodges_lehmann([1.0, 2.0, 3.0, 4.0, 5.0]).low)
    assert hodges_lehmann([1.0, 2.0, 3.0, 4.0, 5.0], level=0.9).low == 1.0


@pytest.mark.parametrize("of", ["mean", "median", "geometric"])
def test_ratio_is_exact_for_proportional_pairs_and_inverts(of):
    values = np.random.default_rng(0).gamma(3.0, size=80)
    noisy = 2.3 * values * np.random.default_rng(1).lognormal(0, 0.1, size=80)
    ratio = paired_ratio(noisy, values, of=of, rng=np.random.default_rng(2))
    inverse = paired_ratio(values, noisy, of=of, rng=np.random.default_rng(2))
    assert ratio.low < 2.3 < ratio.high
    assert ratio.high / ratio.low < 1.15  # the pairing: unpaired, these means spread by 30 %
    assert inverse.low == pytest.approx(1 / ratio.high, rel=0.01)


def test_ratio_of_the_mean_is_the_ratio_of_means():
    top, bottom = [1.0, 2.0, 6.0], [1.0, 1.0, 1.0]
    rng = np.random.default_rng(0)
    assert paired_ratio(top, bottom, rng=rng, draws=50).value == pytest.approx(3.0)
    assert paired_ratio(top, bottom, of="median", rng=rng, draws=50).value == pytest.approx(2.0)
    assert paired_ratio(top, bottom, of="geometric", rng=rng, draws=50).value == pytest.approx(12 ** (1 / 3))


def test_one_seed_of_either_is_two_checkpoints():
    assert what_is_compared(1, 5) == what_is_compared(5, 1) == "two checkpoints, not two methods"
    assert what_is_compared(3, 2) == "two methods, of 3 and 2 trained seeds"


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: paired_shift([1.0] * 6, [1.0] * 6), "no difference to rank"),
        (lambda: paired_shift([1.0] * 6, [1.0] * 5), "there are 6 and 5"),
        (lambda: paired_shift([1.0] * 4, [2.0] * 4), "at least 5 pairs"),
        (lambda: paired_shift([np.nan] * 6, [1.0] * 6), "6 of 6 values are not finite"),
        (lambda: paired_ratio([1.0, 0.0], [1.0, 1.0], rng=np.random.default_rng()), "above 0"),
        (lambda: what_is_compared(0, 1), "needs a trained seed"),
    ],
)
def test_refusals(call, words):
    with pytest.raises(InputError, match=words):
        call()
