import numpy as np
import pytest
from scipy.stats import bootstrap, ttest_1samp

from robustkit.errors import InputError
from robustkit.stats import over_runs, ratio_over_runs


def test_the_interval_is_that_of_the_t_test():
    values = [0.61, 0.55, 0.7, 0.58, 0.64]
    found, test = over_runs(values, level=0.9), ttest_1samp(values, 0).confidence_interval(0.9)
    assert (found.value, found.n) == (pytest.approx(np.mean(values)), 5)
    assert (found.low, found.high) == (pytest.approx(test.low), pytest.approx(test.high))


def test_one_run_has_no_interval():
    found = over_runs([0.5])
    assert found.value == 0.5
    assert np.isnan(found.low)
    assert np.isnan(found.high)


def test_ratios_are_averaged_as_ratios():
    found = ratio_over_runs([2.0, 0.5])
    assert found.value == pytest.approx(1)
    assert found.low * found.high == pytest.approx(1)


def test_the_interval_covers_as_often_as_it_says():
    rng = np.random.default_rng(0)
    found = [over_runs(rng.normal(3, 2, 5)) for _ in range(2000)]
    covered = np.mean([one.low < 3 < one.high for one in found])
    assert abs(covered - 0.95) < 3 * np.sqrt(0.95 * 0.05 / 2000)
    # Where there are as few runs as this, the bootstrap does not cover: why Student's interval is taken.
    drawn = [bootstrap((rng.normal(3, 2, 5),), np.mean, n_resamples=200, rng=rng) for _ in range(300)]
    assert np.mean([one.confidence_interval.low < 3 < one.confidence_interval.high for one in drawn]) < covered


@pytest.mark.parametrize(("make", "values"), [(over_runs, []), (over_runs, [np.nan]), (ratio_over_runs, [1, 0])])
def test_what_has_no_mean_is_refused(make, values):
    with pytest.raises(InputError):
        make(values)


def test_rates_have_intervals_between_their_bounds():
    wild = [0.2, 0.5, 0.95]
    assert over_runs(wild).high > 1  # what a rate cannot be
    found = over_runs(wild, bounds=(0, 1))
    assert found.value == pytest.approx(np.mean(wild))
    assert 0 < found.low < found.value < found.high < 1
    for values, bounds in (([0.0, 0.0, 0.4], (0, 1)), ([1.0, 1.0], (0, 1)), ([-0.9, 0.9, 0.1], (-1, 1))):
        edge = over_runs(values, bounds=bounds)
        assert bounds[0] <= edge.low <= edge.value <= edge.high <= bounds[1]
    calm = over_runs([0.80, 0.82, 0.81], bounds=(0, 1))
    plain = over_runs([0.80, 0.82, 0.81])
    assert (calm.low, calm.high) == (pytest.approx(plain.low, abs=0.004), pytest.approx(plain.high, abs=0.004))
    with pytest.raises(InputError, match="must lie between 0 and 1"):
        over_runs([0.5, 1.2], bounds=(0, 1))
