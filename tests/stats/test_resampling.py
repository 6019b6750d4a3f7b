"""Bootstrap intervals, against SciPy's own and against what clusters must do."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from robustkit.errors import InputError
from robustkit.stats.resampling import bootstrap, bootstrap_many, bootstrap_weights, weighted_mean, weighted_median


def _rng(seed=0):
    return np.random.default_rng(seed)


def test_bca_of_rows_is_scipys():
    values = _rng(1).gamma(2.0, size=60)
    expected = stats.bootstrap((values,), np.mean, n_resamples=2000, method="BCa", rng=_rng())
    ours = bootstrap_weights(lambda w: weighted_mean(values, w), 60, draws=2000, rng=_rng())
    np.testing.assert_allclose([ours.low, ours.high], expected.confidence_interval, rtol=1e-12)
    assert ours.method == "BCa bootstrap"


def test_a_plain_statistic_gives_what_its_weighted_twin_gives():
    values = _rng(1).gamma(2.0, size=40)
    one = bootstrap(np.median, values, draws=300, rng=_rng())
    two = bootstrap_weights(lambda w: weighted_median(values, w), 40, draws=300, rng=_rng())
    assert (one.value, one.low, one.high) == pytest.approx((two.value, two.low, two.high))


def test_columns_stay_paired():
    values = _rng(1).normal(10, 3, size=50)
    difference = bootstrap(
        lambda a, b: np.mean(b) - np.mean(a), values, values + _rng(2).normal(1, 0.1, 50), rng=_rng()
    )
    assert difference.low > 0.9
    assert difference.high < 1.1


def test_clusters_make_the_interval_as_wide_as_objects_alone():
    objects = _rng(1).normal(size=30)
    rows, cluster = np.repeat(objects, 8), np.repeat([f"galaxy {i}" for i in range(30)], 8)
    of = {
        name: bootstrap_weights(lambda w, v=v: weighted_mean(v, w), len(v), clusters=c, rng=_rng())
        for name, v, c in [("objects", objects, None), ("rows", rows, None), ("clusters", rows, cluster)]
    }
    width = {name: one.high - one.low for name, one in of.items()}
    assert width["clusters"] == pytest.approx(width["objects"], rel=0.05)
    assert width["rows"] < 0.5 * width["objects"]
    assert of["clusters"].method == "BCa bootstrap, 30 objects"


def test_unequal_clusters_give_each_resample_its_own_size():
    cluster = np.array([0, 0, 0, 1, 2, 2])
    sizes = []
    bootstrap_weights(
        lambda w: sizes.extend(w.sum(axis=1)) or w @ np.arange(6.0), 6, clusters=cluster, draws=50, rng=_rng()
    )
    # Draws of three objects out of sizes 3, 1, 2; leaving one out gives 3, 5, 4.
    assert {float(s) for s in sizes} <= set(range(3, 10))
    assert len(set(sizes)) > 3


def test_the_same_generator_gives_the_same_interval():
    values = _rng(1).normal(size=30)
    one, two = (bootstrap(np.mean, values, draws=200, rng=_rng(7)) for _ in range(2))
    assert (one.low, one.high) == (two.low, two.high)


def test_a_batch_never_changes_the_answer(monkeypatch):
    values = _rng(1).normal(size=30)
    whole = bootstrap_weights(lambda w: weighted_mean(values, w), 30, draws=500, rng=_rng())
    monkeypatch.setattr("robustkit.stats.resampling._CELLS", 30 * 7)
    parts = bootstrap_weights(lambda w: weighted_mean(values, w), 30, draws=500, rng=_rng())
    assert (whole.low, whole.high) == pytest.approx((parts.low, parts.high), rel=1e-12)


def test_what_resampling_cannot_know_has_no_interval():
    same = bootstrap(np.mean, np.full(9, 0.1), rng=_rng(), draws=50)
    assert same.value == pytest.approx(0.1)
    assert np.isnan([same.low, same.high]).all()
    assert "same value" in same.method
    single = bootstrap(np.mean, np.arange(4.0), clusters=["a"] * 4, rng=_rng(), draws=50)
    assert np.isnan(single.low)
    assert "single object" in single.method


def test_percentile_answers_where_bca_is_undefined_and_says_so():
    # Leaving any one value out leaves this median as it is, so there is no acceleration.
    tied = bootstrap(np.median, np.repeat([0.0, 1.0, 2.0], [6, 3, 6]), rng=_rng(), draws=400)
    assert tied.method == "percentile bootstrap (BCa is undefined)"
    assert (tied.low, tied.value, tied.high) == (0.0, 1.0, 2.0)


def test_many_objects_get_percentiles_and_no_object_is_left_out(monkeypatch):
    values, sizes = _rng(1).normal(size=30), []
    monkeypatch.setattr("robustkit.stats.resampling._BCA_UP_TO", 29)
    many = bootstrap_weights(
        lambda w: sizes.extend(w.sum(axis=1)) or weighted_mean(values, w), 30, draws=500, rng=_rng()
    )
    expected = stats.bootstrap((values,), np.mean, n_resamples=500, method="percentile", rng=_rng())
    assert (many.low, many.high) == pytest.approx(tuple(expected.confidence_interval))
    assert many.method == "percentile bootstrap"
    assert set(sizes) == {30.0}


def test_a_statistic_that_few_resamples_have_gets_no_interval():
    rare = np.zeros(30)
    rare[0] = 1.0

    def mean_where_present(weights):
        present = weights @ rare
        return np.where(present > 0, weights.mean(axis=1) + present, np.nan)

    one = bootstrap_weights(mean_where_present, 30, rng=_rng(), draws=400)
    assert np.isnan(one.low)
    assert "too few resamples" in one.method


def test_several_statistics_share_their_resamples():
    values = _rng(1).normal(size=25)
    both = bootstrap_many(lambda w: np.stack([weighted_mean(values, w), 2 * weighted_mean(values, w)]), 25, rng=_rng())
    assert 2 * both[0].low == pytest.approx(both[1].low)
    alone = bootstrap_weights(lambda w: weighted_mean(values, w), 25, rng=_rng())
    assert alone.high == both[0].high


@settings(deadline=None)
@given(st.lists(st.integers(-5, 5), min_size=1, max_size=12), st.data())
def test_weighted_median_is_the_median_of_repeated_values(values, data):
    counts = data.draw(st.lists(st.integers(0, 4), min_size=len(values), max_size=len(values)).filter(any))
    values = np.array(values, dtype=float)
    ours = weighted_median(values, np.array([counts], dtype=float))[0]
    assert ours == np.median(np.repeat(values, counts))


@pytest.mark.parametrize(
    ("columns", "clusters", "words"),
    [
        ((np.zeros(3), np.zeros(4)), None, r"lengths are \[3, 4\]"),
        ((np.zeros(0),), None, "nothing to resample"),
        ((np.zeros(3),), [1, 2], "each of the 3 rows"),
    ],
)
def test_refusals(columns, clusters, words):
    with pytest.raises(InputError, match=words):
        bootstrap(lambda *_: 0.0, *columns, clusters=clusters, rng=_rng())
