"""One sample in a few numbers."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from robustkit.errors import InputError
from robustkit.stats.summary import standard_error, summarize


def test_numbers_are_numpys_and_the_intervals_scipys():
    values = np.random.default_rng(3).gamma(4.0, size=150)
    result = summarize(values, draws=2000, rng=np.random.default_rng(0))
    expected = stats.bootstrap((values,), np.mean, n_resamples=2000, rng=np.random.default_rng(0)).confidence_interval
    assert result.mean.value == pytest.approx(values.mean())
    assert result.median.value == pytest.approx(np.median(values))
    assert (result.mean.low, result.mean.high) == pytest.approx(tuple(expected))
    assert result.standard_error == pytest.approx(stats.sem(values))
    assert result.standard_deviation == pytest.approx(np.std(values, ddof=1))
    assert (result.minimum, result.maximum, result.n) == (values.min(), values.max(), 150)


def test_standard_error_of_repeated_rows_is_that_of_the_objects():
    values = np.random.default_rng(3).normal(size=20)
    repeated, cluster = np.repeat(values, 5), np.repeat(np.arange(20), 5)
    assert standard_error(repeated, clusters=cluster) == pytest.approx(standard_error(values))


def test_one_value_and_equal_values_have_no_interval():
    one = summarize([3.0], rng=np.random.default_rng(0))
    assert one.mean.value == one.median.value == 3.0
    assert np.isnan([one.standard_error, one.standard_deviation, one.mean.low]).all()
    same = summarize(np.full(50, 0.1), rng=np.random.default_rng(0))
    assert np.isnan(same.mean.low)
    assert "same value" in same.mean.method


def test_it_prints_as_it_is_written():
    text = str(summarize([1.0, 2.0, 3.0, 4.0], draws=500, rng=np.random.default_rng(0)))
    assert text.startswith("median 2.5")
    assert text.endswith("standard error 0.65, range 1 to 4")


@pytest.mark.parametrize(
    ("values", "words"), [([], "at least 1"), ([1.0, np.nan], "1 of 2"), ([[1.0]], "must be a vector")]
)
def test_refusals(values, words):
    with pytest.raises(InputError, match=words):
        summarize(values, rng=np.random.default_rng(0))
