"""How long images hold out: queries or generations until a flip, censored where the budget ended first."""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats

from robustkit.errors import InputError
from robustkit.stats.checks import vector
from robustkit.stats.estimate import Estimate, check_level, format_p
from robustkit.stats.proportions import McNemar, mcnemar


@dataclass(frozen=True, eq=False)
class Survival:
    """The share of images that still hold out after so many queries (Kaplan-Meier).

    Attributes:
        times: The distinct durations, increasing, shape (T,).
        surviving: Share that holds out beyond each of them, shape (T,); 1 before the first.
        low: Lower end of its pointwise interval, shape (T,); nan while the share is 1 or once it is 0.
        high: Upper end, shape (T,).
        at_risk: Images not yet flipped or censored just before each time, shape (T,).
        flips: Images that flip at each time, shape (T,).
        median: Duration by which half have flipped, with its interval; inf where fewer than half do.
        restricted_mean: Mean duration up to the horizon.
        horizon: The end of the restricted mean.
        n: Images.
        flipped: Images that flipped.
        level: Confidence level.
    """

    times: np.ndarray
    surviving: np.ndarray
    low: np.ndarray
    high: np.ndarray
    at_risk: np.ndarray
    flips: np.ndarray
    median: Estimate
    restricted_mean: Estimate
    horizon: float
    n: int
    flipped: int
    level: float

    def __str__(self) -> str:
        return (
            f"{self.flipped} of {self.n} flipped; median {self.median}; "
            f"mean up to {self.horizon:g}: {self.restricted_mean}"
        )


def kaplan_meier(
    durations: ArrayLike, flipped: ArrayLike, *, horizon: float | None = None, level: float = 0.95
) -> Survival:
    """Kaplan-Meier curve with exponential Greenwood intervals, median and restricted mean.

    Args:
        durations: Queries or generations until the flip, or until the search gave up, shape (N,), above 0.
        flipped: Whether the image flipped, shape (N,), bool; the others are censored.
        horizon: End of the restricted mean; the longest duration if not given. Two models need the same.
        level: Confidence level.

    Raises:
        InputError: If the shapes differ, a duration is not finite or not above 0, or the horizon lies outside
            (0, longest duration].

    Source: Kaplan & Meier 1958; Brookmeyer & Crowley 1982 for the median; Klein & Moeschberger 2003, section 4.5,
        for the restricted mean. SciPy computes the curve.

    Examples:
        >>> print(kaplan_meier([400, 800, 800, 1200, 2000, 2000], [True, True, True, True, False, False]))
        4 of 6 flipped; median 800 [400, inf], n = 6; mean up to 2000: 1200 [711, 1689], n = 6
    """
    check_level(level)
    time, event = _durations(durations, flipped)
    end = float(time.max() if horizon is None else horizon)
    if not 0 < end <= time.max():
        raise InputError(f"the horizon is {end:g}; it must lie above 0 and up to the longest duration, {time.max():g}")
    curve = stats.ecdf(stats.CensoredData(uncensored=time[event], right=time[~event])).sf
    with warnings.catch_warnings():
        # The interval has no ends where all or none hold out; the docstring says so.
        warnings.simplefilter("ignore", RuntimeWarning)
        interval = curve.confidence_interval(level, method="log-log")
    low, high = interval.low.probabilities, interval.high.probabilities
    times = curve.quantiles
    at_risk = (time[:, None] >= times).sum(axis=0)
    flips = (time[event][:, None] == times).sum(axis=0)
    n = len(time)
    return Survival(
        times=times,
        surviving=curve.probabilities,
        low=low,
        high=high,
        at_risk=at_risk,
        flips=flips,
        median=_median(times, curve.probabilities, low, high, n, level),
        restricted_mean=_restricted_mean(times, curve.probabilities, at_risk, flips, end, level),
        horizon=end,
        n=n,
        flipped=int(event.sum()),
        level=level,
    )


@dataclass(frozen=True)
class LogRank:
    """The test that two groups of images hold out equally long.

    Attributes:
        statistic: The standardised difference; positive if the first group flips sooner than expected.
        p: Two-sided p-value.
    """

    statistic: float
    p: float

    def __str__(self) -> str:
        return f"log-rank z = {self.statistic:.2f}, {format_p(self.p)}"


def log_rank(durations: ArrayLike, flipped: ArrayLike, other: ArrayLike, other_flipped: ArrayLike) -> LogRank:
    """Log-rank test of two unpaired groups; for two models on the same images see `flips_sooner`.

    Args:
        durations: Queries or generations of the first group, shape (N,), above 0.
        flipped: Whether each of them flipped, shape (N,), bool.
        other: Those of the second group, shape (M,).
        other_flipped: Whether each of them flipped, shape (M,), bool.

    Raises:
        InputError: If shapes differ, a duration is not finite or not above 0, no image flips in either group, or the
            groups are not at risk together at any flip.

    Source: Mantel 1966; SciPy computes it.
    """
    (one, one_event), (two, two_event) = _durations(durations, flipped), _durations(other, other_flipped)
    if not (one_event.any() or two_event.any()):
        raise InputError("no image flips in either group: there are no durations to compare")
    with np.errstate(invalid="ignore", divide="ignore"):
        result = stats.logrank(
            stats.CensoredData(uncensored=one[one_event], right=one[~one_event]),
            stats.CensoredData(uncensored=two[two_event], right=two[~two_event]),
        )
    if not np.isfinite(result.pvalue):
        raise InputError("at no flip are images of both groups still at risk: their durations cannot be compared")
    return LogRank(float(result.statistic), float(result.pvalue))


def flips_sooner(durations: ArrayLike, flipped: ArrayLike, other: ArrayLike, other_flipped: ArrayLike) -> McNemar:
    """Sign test of which of two models flips first, on the same images.

    A pair speaks only if its order is known: the earlier of the two must be a flip, and not at the same time.

    Args:
        durations: Queries or generations under the first model, shape (N,), above 0.
        flipped: Whether each image flipped under it, shape (N,), bool.
        other: Those under the second model, shape (N,), the same images in the same order.
        other_flipped: Whether each image flipped under it, shape (N,), bool.

    Returns:
        The exact test; `first_only` counts the images that flip sooner under the first model.

    Raises:
        InputError: If shapes differ or a duration is not finite or not above 0.

    Examples:
        >>> print(flips_sooner([2, 3, 9, 4], [True, True, False, True], [5, 9, 9, 1], [True, False, False, True]))
        p = 1.000 (exact McNemar, 2 against 1 images; mid-p = 0.625)
    """
    (one, one_event), (two, two_event) = _durations(durations, flipped), _durations(other, other_flipped)
    if len(one) != len(two):
        raise InputError(f"pairs need the same images; there are {len(one)} and {len(two)}")
    # A search that gave up at the time of the other's flip has outlasted it.
    first = one_event & ((one < two) | ((one == two) & ~two_event))
    second = two_event & ((two < one) | ((two == one) & ~one_event))
    return mcnemar(int(first.sum()), int(second.sum()))


def _durations(durations: ArrayLike, flipped: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    time, event = vector(durations, "durations"), np.asarray(flipped)
    if event.shape != time.shape or event.dtype != bool:
        raise InputError(
            f"flipped needs one bool for each of the {len(time)} durations; it has {event.shape} {event.dtype}"
        )
    if time.min() <= 0:
        raise InputError(f"durations must be above 0; the smallest is {time.min():g}")
    return time, event


def _median(
    times: np.ndarray, surviving: np.ndarray, low: np.ndarray, high: np.ndarray, n: int, level: float
) -> Estimate:
    """First time at which the curve, and each end of its interval, is at most one half."""
    at, first, last = (_first(times, ends <= 0.5) for ends in (surviving, low, high))
    return Estimate(at, first, last, n, level, "Brookmeyer-Crowley")


def _first(times: np.ndarray, reached: np.ndarray) -> float:
    return float(times[np.argmax(reached)]) if reached.any() else float("inf")


def _restricted_mean(
    times: np.ndarray, surviving: np.ndarray, at_risk: np.ndarray, flips: np.ndarray, horizon: float, level: float
) -> Estimate:
    """Area under the curve up to the horizon, with its normal interval."""
    inside = times < horizon
    edges = np.concatenate([[0.0], times[inside], [horizon]])
    steps = np.concatenate([[1.0], surviving[inside]])
    areas = np.diff(edges) * steps
    later = areas[::-1].cumsum()[::-1][1:]  # area from each time on
    risk, events = at_risk[inside], flips[inside]
    left = risk - events
    # Once nobody is left the curve is 0 and so is the area: the term is 0, not 0 / 0.
    variance = np.where(left > 0, later**2 * events / (risk * np.maximum(left, 1)), 0.0).sum()
    half = stats.norm.isf((1 - level) / 2) * np.sqrt(variance)
    mean, n = float(areas.sum()), int(at_risk[0])
    if variance == 0:
        return Estimate(mean, np.nan, np.nan, n, level, "no interval: no image flips before the horizon")
    return Estimate(mean, mean - half, min(mean + half, horizon), n, level, "Greenwood")
