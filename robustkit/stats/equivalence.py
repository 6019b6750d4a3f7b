"""Showing that two things are the same within a declared margin: two one-sided tests (TOST).

A large p-value of a test for a difference does not show that there is none; these tests do.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy.optimize import root_scalar
from scipy.stats import t as student

from robustkit.errors import InputError
from robustkit.stats.checks import pairs, vector
from robustkit.stats.estimate import Estimate, check_level, format_p
from robustkit.stats.proportions import newcombe, newcombe_paired


@dataclass(frozen=True, eq=False)
class Equivalence:
    """Whether a difference lies within a margin declared beforehand.

    Attributes:
        difference: First minus second, with its 1 - 2 alpha interval (90 % for alpha = 0.05).
        margin: The largest difference that counts as none.
        p: The larger of the two one-sided p-values; for rates, 0.5 stands for 0.5 and more.
        alpha: Significance level of each one-sided test.
        smallest_margin: The smallest margin for which this sample would have shown equivalence.
    """

    difference: Estimate
    margin: float
    p: float
    alpha: float
    smallest_margin: float

    @property
    def equivalent(self) -> bool:
        """Whether the interval lies within the margin."""
        return self.smallest_margin < self.margin

    def __str__(self) -> str:
        verdict = "equivalent" if self.equivalent else "not shown to be equivalent"
        return f"{verdict} within {self.margin:g}: difference {self.difference} ({format_p(self.p)})"


def equivalent_rates(
    successes: int, n: int, other_successes: int, other_n: int, *, margin: float, alpha: float = 0.05
) -> Equivalence:
    """Whether two independent rates are the same within a margin, by Newcombe's interval.

    Args:
        successes: How many of the first sample succeeded.
        n: Size of the first sample.
        other_successes: How many of the second sample succeeded.
        other_n: Size of the second sample.
        margin: The largest difference that counts as none, above 0.
        alpha: Significance level of each one-sided test.

    Raises:
        InputError: If a count is negative, not whole, above its n, or an n is 0; or the margin is not above 0.

    Examples:
        >>> print(equivalent_rates(450, 500, 452, 500, margin=0.05))
        equivalent within 0.05: difference -0.004 [-0.035, 0.027], n = 1000 (p = 0.008)
    """
    return _by_interval(lambda level: newcombe(successes, n, other_successes, other_n, level=level), margin, alpha)


def equivalent_paired_rates(
    both: int, first_only: int, second_only: int, neither: int, *, margin: float, alpha: float = 0.05
) -> Equivalence:
    """Whether two rates of the same images are the same within a margin, by Newcombe's paired interval.

    Args:
        both: Images for which both answers are yes; see `paired_counts`.
        first_only: Images for which only the first answer is yes.
        second_only: Images for which only the second answer is yes.
        neither: Images for which both answers are no.
        margin: The largest difference that counts as none, above 0.
        alpha: Significance level of each one-sided test.

    Raises:
        InputError: If a count is negative or not whole, there is no image, or the margin is not above 0.
    """
    return _by_interval(
        lambda level: newcombe_paired(both, first_only, second_only, neither, level=level), margin, alpha
    )


def equivalent_means(first: ArrayLike, second: ArrayLike, *, margin: float, alpha: float = 0.05) -> Equivalence:
    """Whether the means of two independent samples are the same within a margin, by Welch's t.

    Args:
        first: The first sample, shape (N,).
        second: The second sample, shape (M,).
        margin: The largest difference of means that counts as none, above 0.
        alpha: Significance level of each one-sided test.

    Raises:
        InputError: If a value is not finite, a sample has fewer than 2, both have no spread, or the margin is not
            above 0.

    Source: Schuirmann 1987, doi:10.1007/BF01068419.
    """
    one, two = vector(first, "the first sample", at_least=2), vector(second, "the second sample", at_least=2)
    parts = np.array([one.var(ddof=1) / len(one), two.var(ddof=1) / len(two)])
    _check_spread(parts.sum())
    freedom = parts.sum() ** 2 / (parts**2 / [len(one) - 1, len(two) - 1]).sum()
    difference = one.mean() - two.mean()
    return _by_t(difference, np.sqrt(parts.sum()), freedom, len(one) + len(two), margin, alpha)


def equivalent_paired_means(first: ArrayLike, second: ArrayLike, *, margin: float, alpha: float = 0.05) -> Equivalence:
    """Whether the means of two numbers of the same images are the same within a margin, by the paired t.

    Args:
        first: One number for each image, shape (N,).
        second: The other number of each image, shape (N,), in the same order.
        margin: The largest difference of means that counts as none, above 0.
        alpha: Significance level of each one-sided test.

    Raises:
        InputError: If the lengths differ, a value is not finite, there are fewer than 2 pairs, all differences are
            the same, or the margin is not above 0.

    Source: Schuirmann 1987, doi:10.1007/BF01068419.
    """
    one, two = pairs(first, second, at_least=2)
    differences = one - two
    error = differences.std(ddof=1) / np.sqrt(len(differences))
    _check_spread(error)
    return _by_t(differences.mean(), error, len(differences) - 1, len(differences), margin, alpha)


def _by_t(difference: float, error: float, freedom: float, n: int, margin: float, alpha: float) -> Equivalence:
    level = _check(margin, alpha)
    half = student.isf(alpha, freedom) * error
    interval = Estimate(float(difference), float(difference - half), float(difference + half), n, level, "Student's t")
    p = student.sf((margin - abs(difference)) / error, freedom)
    return Equivalence(interval, margin, float(p), alpha, float(abs(difference) + half))


def _by_interval(interval: Callable[[float], Estimate], margin: float, alpha: float) -> Equivalence:
    """TOST by inclusion; its p-value is the smallest alpha whose interval lies within the margin."""
    at_alpha = interval(_check(margin, alpha))
    if not np.isfinite(at_alpha.value):
        raise InputError("a rate of no images cannot be compared: n is 0")

    def reach(tail: float) -> float:
        one = interval(1 - 2 * tail)
        return max(-float(one.low), float(one.high))

    lowest, highest = 1e-12, 0.5 - 1e-12
    if reach(lowest) < margin:
        p = lowest
    elif reach(highest) >= margin:
        p = 0.5
    else:
        p = float(root_scalar(lambda tail: reach(tail) - margin, bracket=(lowest, highest)).root)
    return Equivalence(at_alpha, margin, p, alpha, reach(alpha))


def _check(margin: float, alpha: float) -> float:
    """The level of the interval that belongs to alpha, or a refusal."""
    if not margin > 0:
        raise InputError(f"margin is {margin}; declare the largest difference that counts as none, above 0")
    if not 0 < alpha < 0.5:
        raise InputError(f"alpha is {alpha}; the level of a one-sided test lies between 0 and 0.5")
    return check_level(1 - 2 * alpha)


def _check_spread(spread: float) -> None:
    if not spread > 0:
        raise InputError("all values are the same: without spread no test of the means is possible")
