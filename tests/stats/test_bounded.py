import numpy as np
import pytest
from scipy.stats import binom

from robustkit.errors import InputError
from robustkit.stats import bounded_mean, clopper_pearson, p_above, p_below, wilson, wilson_shares


def test_rates_have_nearly_the_exact_interval():
    for n, k in ((150, 0), (150, 15), (150, 60), (30, 3), (30, 30)):
        values = np.r_[np.ones(k), np.zeros(n - k)]
        exact, found = clopper_pearson(k, n), bounded_mean(values)
        assert found.value == exact.value
        assert found.low == pytest.approx(exact.low, abs=0.012)
        assert found.high == pytest.approx(exact.high, abs=0.012)
        assert p_below(values, 0.3) == pytest.approx(binom.cdf(k, n, 0.3), rel=0.35, abs=0.01)
        assert p_above(values, 0.3) == pytest.approx(binom.sf(k - 1, n, 0.3), rel=0.35, abs=0.01)


def test_what_was_never_seen_may_still_happen():
    assert bounded_mean(np.zeros(3)).high == pytest.approx(1 - 0.025 ** (1 / 3))  # the rule of three, exactly
    assert bounded_mean(np.zeros(150)).high == pytest.approx(1 - 0.025 ** (1 / 150))
    assert p_below(np.zeros(3), 0.001) > 0.99
    none = bounded_mean(np.zeros(0))
    assert (none.low, none.high) == (0, 1)
    assert np.isnan(none.value)
    assert bounded_mean([0.4]).low < 0.4 < bounded_mean([0.4]).high


def test_the_interval_and_the_tests_say_the_same():
    rng = np.random.default_rng(0)
    change = rng.choice([-1, -0.4, 0, 0.2, 1], p=[0.05, 0.05, 0.7, 0.1, 0.1], size=(20, 90))
    found = bounded_mean(change, low=-1, tails=(0.01, 0.04))
    assert found.level == pytest.approx(0.95)
    np.testing.assert_allclose(p_above(change, found.low, low=-1), 0.01, rtol=1e-3)
    np.testing.assert_allclose(p_below(change, found.high, low=-1), 0.04, rtol=1e-3)
    np.testing.assert_allclose(p_below(-change, -found.low, low=-1), p_above(change, found.low, low=-1))


@pytest.mark.parametrize("n", [30, 150])
def test_the_error_is_at_most_what_it_says(n):
    rng = np.random.default_rng(1)
    u = rng.random((4000, n))
    for change, mean, low in (
        (u < 0.1, 0.1, 0), ((u < 0.08) * 1.0 - (u > 0.97), 0.05, -1), ((u < 0.02) * 1.0 - (u > 0.98), 0, -1),
        (np.round(5 * u) / 5 * (u < 0.5), float(np.mean(np.round(5 * np.linspace(0, 0.5, 100001)) / 10)), 0),
    ):  # fmt: skip
        for tail in (0.05, 0.01):
            for test in (p_above, p_below):
                wrong = (test(change, mean, low=low) <= tail).mean()
                assert wrong <= tail + 3.5 * np.sqrt(tail / 4000)


def test_shares_that_are_yes_or_no_are_a_rate():
    right = np.random.default_rng(0).random((4, 60)) < 0.8
    ours, plain = wilson_shares(right), wilson(right.sum(1), 60)
    for name in ("value", "low", "high", "n"):
        np.testing.assert_allclose(getattr(ours, name), getattr(plain, name))
    averaged = wilson_shares(np.random.default_rng(0).binomial(5, 0.8, 60) / 5)
    assert averaged.high - averaged.low < 0.6 * float(plain.high[0] - plain.low[0])
    nobody = wilson_shares(right, np.zeros((4, 60), bool))
    assert np.isnan(nobody.low).all()


def test_values_out_of_bounds_are_refused():
    with pytest.raises(InputError, match="between -1 and 1"):
        p_above([0.0, 1.5], 0, low=-1)
    with pytest.raises(InputError, match="between 0 and 1"):
        bounded_mean([np.nan])
    with pytest.raises(InputError, match="shares must lie"):
        wilson_shares([1.2])
