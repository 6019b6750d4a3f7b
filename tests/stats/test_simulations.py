"""Do 95 % intervals cover in 95 % of repetitions, and do tests at 5 % reject in 5 % when nothing differs?

Each band is three binomial standard errors to either side: of 1000 repetitions for coverage (93 % to 97 %), of 4000 for
rejection (4 % to 6 %). Tests whose statistic takes few values, and exact ones, may reject less.
"""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest
from scipy import stats as scipy_stats

from robustkit.stats import (
    classifier_two_sample,
    clopper_pearson,
    compare_samples,
    flips_sooner,
    hodges_lehmann,
    kaplan_meier,
    log_rank,
    mcnemar,
    mmd_test,
    newcombe,
    newcombe_paired,
    paired_counts,
    paired_ratio,
    paired_shift,
    reliability,
    score_classifier,
    summarize,
    wilson,
)

N = 150
pytestmark = pytest.mark.slow


def _holds(interval, truth):
    return interval.low <= truth <= interval.high


def _paired_answers(rng):
    """Two answers about the same images: rates 0.8 and 0.7, and correlated."""
    shared = rng.random(N)
    return (0.6 * shared + 0.4 * rng.random(N)) < 0.66, (0.6 * shared + 0.4 * rng.random(N)) < 0.60


@cache
def _paired_truth():
    rng = np.random.default_rng(0)
    first, second = np.array([_paired_answers(rng) for _ in range(20_000)]).mean(axis=(0, 2))
    return first - second


def _ratio(of, rng):
    base = rng.gamma(4.0, 0.7, size=N)
    return _holds(
        paired_ratio(base * rng.lognormal(np.log(2), 0.4, N), base, of=of, draws=999, rng=rng),
        2 * np.exp(0.08) if of == "mean" else 2.0,
    )


def _clustered(rng):
    galaxies = rng.gamma(4.0, size=(50, 1)) + rng.normal(0, 0.5, size=(50, 3))
    summary = summarize(galaxies.ravel(), clusters=np.repeat(np.arange(50), 3), draws=999, rng=rng)
    return _holds(summary.mean, 4.0)


def _auc(rng):
    labels = np.arange(N) % 2
    chance = scipy_stats.norm.cdf(rng.normal(labels, 1.0))  # any increasing function of the score
    scores = score_classifier(np.stack([1 - chance, chance], axis=1), labels, draws=499, rng=rng)
    return _holds(scores.auc, scipy_stats.norm.cdf(1 / np.sqrt(2)))


def _restricted_mean(rng):
    life, budget = rng.exponential(10, N), rng.uniform(5, 40, N)
    curve = kaplan_meier(np.minimum(life, budget), life <= budget, horizon=20.0)
    return _holds(curve.restricted_mean, 10 * (1 - np.exp(-2)))


def _curve(rng):
    life, budget = rng.exponential(10, N), rng.uniform(5, 40, N)
    curve = kaplan_meier(np.minimum(life, budget), life <= budget)
    at = np.searchsorted(curve.times, 7.0, side="right") - 1
    return curve.low[at] <= np.exp(-0.7) <= curve.high[at]


def _newcombe_paired(rng):
    counts = paired_counts(*_paired_answers(rng))
    interval = newcombe_paired(counts.both, counts.first_only, counts.second_only, counts.neither)
    return _holds(interval, _paired_truth())


INTERVALS = {
    "wilson": lambda rng: _holds(wilson(rng.binomial(N, 0.87), N), 0.87),
    "clopper-pearson": lambda rng: _holds(clopper_pearson(rng.binomial(N, 0.87), N), 0.87),
    "newcombe": lambda rng: _holds(newcombe(rng.binomial(N, 0.8), N, rng.binomial(N, 0.7), N), 0.1),
    "newcombe, paired": _newcombe_paired,
    "BCa of a mean": lambda rng: _holds(summarize(rng.gamma(2.0, size=N), draws=999, rng=rng).mean, 2.0),
    "BCa of a median": lambda rng: _holds(
        summarize(rng.gamma(2.0, size=N), draws=999, rng=rng).median, scipy_stats.gamma(2.0).median()
    ),
    "BCa of clusters": _clustered,
    "ratio of means": lambda rng: _ratio("mean", rng),
    "ratio of geometric means": lambda rng: _ratio("geometric", rng),
    "AUC": _auc,
    "Hodges-Lehmann": lambda rng: _holds(hodges_lehmann(rng.standard_t(4, size=N) + 0.3), 0.3),
    "restricted mean": _restricted_mean,
    "Kaplan-Meier": _curve,
}


@pytest.mark.parametrize("name", INTERVALS)
def test_intervals_cover(name):
    rng = np.random.default_rng(20)
    coverage = np.mean([INTERVALS[name](rng) for _ in range(1000)])
    print(f"{name}: {coverage:.3f}")
    assert 0.93 <= coverage <= (1.0 if name == "clopper-pearson" else 0.97)


def _one_dimension(rng, paired):
    shared = rng.normal(size=N) if paired else 0.0
    first, second = (shared + rng.normal(size=N) for _ in range(2))
    result = compare_samples(first, second, bins=10, also_bins=(), paired=paired, draws=199, rng=rng)
    return {
        "JS": result.p,
        "Wasserstein": result.wasserstein_p,
        "energy": result.energy_p,
        "KS": result.ks_p,
    }


def _mmd(rng, paired=False):
    shared = rng.normal(size=(N, 8)) if paired else 0.0
    first, second = (shared + rng.normal(size=(N, 8)) for _ in range(2))
    return {"MMD": mmd_test(first, second, paired=paired, draws=199, rng=rng).p}


def _classifier(rng):
    first, second = rng.normal(size=(2, N, 8))
    return {"classifier": classifier_two_sample(first, second, draws=99, rng=rng).p}


def _searches(rng):
    """Two models that hold out equally long on the same images; log-rank sees other images."""
    shared = rng.exponential(1.0, N)
    (one, one_flips), (two, two_flips) = (
        (np.minimum(life, 20.0), life < 20.0) for life in (shared * rng.exponential(10.0, N) for _ in range(2))
    )
    other = rng.exponential(1.0, N) * rng.exponential(10.0, N)
    return {
        "log-rank": log_rank(one, one_flips, np.minimum(other, 20.0), other < 20.0).p,
        "flips sooner": flips_sooner(one, one_flips, two, two_flips).p,
    }


def _answers(rng):
    shared = rng.random(N)
    first, second = ((0.6 * shared + 0.4 * rng.random(N)) < 0.6 for _ in range(2))
    counts = paired_counts(first, second)
    test = mcnemar(counts.first_only, counts.second_only)
    return {"McNemar": test.p, "McNemar, mid-p": test.mid_p}


def _shift(rng):
    first = rng.gamma(3.0, size=N)
    result = paired_shift(first, first + rng.standard_t(3, size=N))
    return {"Wilcoxon": result.p, "sign": result.sign_p}


def _calibrated(rng):
    probabilities = rng.dirichlet(np.ones(3), N)
    labels = (probabilities.cumsum(axis=1)[:, :2] < rng.random((N, 1))).sum(axis=1)
    return {"ECE": reliability(probabilities, labels, draws=199, rng=rng).p}


# What is tested, repetitions, and the tests that are discrete.
NULLS = {
    "one dimension": (lambda rng: _one_dimension(rng, False), 4000, {"KS", "JS"}),
    "one dimension, paired": (lambda rng: _one_dimension(rng, True), 4000, {"KS", "JS"}),
    "MMD": (_mmd, 4000, set()),
    "MMD, paired": (lambda rng: _mmd(rng, True), 4000, set()),
    "classifier": (_classifier, 1000, {"classifier"}),
    "searches": (_searches, 4000, {"flips sooner"}),
    "answers": (_answers, 4000, {"McNemar", "McNemar, mid-p"}),
    "shift": (_shift, 4000, {"sign"}),
    "calibration": (_calibrated, 4000, set()),
}


@pytest.mark.parametrize("name", NULLS)
def test_tests_reject_one_in_twenty_when_nothing_differs(name):
    simulate, repetitions, discrete = NULLS[name]
    rng = np.random.default_rng(21)
    rows = [simulate(rng) for _ in range(repetitions)]
    tolerance = 3 * np.sqrt(0.05 * 0.95 / repetitions)
    for test in rows[0]:
        rejected = np.mean([row[test] <= 0.05 + 1e-12 for row in rows])
        print(f"{name}, {test}: {rejected:.4f} of {repetitions}")
        assert rejected <= 0.05 + tolerance, test
        assert rejected >= (0.01 if test in discrete else 0.05 - tolerance), test
