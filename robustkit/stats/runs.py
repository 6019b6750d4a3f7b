"""Numbers of repeated runs, such as trainings with other seeds: intervals are over runs, and not over objects."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike
from scipy.stats import t as student

from robustkit.errors import InputError
from robustkit.stats.checks import vector
from robustkit.stats.estimate import Estimate, check_level


def over_runs(values: ArrayLike, *, level: float = 0.95) -> Estimate:
    """The mean over runs with Student's interval; no interval from one run.

    Args:
        values: One number for each run, such as each seed, shape (R,).
        level: Confidence level.

    Raises:
        InputError: If there is no run, or a value is not finite.

    Example:
        >>> print(over_runs([0.5, 0.6, 0.7]))
        0.60 [0.35, 0.85], n = 3
    """
    values = vector(values, "values")
    mean, runs = float(values.mean()), len(values)
    half = float("nan")
    if runs > 1:
        half = float(student.ppf((1 + check_level(level)) / 2, runs - 1) * values.std(ddof=1) / np.sqrt(runs))
    return Estimate(mean, mean - half, mean + half, runs, level, "Student, over runs")


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
