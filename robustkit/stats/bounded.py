"""Means of numbers that lie between two bounds: tests against a margin, and intervals, without a normal law.

A rate of images, a chance for each image, a difference of two answers to one image: all lie between known bounds, are
few, and pile up at a few values, often at 0. The empirical likelihood over all distributions between the bounds needs
nothing else: what was never seen may still happen, so that 0 of n has an upper end as well.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import ndtr, ndtri

from robustkit.errors import InputError
from robustkit.stats.estimate import Estimate, check_level, plain

# Images added at the bound that speaks against the claim. The likelihood ratio alone errs up to twice as often as it
# should where few images differ; with half an image it errs at most as often, as simulations of n = 30 to 300 show.
AGAINST = 0.5
_STEPS = 34
_FEW = 32  # so few different values are counted, and not looked at one by one
_HAIR = 1e-12


def p_above(values: ArrayLike, margin: ArrayLike, *, low: float = 0.0, high: float = 1.0) -> np.ndarray | float:
    """One-sided p-value against "the mean is at most `margin`": small where the mean lies above it.

    Args:
        values: One number for each image, shape (..., N), all in [low, high].
        margin: What the mean is held against, broadcast against the leading shape.
        low: The lowest value possible.
        high: The highest value possible.

    Returns:
        p-values, the leading shape; 1 where the values do not lean that way, or there are none.

    Raises:
        InputError: If a value lies outside the bounds.

    Source: Owen 2001, Empirical Likelihood; Honda & Takemura 2010 for distributions between bounds.

    Examples:
        >>> print(f"{p_above([1.0] * 9 + [0.0], 0.5):.4f}")  # a sign test gives 0.0107
        0.0074
    """
    scaled, counts = _scaled(values, low, high)
    return plain(_p(scaled, counts, (np.asarray(margin, dtype=np.float64) - low) / (high - low)))


def p_below(values: ArrayLike, margin: ArrayLike, *, low: float = 0.0, high: float = 1.0) -> np.ndarray | float:
    """One-sided p-value against "the mean is at least `margin`": small where the mean lies below it.

    Args:
        values: One number for each image, shape (..., N), all in [low, high].
        margin: What the mean is held against, broadcast against the leading shape.
        low: The lowest value possible.
        high: The highest value possible.

    Returns:
        p-values, the leading shape; 1 where the values do not lean that way, or there are none.

    Raises:
        InputError: If a value lies outside the bounds.

    Examples:
        >>> print(f"{p_below([0.0] * 29, 0.1):.3f}")  # 0.9 ** 29
        0.047
    """
    scaled, counts = _scaled(values, low, high)
    return plain(_p(1 - scaled, counts, (high - np.asarray(margin, dtype=np.float64)) / (high - low)))


def bounded_mean(
    values: ArrayLike,
    *,
    low: float = 0.0,
    high: float = 1.0,
    tails: tuple[float, float] = (0.025, 0.025),
    against: float = AGAINST,
) -> Estimate:
    """Means with the interval that `p_above` and `p_below` belong to.

    Args:
        values: One number for each image, shape (..., N), all in [low, high].
        low: The lowest value possible.
        high: The highest value possible.
        tails: How often the lower end may lie above the true mean, and the upper end below it.
        against: Images added at either bound. By default those of the tests, whose claims may be false in one time of
            twenty at most; an interval that no claim is made of holds the truth as often as it says with 0.

    Returns:
        The means, the leading shape; the interval of no image is the whole range.

    Raises:
        InputError: If a value lies outside the bounds, or the tails are not between 0 and 0.5.

    Examples:
        >>> print(bounded_mean([0.0] * 150))
        0.000 [0.000, 0.024], n = 150
    """
    scaled, counts = _scaled(values, low, high)
    level, n = check_level(1 - sum(tails)), np.shape(values)[-1]
    mean = (scaled * counts).sum(-1) / n if n else np.full(counts.shape[:-1], np.nan)
    lower = _lower_end(scaled, counts, tails[0], against)
    upper = 1 - _lower_end(1 - scaled, counts, tails[1], against)
    value, bottom, top = (plain(low + (high - low) * end) for end in (mean, lower, upper))
    return Estimate(value, bottom, top, plain(np.full(mean.shape, n)), level, "empirical likelihood")


def distance(values: ArrayLike, margin: ArrayLike, *, low: float = 0.0, high: float = 1.0) -> np.ndarray | float:
    """How far a mean lies above a margin for each root of an image, in standard normal units; 0 where it does not.

    The test of `p_above` sees n images as far as the root of n times this: what the size of an audit is planned from.

    Args:
        values: One number for each image, shape (..., N), all in [low, high].
        margin: What the mean is held against, broadcast against the leading shape.
        low: The lowest value possible.
        high: The highest value possible.

    Raises:
        InputError: If a value lies outside the bounds.
    """
    scaled, counts = _scaled(values, low, high)
    aim = np.broadcast_to((np.asarray(margin, dtype=np.float64) - low) / (high - low), counts.shape[:-1])
    ratio = _ratio(scaled, counts, np.clip(aim, _HAIR, 1), 0.0)
    n = counts.sum(-1)
    return plain(np.where((scaled * counts).sum(-1) > aim * n, np.sqrt(2 * np.maximum(ratio, 0) / n), 0.0))


def _scaled(values: ArrayLike, low: float, high: float) -> tuple[np.ndarray, np.ndarray]:
    """Values in [0, 1] and how often each is there: few that are shared by all rows, or all of them once."""
    scaled = (np.asarray(values, dtype=np.float64) - low) / (high - low)
    # Written so that nan fails too.
    if not ((scaled >= -_HAIR) & (scaled <= 1 + _HAIR)).all():
        raise InputError(f"values must lie between {low:g} and {high:g}")
    scaled = np.clip(scaled, 0, 1).round(12)
    different = np.unique(scaled)
    if 0 < len(different) <= min(_FEW, scaled.shape[-1]):
        return different, np.stack([(scaled == one).sum(-1) for one in different], -1).astype(np.float64)
    return scaled, np.ones(scaled.shape)


def _p(scaled: np.ndarray, counts: np.ndarray, aim: np.ndarray) -> np.ndarray:
    """p-values against a mean of at most `aim`, of values in [0, 1]."""
    return ndtr(-_root(scaled, counts, np.broadcast_to(aim, counts.shape[:-1])))


def _root(scaled: np.ndarray, counts: np.ndarray, aim: np.ndarray, against: float = AGAINST) -> np.ndarray:
    """How far the mean lies above `aim`, in standard normal units; minus infinity where it does not.

    Twice the log of the likelihood ratio: of all distributions in [0, 1] against those with a mean of at most `aim`.
    """
    aim, n = np.clip(aim, _HAIR, 1), counts.sum(-1)
    ratio = _ratio(scaled, counts, aim, against)
    leans = (scaled * counts).sum(-1) > aim * (n + against)
    root = np.where(leans, np.sqrt(2 * np.maximum(ratio, 0)), -np.inf)
    if not counts.shape[-1]:
        return root
    # All alike: what is likeliest under a lower mean leaves some images at 0, and none was seen there. This is exact.
    least, most = np.where(counts > 0, scaled, np.inf).min(-1), np.where(counts > 0, scaled, -np.inf).max(-1)
    exact = np.where(most > aim, -ndtri(np.minimum(aim / np.maximum(most, _HAIR), 1) ** n), -np.inf)
    return np.where(least == most, exact, root)


def _ratio(scaled: np.ndarray, counts: np.ndarray, aim: np.ndarray, against: float) -> np.ndarray:
    """Log of the likelihood ratio; the dual has one unknown for each mean, s in [0, 1 / aim], and is concave in it."""
    left, right = np.zeros(aim.shape), (1 - _HAIR) / aim
    away = scaled - aim[..., None]
    for _ in range(_STEPS):
        s = (left + right) / 2
        slope = (counts * away / (1 + away * s[..., None])).sum(-1) - against * aim / (1 - aim * s)
        left, right = np.where(slope > 0, s, left), np.where(slope > 0, right, s)
    return (counts * np.log1p(away * left[..., None])).sum(-1) + against * np.log1p(-aim * left)


def _lower_end(scaled: np.ndarray, counts: np.ndarray, tail: float, against: float) -> np.ndarray:
    """The lowest mean that is not refused, of values in [0, 1]; 0 where nothing is refused."""
    aim = -ndtri(tail)
    bottom, top = np.zeros(counts.shape[:-1]), np.ones(counts.shape[:-1])
    for _ in range(_STEPS):
        middle = (bottom + top) / 2
        refused = _root(scaled, counts, middle, against) >= aim
        bottom, top = np.where(refused, middle, bottom), np.where(refused, top, middle)
    return np.where(bottom < 1e-9, 0.0, bottom)
