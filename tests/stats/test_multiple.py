"""p-values of families of tests."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from robustkit.errors import InputError
from robustkit.stats.multiple import benjamini_hochberg, holm

# Benjamini & Hochberg 1995, section 3: fifteen tests of a thrombolysis trial; at 5 % the method rejects four and
# Bonferroni's and Holm's three.
TRIAL = [
    0.0001,
    0.0004,
    0.0019,
    0.0095,
    0.0201,
    0.0278,
    0.0298,
    0.0344,
    0.0459,
    0.3240,
    0.4262,
    0.5719,
    0.6528,
    0.7590,
    1.0,
]


def test_published_rejections():
    assert (benjamini_hochberg(TRIAL) <= 0.05).sum() == 4
    assert (holm(TRIAL) <= 0.05).sum() == 3
    assert holm(TRIAL)[:4] == pytest.approx([15 * 0.0001, 14 * 0.0004, 13 * 0.0019, 12 * 0.0095])


@settings(deadline=None)
@given(st.lists(st.floats(0, 1), min_size=1, max_size=12), st.randoms(use_true_random=False))
def test_adjusting_keeps_the_order_and_never_lowers(p, random):
    p = np.array(p)
    order = list(range(len(p)))
    random.shuffle(order)
    for adjust in (holm, benjamini_hochberg, lambda x: benjamini_hochberg(x, dependent=True)):
        adjusted = adjust(p)
        np.testing.assert_allclose(adjust(p[order]), adjusted[order])
        assert (adjusted >= p - 1e-15).all()
        assert (adjusted <= 1).all()
        assert (np.diff(adjusted[np.argsort(p)]) >= -1e-15).all()
    assert (holm(p) >= benjamini_hochberg(p) - 1e-15).all()


def test_holm_rejects_what_stepping_down_rejects():
    p = np.random.default_rng(0).beta(0.3, 3, size=20)
    stepped = np.zeros(20, bool)
    for rank, index in enumerate(np.argsort(p)):
        if p[index] > 0.05 / (20 - rank):
            break
        stepped[index] = True
    np.testing.assert_array_equal(holm(p) <= 0.05, stepped)
    assert 0 < stepped.sum() < 20


def test_a_family_of_none_and_of_one():
    assert holm([]).shape == benjamini_hochberg([]).shape == (0,)
    assert holm([0.03]) == benjamini_hochberg([0.03]) == 0.03


@pytest.mark.parametrize("p", [[0.1, np.nan], [-0.1], [1.1], [[0.1]]])
def test_refusals(p):
    for adjust in (holm, benjamini_hochberg):
        with pytest.raises(InputError, match="p-values must"):
            adjust(p)
