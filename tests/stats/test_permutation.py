"""Random relabellings, against SciPy's complete enumeration."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from robustkit.errors import InputError
from robustkit.stats.permutation import permutation_null, permutation_p

X, Y = np.array([1.2, 0.4, 2.2, 1.9, 3.0, 0.7]), np.array([2.0, 1.5, 2.9, 2.1, 4.4, 0.6])


def _difference(membership):
    pooled = np.concatenate([X, Y])
    return ((1 - membership) @ pooled / 6 - membership @ pooled / 6)[None]


@pytest.mark.parametrize(("paired", "kind"), [(False, "independent"), (True, "samples")])
def test_p_is_near_that_of_all_relabellings(paired, kind):
    exact = (
        stats.permutation_test(
            (X, Y),
            lambda x, y, axis: y.mean(axis) - x.mean(axis),
            permutation_type=kind,
            n_resamples=np.inf,
            alternative="greater",
            vectorized=True,
        )
        if not paired
        else stats.permutation_test(
            (Y - X,),
            lambda d, axis: d.mean(axis),
            permutation_type="samples",
            n_resamples=np.inf,
            alternative="greater",
            vectorized=True,
        )
    )
    observed, null = permutation_null(_difference, 6, 6, paired=paired, draws=20000, rng=np.random.default_rng(0))
    assert observed[0] == pytest.approx(Y.mean() - X.mean())
    # Three binomial standard errors of 20000 draws.
    assert permutation_p(observed, null)[0] == pytest.approx(exact.pvalue, abs=3 * np.sqrt(0.25 / 20000))


def test_relabellings_keep_the_sizes_and_pairs_stay_apart():
    seen = []
    permutation_null(lambda z: seen.append(z) or z.sum(axis=1)[None], 3, 5, draws=50, rng=np.random.default_rng(0))
    assert (np.concatenate(seen).sum(axis=1) == 3).all()
    seen.clear()
    permutation_null(
        lambda z: seen.append(z) or z.sum(axis=1)[None], 4, 4, paired=True, draws=50, rng=np.random.default_rng(0)
    )
    relabelled = np.concatenate(seen)
    np.testing.assert_array_equal(relabelled[:, :4] + relabelled[:, 4:], 1)
    assert len(np.unique(relabelled, axis=0)) > 10


def test_batches_cover_all_draws(monkeypatch):
    monkeypatch.setattr("robustkit.stats.permutation._CELLS", 12 * 7)
    _, null = permutation_null(_difference, 6, 6, draws=50, rng=np.random.default_rng(0))
    assert null.shape == (1, 50)


def test_p_is_never_zero():
    assert permutation_p(5.0, np.zeros(99)) == 0.01
    assert permutation_p(0.0, np.zeros(99)) == 1.0


def test_refusals():
    with pytest.raises(InputError, match="there are 3 and 4"):
        permutation_null(_difference, 3, 4, paired=True, rng=np.random.default_rng(0))
    with pytest.raises(InputError, match="draws is 0"):
        permutation_null(_difference, 3, 3, draws=0, rng=np.random.default_rng(0))
