"""Censored durations until a flip."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import chi2

from robustkit.errors import InputError
from robustkit.stats.survival import flips_sooner, kaplan_meier, log_rank

# Remission in weeks, 6-mercaptopurine against placebo: Freireich et al. 1963, the example of most textbooks.
TREATED = np.array([6, 6, 6, 6, 7, 9, 10, 10, 11, 13, 16, 17, 19, 20, 22, 23, 25, 32, 32, 34, 35])
RELAPSED = np.array([1, 1, 1, 0, 1, 0, 1, 0, 0, 1, 1, 0, 0, 0, 1, 1, 0, 0, 0, 0, 0], bool)
PLACEBO = np.array([1, 1, 2, 2, 3, 4, 4, 5, 5, 8, 8, 8, 8, 11, 11, 12, 12, 15, 17, 22, 23])
ALL = np.ones(21, bool)


def test_curve_is_the_published_one():
    curve = kaplan_meier(TREATED, RELAPSED)
    published = {6: 0.857, 7: 0.807, 10: 0.753, 13: 0.690, 16: 0.627, 22: 0.538, 23: 0.448}
    at = np.isin(curve.times, list(published))
    np.testing.assert_allclose(curve.surviving[at], list(published.values()), atol=5.1e-4)
    np.testing.assert_array_equal(curve.at_risk[at], [21, 17, 15, 12, 11, 7, 6])
    assert (curve.low[0], curve.high[0]) == pytest.approx((0.620, 0.952), abs=5e-4)
    assert curve.median.value == 23
    assert (curve.n, curve.flipped, curve.flips.sum()) == (21, 9, 9)
    assert str(curve).startswith("9 of 21 flipped; median 23 [13, inf], n = 21; mean up to 35: ")


def test_without_censoring_it_is_the_empirical_distribution():
    curve = kaplan_meier(PLACEBO, ALL, horizon=10)
    np.testing.assert_allclose(curve.surviving, [(t < PLACEBO).mean() for t in curve.times], atol=1e-12)
    restricted = np.minimum(PLACEBO, 10)
    half = (curve.restricted_mean.high - curve.restricted_mean.low) / 2
    assert curve.restricted_mean.value == pytest.approx(restricted.mean())
    # Greenwood's variance is then that of the mean, ddof 0.
    assert half == pytest.approx(1.959964 * restricted.std() / np.sqrt(21))


def test_restricted_mean_covers_that_of_an_exponential():
    rng = np.random.default_rng(5)
    life, budget, horizon = rng.exponential(10, (300, 150)), rng.uniform(5, 40, (300, 150)), 20.0
    truth = 10 * (1 - np.exp(-horizon / 10))
    covered = 0
    for t, c in zip(life, budget, strict=True):
        mean = kaplan_meier(np.minimum(t, c), t <= c, horizon=horizon).restricted_mean
        covered += mean.low <= truth <= mean.high
    assert 0.91 <= covered / 300 <= 0.985  # 95 % of 300, within three binomial standard errors


def test_images_that_never_flip_hold_out():
    curve = kaplan_meier([800] * 30, [False] * 30)
    assert curve.surviving.tolist() == [1.0]
    assert curve.median.value == curve.median.low == np.inf
    assert curve.restricted_mean.value == 800
    assert np.isnan(curve.restricted_mean.low)
    assert str(curve).startswith("0 of 30 flipped; median inf [no interval]")


def test_images_that_all_flip_leave_nobody():
    curve = kaplan_meier([1.0, 2.0, 3.0], [True] * 3)
    assert curve.surviving[-1] == 0
    assert curve.restricted_mean.value == pytest.approx(2.0)


def test_log_rank_is_the_published_one():
    result = log_rank(TREATED, RELAPSED, PLACEBO, ALL)
    assert result.statistic**2 == pytest.approx(16.79, abs=5e-3)
    assert result.p == pytest.approx(chi2.sf(16.793, 1), rel=1e-3)
    assert result.statistic < 0  # the treated relapse later
    assert log_rank(PLACEBO, ALL, TREATED, RELAPSED).statistic == pytest.approx(-result.statistic)
    assert str(result) == "log-rank z = -4.10, p < 0.001"


def test_flips_sooner_counts_only_known_orders():
    # earlier flip; later flip; the other gave up then; gave up earlier; both at once; both gave up
    first, first_flips = [2, 9, 5, 3, 4, 9], [True, True, True, False, True, False]
    second, second_flips = [5, 4, 5, 7, 4, 9], [True, True, False, True, True, False]
    result = flips_sooner(first, first_flips, second, second_flips)
    assert (result.first_only, result.second_only) == (2, 1)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: kaplan_meier([0.0, 1.0], [True, True]), "above 0; the smallest is 0"),
        (lambda: kaplan_meier([1.0, np.inf], [True, False]), "1 of 2 values are not finite"),
        (lambda: kaplan_meier([1.0, 2.0], [True]), "one bool for each of the 2"),
        (lambda: kaplan_meier([1.0, 2.0], [1, 0]), "one bool for each"),
        (lambda: kaplan_meier([1.0, 2.0], [True, True], horizon=3), "horizon is 3"),
        (lambda: log_rank([1.0], [False], [2.0], [False]), "no image flips"),
        (lambda: log_rank([1.0], [False], [2.0], [True]), "still at risk"),
        (lambda: flips_sooner([1.0], [True], [1.0, 2.0], [True, True]), "there are 1 and 2"),
    ],
)
def test_refusals(call, words):
    with pytest.raises(InputError, match=words):
        call()
