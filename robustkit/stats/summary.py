"""One sample in a few numbers: mean, median, standard error, with intervals."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from robustkit.stats.checks import cluster_indices, vector
from robustkit.stats.estimate import Estimate
from robustkit.stats.resampling import bootstrap_many, weighted_mean, weighted_median


@dataclass(frozen=True, eq=False)
class Summary:
    """One sample in a few numbers.

    Attributes:
        mean: Mean with its interval.
        median: Median with its interval.
        standard_error: Standard error of the mean, ddof 1; over objects when rows share an object; nan for one object.
        standard_deviation: Standard deviation, ddof 1; nan for one value.
        minimum: Smallest value.
        maximum: Largest value.
        n: How many values.
    """

    mean: Estimate
    median: Estimate
    standard_error: float
    standard_deviation: float
    minimum: float
    maximum: float
    n: int

    def __str__(self) -> str:
        return (
            f"median {self.median}; mean {self.mean}; "
            f"standard error {self.standard_error:.2g}, range {self.minimum:.3g} to {self.maximum:.3g}"
        )


def summarize(
    values: ArrayLike,
    *,
    clusters: ArrayLike | None = None,
    level: float = 0.95,
    draws: int = 4999,
    rng: np.random.Generator,
) -> Summary:
    """Mean, median and standard error of a sample, with bootstrap intervals.

    Args:
        values: The sample, shape (N,).
        clusters: The object that each value belongs to, shape (N,), when some share one.
        level: Confidence level.
        draws: How many bootstrap resamples.
        rng: Where the resamples come from.

    Returns:
        The summary; without intervals where all values are the same or there is one object.

    Raises:
        InputError: If a value is not finite, or there are none.

    Examples:
        >>> print(summarize([2.1, 2.5, 2.2, 3.9, 2.4, 2.3], rng=np.random.default_rng(0)).median)
        2.35 [2.15, 3.20], n = 6
    """
    sample = vector(values, "values")
    n = len(sample)

    def centres(weights: np.ndarray) -> np.ndarray:
        return np.stack([weighted_mean(sample, weights), weighted_median(sample, weights)])

    mean, median = bootstrap_many(centres, n, clusters=clusters, level=level, draws=draws, rng=rng)
    spread = float(np.std(sample, ddof=1)) if n > 1 else float("nan")
    error = standard_error(sample, clusters=clusters)
    return Summary(mean, median, error, spread, float(sample.min()), float(sample.max()), n)


def standard_error(values: ArrayLike, *, clusters: ArrayLike | None = None) -> float:
    """Standard error of the mean, ddof 1; of clustered values by the sums of each object's residuals.

    Args:
        values: The sample, shape (N,).
        clusters: The object that each value belongs to, shape (N,), when some share one.

    Returns:
        The standard error; nan for a single value or object.

    Raises:
        InputError: If a value is not finite, or there are none.

    Examples:
        >>> round(standard_error([1.0, 2.0, 3.0, 4.0]), 4)
        0.6455
    """
    sample = vector(values, "values")
    cluster_of = cluster_indices(clusters, len(sample))
    objects = int(cluster_of.max()) + 1
    if objects < 2:
        return float("nan")
    residuals = np.bincount(cluster_of, sample - sample.mean())  # (G,)
    return float(np.sqrt(objects / (objects - 1) * (residuals**2).sum()) / len(sample))
