"""How estimates print and how arrays of them are taken apart."""

from __future__ import annotations

import numpy as np
import pytest

from robustkit.errors import InputError
from robustkit.stats.estimate import Estimate, check_level, decimals, format_p


@pytest.mark.parametrize(
    ("numbers", "text"),
    [
        ((0.90667, 0.8493, 0.9437, 150), "0.907 [0.849, 0.944], n = 150"),
        ((0.7, 0.397, 0.892, 10), "0.70 [0.40, 0.89], n = 10"),
        ((16.84, 16.02, 17.71, 136), "16.84 [16.02, 17.71], n = 136"),
        ((1234.4, 1100.2, 1400.9, 9), "1234 [1100, 1401], n = 9"),
        ((0.0, 0.0, 0.0243, 150), "0.000 [0.000, 0.024], n = 150"),
        ((3e-9, 2e-9, 4e-9, 7), "3e-09 [2e-09, 4e-09], n = 7"),
        ((23.0, 13.0, np.inf, 21), "23 [13, inf], n = 21"),
        ((2.0, np.nan, np.nan, 3), "2 [no interval], n = 3"),
    ],
)
def test_two_digits_of_the_half_width_are_printed(numbers, text):
    assert str(Estimate(*numbers)) == text


def test_an_array_of_estimates_is_taken_apart():
    many = Estimate(np.array([0.1, 0.2]), np.array([0.0, 0.1]), np.array([0.3, 0.4]), 5, 0.9, "Wilson")
    assert len(many) == 2
    assert [one.value for one in many] == [0.1, 0.2]
    assert (type(many[1].low), many[1].n, many[1].level, many[1].method) == (float, 5, 0.9, "Wilson")
    assert str(many) == "0.10 [0.00, 0.30], n = 5\n0.20 [0.10, 0.40], n = 5"
    assert many[np.array([True, False])].value.tolist() == [0.1]


def test_one_estimate_is_a_sequence_of_one():
    one = Estimate(0.1, 0.0, 0.3, 5)
    assert len(one) == 1
    assert list(one) == [one]


def test_p_values_are_never_printed_as_zero():
    assert [format_p(p) for p in (1.0, 0.0703, 0.001, 0.00099, 0.0)] == [
        "p = 1.000",
        "p = 0.070",
        "p = 0.001",
        "p < 0.001",
        "p < 0.001",
    ]


def test_decimals_follow_the_width():
    assert [decimals(0, width) for width in (400.0, 20.0, 0.4, 0.02)] == [0, 0, 2, 3]
    assert decimals(1, 1) is decimals(np.nan, 1) is decimals(0, np.inf) is None


@pytest.mark.parametrize("level", [0, 1, 95, np.nan, -0.5])
def test_levels_lie_between_0_and_1(level):
    with pytest.raises(InputError, match="between 0 and 1"):
        check_level(level)
