"""Numbers of repeated runs, such as trainings with other seeds: intervals are over runs, and not over objects."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import expit, logit
from scipy.stats import t as student

from robustkit.errors import InputError
from robustkit.stats.checks import vector
from robustkit.stats.estimate import Estimate, check_level

# A rate of 0 or 1 has no logarithm of odds: it counts as this far from the bound.
_EDGE = 1e-3


def over_runs(values: ArrayLike, *, level: float = 0.95, bounds: tuple[float, float] | None = None) -> Estimate:
    """The mean over runs with Student's interval; no interval from one run.

    Args:
        values: One number for each run, such as each seed, shape (R,).
        level: Confidence level.
        bounds: Between which the numbers lie, such as (0, 1) for rates: the interval is then Student's of the
            logarithms of odds, so that it stays between them.

    Raises:
        InputError: If there is no run, or a value is not finite or lies outside the bounds.

    Example:
        >>> print(over_runs([0.5, 0.6, 0.7]))
        0.60 [0.35, 0.85], n = 3
    """
    values = vector(values, "values")
    mean, runs = float(values.mean()), len(values)
    if bounds is not None:
        return _between(values, mean, bounds, level)
    half = float("nan")
    if runs > 1:
        half = float(student.ppf((1 + check_level(level)) / 2, runs - 1) * values.std(ddof=1) / np.sqrt(runs))
    return Estimate(mean, mean - half, mean + half, runs, level, "Student, over runs")


def _between(values: np.ndarray, mean: float, bounds: tuple[float, float], level: float) -> Estimate:
    """The interval of numbers between bounds, by their odds."""
    low, high = bounds
    part = (values - low) / (high - low)
    if not ((part >= 0) & (part <= 1)).all():
        raise InputError(f"values must lie between {low:g} and {high:g}, got {values.min():g} to {values.max():g}")
    found = over_runs(logit(np.clip(part, _EDGE, 1 - _EDGE)), level=level)
    ends = [low + (high - low) * float(expit(end)) for end in (found.low, found.high)]
    # The mean of the odds is not that of the rates; the interval holds both.
    return Estimate(mean, min(ends[0], mean), max(ends[1], mean), found.n, level, "Student, of odds, over runs")


def ratio_over_runs(values: ArrayLike, *, level: float = 0.95) -> Estimate:
    """The geometric mean of ratios over runs with Student's interval of their logarithms.

    Args:
        values: One ratio for each run, above 0, shape (R,).
        level: Confidence level.

    Raises:
        InputError: If there is no run, or a ratio is not above 0.
    """
    values = vector(values, "values")
    if not (values > 0).all():
        raise InputError("expected ratios above 0")
    found = over_runs(np.log(values), level=level)
    mean, low, high = (float(np.exp(one)) for one in (found.value, found.low, found.high))
    return Estimate(mean, low, high, found.n, level, "Student, of logarithms, over runs")
