"""Bootstrap intervals: SciPy resamples the objects, so that all images of one object stay together.

They are bias-corrected and accelerated (BCa) up to 2000 objects, and of percentiles beyond.

A resample is described by how often each row counts. Statistics that are written for such weights answer for
thousands of resamples at once.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats

from robustkit.errors import InputError
from robustkit.stats.checks import cluster_indices
from robustkit.stats.estimate import Estimate, check_level

_CELLS = 400_000  # weights held at once: 3 MB, so that they stay in the cache
_BCA_UP_TO = 2000  # objects; beyond, leaving each one out costs more than the resamples, to correct almost nothing


def bootstrap(
    statistic: Callable[..., float],
    *columns: ArrayLike,
    clusters: ArrayLike | None = None,
    level: float = 0.95,
    draws: int = 1999,
    rng: np.random.Generator,
) -> Estimate:
    """Bootstrap interval of any statistic of rows; the columns stay paired.

    Args:
        statistic: Takes the columns, each (M, ...), and returns one number.
        *columns: Arrays with one row for each image, shape (N, ...).
        clusters: The object that each row shows, shape (N,); rows of one object are drawn together.
        level: Confidence level.
        draws: How many resamples; `statistic` is called once for each, and once for each object.
        rng: Where the resamples come from.

    Returns:
        The statistic with its interval; no interval (nan) where resampling cannot give one, and `method` says why.

    Raises:
        InputError: If the columns differ in length or are empty.

    Source: Efron 1987, doi:10.1080/01621459.1987.10478410; SciPy resamples.
    """
    arrays = [np.asarray(column) for column in columns]
    lengths = {len(array) for array in arrays}
    if len(lengths) != 1:
        raise InputError(f"all columns need one row for each image; their lengths are {[len(a) for a in arrays]}")
    n = lengths.pop()

    def of_weights(weights: np.ndarray) -> np.ndarray:
        rows = (np.repeat(np.arange(n), one.astype(np.int64)) for one in weights)
        return np.array([statistic(*(array[chosen] for array in arrays)) for chosen in rows], dtype=np.float64)

    return bootstrap_weights(of_weights, n, clusters=clusters, level=level, draws=draws, rng=rng)


def bootstrap_weights(
    statistic: Callable[[np.ndarray], np.ndarray],
    n: int,
    *,
    clusters: ArrayLike | None = None,
    level: float = 0.95,
    draws: int = 4999,
    rng: np.random.Generator,
) -> Estimate:
    """Bootstrap interval of a statistic of weights.

    Args:
        statistic: Takes how often each row counts, shape (B, N), float64, and returns (B,) numbers.
        n: N, how many rows there are.
        clusters: The object that each row shows, shape (N,); rows of one object are drawn together.
        level: Confidence level.
        draws: How many resamples.
        rng: Where the resamples come from.

    Returns:
        The statistic with its interval; no interval (nan) where resampling cannot give one, and `method` says why.

    Raises:
        InputError: If there is no row, or not one cluster for each row.
    """
    (estimate,) = bootstrap_many(
        lambda weights: statistic(weights)[None], n, clusters=clusters, level=level, draws=draws, rng=rng
    )
    return estimate


def bootstrap_many(
    statistic: Callable[[np.ndarray], np.ndarray],
    n: int,
    *,
    clusters: ArrayLike | None = None,
    level: float = 0.95,
    draws: int = 4999,
    rng: np.random.Generator,
) -> list[Estimate]:
    """Bootstrap intervals of several statistics on the same resamples.

    Args:
        statistic: Takes how often each row counts, shape (B, N), float64, and returns (S, B) numbers.
        n: N, how many rows there are.
        clusters: The object that each row shows, shape (N,); rows of one object are drawn together.
        level: Confidence level.
        draws: How many resamples.
        rng: Where the resamples come from.

    Returns:
        S estimates; see `bootstrap_weights`.

    Raises:
        InputError: If there is no row, or not one cluster for each row.
    """
    check_level(level)
    if n < 1:
        raise InputError("there is nothing to resample: no rows")
    cluster_of = cluster_indices(clusters, n)  # (N,)
    objects = int(cluster_of.max()) + 1
    values = statistic(np.ones((1, n)))[:, 0]  # (S,)
    name = "" if clusters is None else f", {objects} objects"
    if objects < 2:
        return [_without_interval(value, n, level, f"a single object{name}") for value in values]

    def of_chosen(chosen: np.ndarray, axis: int = -1) -> np.ndarray:
        chosen = np.moveaxis(chosen, axis, -1)
        answer = statistic(_times_drawn(np.atleast_2d(chosen), objects)[:, cluster_of])
        return answer if chosen.ndim > 1 else answer[:, 0]

    with warnings.catch_warnings(), np.errstate(all="ignore"):
        # What is degenerate is found, named and answered below.
        warnings.simplefilter("ignore", stats.DegenerateDataWarning)
        result = stats.bootstrap(
            (np.arange(objects),),
            of_chosen,
            vectorized=True,
            confidence_level=level,
            n_resamples=draws,
            batch=max(1, _CELLS // n),
            method="BCa" if objects <= _BCA_UP_TO else "percentile",
            rng=rng,
        )
    made = f"{'BCa' if objects <= _BCA_UP_TO else 'percentile'} bootstrap{name}"
    ends = zip(values, *result.confidence_interval, result.bootstrap_distribution, strict=True)
    return [_estimate(Estimate(value, low, high, n, level, made), sample, name) for value, low, high, sample in ends]


def weighted_mean(values: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Means of values (N,) that count as often as weights (B, N) say, shape (B,).

    Args:
        values: Shape (N,).
        weights: How often each counts in each resample, shape (B, N).
    """
    return weights @ values / weights.sum(axis=1)


def weighted_median(values: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Medians of values (N,) that count as often as weights (B, N) say, shape (B,).

    Args:
        values: Shape (N,).
        weights: How often each counts in each resample, shape (B, N).

    Examples:
        >>> weighted_median(np.array([3.0, 1.0, 2.0]), np.array([[1.0, 1.0, 1.0], [2.0, 0.0, 2.0]]))
        array([2. , 2.5])
    """
    order = np.argsort(values, kind="stable")
    counted = np.cumsum(weights[:, order], axis=1)  # (B, N)
    half = counted[:, -1:] / 2
    ranked = values[order]
    return (ranked[(counted < half).sum(axis=1)] + ranked[(counted <= half).sum(axis=1)]) / 2


def _times_drawn(chosen: np.ndarray, objects: int) -> np.ndarray:
    """How often each object was drawn, (B, G) float64, from the objects drawn, (B, M)."""
    batch = len(chosen)
    flat = (chosen + objects * np.arange(batch)[:, None]).ravel()
    return np.bincount(flat, minlength=batch * objects).reshape(batch, objects).astype(np.float64)


def _estimate(made: Estimate, resampled: np.ndarray, name: str) -> Estimate:
    """The interval that the resamples of one statistic allow."""
    value, n, level = float(made.value), int(made.n), made.level
    defined = resampled[np.isfinite(resampled)]
    if not np.isfinite(value) or len(defined) < 0.95 * len(resampled):
        return _without_interval(value, n, level, f"too few resamples have this statistic{name}")
    if np.ptp(defined) <= 1e-12 * np.abs(defined).max():  # the same but for rounding
        return _without_interval(value, n, level, f"every resample gives the same value{name}")
    if np.isfinite(made.low) and np.isfinite(made.high):
        return Estimate(value, float(made.low), float(made.high), n, level, made.method)
    low, high = np.quantile(defined, [(1 - level) / 2, (1 + level) / 2])
    return Estimate(value, float(low), float(high), n, level, f"percentile bootstrap (BCa is undefined){name}")


def _without_interval(value: float, n: int, level: float, reason: str) -> Estimate:
    return Estimate(float(value), float("nan"), float("nan"), n, level, f"no interval: {reason}")
