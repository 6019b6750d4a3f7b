"""Distances of distributions, against SciPy, closed forms, and the null of two equal samples."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import integrate, stats
from scipy.spatial.distance import jensenshannon

from robustkit.errors import InputError
from robustkit.stats.divergence import compare_samples, js_distance


def _rng(seed=0):
    return np.random.default_rng(seed)


@pytest.mark.parametrize("base", [2.0, np.e])
def test_js_is_scipys_where_scipy_has_an_answer(base):
    p, q = _rng().dirichlet(np.ones(12), size=(2, 20))
    np.testing.assert_allclose(js_distance(p, q, base=base), jensenshannon(p, q, base, axis=1), rtol=1e-12)
    np.testing.assert_allclose(js_distance(p.T, q.T, base=base, axis=0), js_distance(p, q, base=base))


def test_js_by_hand():
    # (1, 0) against (1/2, 1/2): entropy of (3/4, 1/4) minus half of 1 bit.
    entropy = -(0.75 * np.log2(0.75) + 0.25 * np.log2(0.25))
    assert js_distance([1, 0], [1, 1]) == pytest.approx(np.sqrt(entropy - 0.5))
    assert js_distance([2, 0, 0], [0, 1, 3]) == 1.0
    assert js_distance([1, 0], [0, 1], base=np.e) == pytest.approx(np.sqrt(np.log(2)))


@pytest.mark.parametrize(
    ("p", "q", "right"),
    [
        ([0, 1], [5e-324, 1], 0),
        ([1, 5e-324], [1, 0], 0),
        ([5e-324, 0], [0, 5e-324], 1),
        ([1e308, 1e308], [1e308, 1e308], 0),
        ([1e308, 1e308, 0], [0, 0, 1e308], 1),
    ],
)
def test_js_holds_for_the_smallest_and_the_largest_numbers(p, q, right):
    assert js_distance(p, q) == right


@settings(deadline=None)
@given(st.lists(st.floats(1e-3, 1), min_size=2, max_size=30), st.floats(-1e-7, 1e-7))
def test_js_of_nearly_equal_inputs_is_a_small_number(weights, change):
    # SciPy returns nan for some of these: the divergence rounds to below 0.
    p = np.array(weights, dtype=np.float32)
    q = p.copy()
    q[0] *= 1 + change
    assert 0 <= js_distance(p, q) < 1e-3
    assert js_distance(p, p) == 0


@settings(deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_js_is_a_bounded_symmetric_metric(seed):
    p, q, r = _rng(seed).dirichlet(np.full(6, 0.3), size=3)
    assert js_distance(p, q) == pytest.approx(js_distance(q, p))
    assert 0 <= js_distance(p, q) <= 1 + 1e-12
    assert js_distance(p, r) <= js_distance(p, q) + js_distance(q, r) + 1e-12


def test_binned_js_of_gaussians_nears_the_integral():
    def bits(x):
        p, q = stats.norm.pdf(x), stats.norm.pdf(x, 2)
        m = (p + q) / 2
        return (p * np.log2(p / m) + q * np.log2(q / m)) / 2

    truth = np.sqrt(integrate.quad(bits, -8, 10)[0])
    x, y = _rng().normal(size=40_000), _rng(1).normal(2, 1, size=40_000)
    result = compare_samples(x, y, bins=60, also_bins=(), draws=5, rng=_rng(2))
    assert result.js == pytest.approx(truth, abs=0.005)


def test_the_null_is_where_theory_puts_it():
    # Uniform, so that all bins fill: sqrt((B - 1) / (4 n ln 2)), 0.264 for 30 bins and 150 images.
    x, y = _rng(4).uniform(size=(2, 150))
    result = compare_samples(x, y, bins=30, also_bins=(5,), rng=_rng())
    assert result.null_mean == pytest.approx(np.sqrt(29 / (4 * 150 * np.log(2))), abs=0.01)
    assert result.sensitivity[1].null_mean == pytest.approx(np.sqrt(4 / (4 * 150 * np.log(2))), abs=0.01)
    assert abs(result.excess) < 0.03
    assert result.js**2 - result.excess == pytest.approx(result.null_mean**2, abs=0.002)


@pytest.mark.parametrize("ties", [False, True])
def test_distances_without_bins_are_scipys(ties):
    x, y = _rng(1).gamma(3, size=40), _rng(2).gamma(4, size=55)
    if ties:
        x, y = np.round(x), np.round(y)
    result = compare_samples(x, y, draws=9, rng=_rng())
    assert result.wasserstein == pytest.approx(stats.wasserstein_distance(x, y))
    assert result.energy == pytest.approx(stats.energy_distance(x, y))
    assert result.ks == pytest.approx(stats.ks_2samp(x, y).statistic)


def test_histograms_are_numpys_and_js_theirs():
    x, y = _rng(1).integers(0, 20, size=60).astype(float), _rng(2).integers(0, 25, size=50).astype(float)
    result = compare_samples(x, y, bins=8, draws=9, rng=_rng())
    assert (result.first_counts.sum(), result.second_counts.sum()) == (60, 50)
    assert result.js == pytest.approx(float(js_distance(result.first_counts, result.second_counts)))
    assert result.edges[[0, -1]].tolist() == [min(x.min(), y.min()), max(x.max(), y.max())]
    assert [choice.bins for choice in result.sensitivity] == [8, 5, 10, 20, 30]


def test_a_shift_is_found_and_pairs_find_a_smaller_one():
    x = _rng(1).normal(size=100)
    far = compare_samples(x, _rng(2).normal(1, 1, size=100), rng=_rng())
    assert far.p == far.wasserstein_p == 1 / 2000
    twins = x + 0.3 + _rng(3).normal(0, 0.05, 100)
    alone, together = (compare_samples(x, twins, paired=paired, rng=_rng()) for paired in (False, True))
    assert together.wasserstein == alone.wasserstein
    assert together.wasserstein_p < 0.01 < alone.wasserstein_p


def test_order_and_units_do_not_matter():
    x, y = _rng(1).gamma(3, size=60), _rng(2).gamma(4, size=60)
    one = compare_samples(x, y, rng=_rng())
    other = compare_samples(1000 * y[::-1], 1000 * x, rng=_rng())
    assert other.js == pytest.approx(one.js)
    assert other.wasserstein == pytest.approx(1000 * one.wasserstein)
    assert other.ks == pytest.approx(one.ks)


def test_the_number_of_bins_is_bounded_whatever_the_outlier():
    values = np.append(_rng().normal(size=200), 1e9)
    assert len(compare_samples(values, values[::-1], draws=9, rng=_rng()).first_counts) == 20
    mostly_same = np.append(np.zeros(50), [1.0, 2.0])
    assert len(compare_samples(mostly_same, mostly_same, draws=9, rng=_rng()).first_counts) == 20


def test_it_prints_its_null():
    text = str(compare_samples(np.arange(50.0), np.arange(50.0) + 3, bins=10, rng=_rng()))
    assert text.startswith("JS distance 0.")
    assert "same distribution: 0." in text
    assert "10 bins, base 2" in text
    assert text.endswith("n = 50 and 50")


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: js_distance([1, -1], [1, 1]), "at least 0"),
        (lambda: js_distance([np.nan, 1], [1, 1]), "finite"),
        (lambda: js_distance([0, 0], [1, 1]), "sums to 0"),
        (lambda: js_distance([1, 0], [0, 1], base=1), "base is 1"),
        (lambda: compare_samples(np.ones(9), np.ones(9), rng=_rng()), "nothing to compare"),
        (lambda: compare_samples([1, 2, 3], [1, 2, 3, 4, 5], rng=_rng()), "at least 5 needed, 3 given"),
        (lambda: compare_samples([1, 2, 3, 4, np.nan], [1, 2, 3, 4, 5], rng=_rng()), "1 of 5"),
        (lambda: compare_samples(np.arange(9), np.arange(8), paired=True, rng=_rng()), "9 and 8"),
        (lambda: compare_samples(np.arange(9), np.arange(8), bins=1, rng=_rng()), "at least 2"),
    ],
)
def test_refusals(call, words):
    with pytest.raises(InputError, match=words):
        call()
