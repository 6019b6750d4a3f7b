"""Rates and their intervals: one rate, two independent rates, two rates of the same images."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import betaincinv
from scipy.stats import binom, hypergeom, norm

from robustkit.errors import InputError
from robustkit.stats.estimate import Estimate, check_level, format_p, plain


def wilson(successes: ArrayLike, n: ArrayLike, *, level: float = 0.95) -> Estimate:
    """Rates with Wilson's score interval, the one to print beside a rate.

    Args:
        successes: How many succeeded, integers in [0, n], any shape.
        n: How many were tried, broadcast against `successes`; 0 gives a rate and an interval of nan.
        level: Confidence level.

    Returns:
        The rates, the shape of the two arguments together.

    Raises:
        InputError: If a count is negative, not whole, not finite, or above n.

    Source: Wilson 1927, doi:10.1080/01621459.1927.10502953.

    Examples:
        >>> print(wilson(136, 150))
        0.907 [0.849, 0.944], n = 150
    """
    k, n, rate = _rates(successes, n)
    low, high = _wilson_ends(rate, np.where(n > 0, n, np.nan), level)
    # Rounding must not leave 1e-17 where the end is exactly 0 or 1.
    low = np.where((k == 0) & (n > 0), 0.0, low)
    high = np.where((k == n) & (n > 0), 1.0, high)
    return Estimate(plain(rate), plain(low), plain(high), plain(n), level, "Wilson")


def wilson_shares(shares: ArrayLike, chosen: ArrayLike = True, *, level: float = 0.95) -> Estimate:
    """Mean shares with Wilson's interval, where each image has a share of correct predictions rather than a yes or no.

    A share that is 0 or 1 for each image is a rate, and the interval is that of `wilson`. Means over draws of random
    numbers vary less from image to image; the interval counts as many images as would vary as little, so that it holds
    the variance of the images and that of the draws.

    Args:
        shares: In [0, 1], shape (..., N).
        chosen: Which images count, bool, broadcast against `shares`; none gives a rate and an interval of nan.
        level: Confidence level.

    Returns:
        The means, the leading shape of the two arguments together; `n` counts images.

    Raises:
        InputError: If a share is not in [0, 1].

    Examples:
        >>> print(wilson_shares([1.0] * 136 + [0.0] * 14))
        0.907 [0.849, 0.944], n = 150
        >>> print(wilson_shares([0.9] * 75 + [0.6] * 75))
        0.750 [0.725, 0.773], n = 150
    """
    found, counted = np.broadcast_arrays(np.asarray(shares, dtype=np.float64), np.asarray(chosen, dtype=bool))
    if not ((found >= 0) & (found <= 1)).all():  # written so that nan fails too
        raise InputError("shares must lie in [0, 1]")
    n = counted.sum(-1)
    whole = np.where(n > 0, n, np.nan)
    mean = np.where(counted, found, 0).sum(-1) / whole
    spread = np.where(counted, (found - mean[..., None]) ** 2, 0).sum(-1) / whole
    # Without any spread (all right, or all shares alike) every image counts once.
    size = np.where(spread > 1e-12, n * mean * (1 - mean) / np.where(spread > 1e-12, spread, 1), whole)
    low, high = _wilson_ends(mean, size, level)
    low, high = np.where(mean == 0, 0.0, low), np.where(mean == 1, 1.0, high)
    return Estimate(plain(mean), plain(low), plain(high), plain(n), level, "Wilson")


def clopper_pearson(successes: ArrayLike, n: ArrayLike, *, level: float = 0.95) -> Estimate:
    """Rates with the exact interval of Clopper and Pearson: never too short, so the one for certificates.

    Args:
        successes: How many succeeded, integers in [0, n], any shape.
        n: How many were tried, broadcast against `successes`; 0 gives a rate and an interval of nan.
        level: Confidence level.

    Returns:
        The rates, the shape of the two arguments together.

    Raises:
        InputError: If a count is negative, not whole, not finite, or above n.

    Source: Clopper & Pearson 1934, doi:10.1093/biomet/26.4.404.

    Examples:
        >>> print(clopper_pearson(0, 150))
        0.000 [0.000, 0.024], n = 150
    """
    k, n, rate = _rates(successes, n)
    tail = (1 - check_level(level)) / 2
    # The beta function needs positive parameters; the ends that it cannot give are 0 and 1 by definition.
    low = np.where(k > 0, betaincinv(np.maximum(k, 1), n - k + 1, tail), 0.0)
    high = np.where(k < n, betaincinv(k + 1, np.maximum(n - k, 1), 1 - tail), 1.0)
    low, high = (np.where(n > 0, end, np.nan) for end in (low, high))
    return Estimate(plain(rate), plain(low), plain(high), plain(n), level, "Clopper-Pearson")


def hypergeometric(successes: int, n: int, population: int, *, level: float = 0.95) -> tuple[int, int]:
    """The exact interval for how many of a finite population would succeed, from a sample without repetition.

    It is what `clopper_pearson` is for an infinite population, and shorter: what was drawn is known.

    Args:
        successes: How many of the sample succeeded, in [0, n].
        n: How many were drawn, at random and each once, in [0, `population`].
        population: How many there are.
        level: Confidence level; each end alone holds at (1 + level) / 2.

    Returns:
        The fewest and the most of the population that would succeed, those of the sample among them.

    Raises:
        InputError: If a count is out of its range.

    Source: Buonaccorsi 1987, doi:10.1080/00031305.1987.10475484.

    Examples:
        >>> hypergeometric(0, 20_000, 380_000)
        (0, 68)
        >>> hypergeometric(3, 10, 10)
        (3, 3)
    """
    if not 0 <= successes <= n <= population:
        raise InputError(f"expected 0 <= successes <= n <= population, got {successes}, {n} and {population}")
    tail = (1 - check_level(level)) / 2
    failures = n - successes
    low = _first(successes, population - failures, lambda m: bool(hypergeom.sf(successes - 1, population, m, n) > tail))
    beyond = population - failures + 1
    high = (
        _first(successes, beyond, lambda m: m == beyond or bool(hypergeom.cdf(successes, population, m, n) <= tail)) - 1
    )
    return low, high


def _first(low: int, high: int, holds: Callable[[int], bool]) -> int:
    """The first whole number from `low` to `high` for which something holds that holds for all after it too."""
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if holds(middle) else (middle + 1, high)
    return low


def newcombe(
    successes: ArrayLike, n: ArrayLike, other_successes: ArrayLike, other_n: ArrayLike, *, level: float = 0.95
) -> Estimate:
    """Difference of two independent rates, first minus second, with Newcombe's interval.

    For two rates of the same images use `newcombe_paired`.

    Args:
        successes: How many of the first sample succeeded, any shape.
        n: Size of the first sample.
        other_successes: How many of the second sample succeeded.
        other_n: Size of the second sample.
        level: Confidence level.

    Returns:
        The differences, in [-1, 1]; `n` counts both samples.

    Raises:
        InputError: If a count is negative, not whole, not finite, or above its n.

    Source: Newcombe 1998, method 10, doi:10.1002/(SICI)1097-0258(19980430)17:8<873::AID-SIM779>3.0.CO;2-I.

    Examples:
        >>> print(newcombe(56, 70, 48, 80))
        0.20 [0.05, 0.33], n = 150
    """
    one, two = wilson(successes, n, level=level), wilson(other_successes, other_n, level=level)
    difference = np.subtract(one.value, two.value)
    low = difference - np.hypot(np.subtract(one.value, one.low), np.subtract(two.high, two.value))
    high = difference + np.hypot(np.subtract(one.high, one.value), np.subtract(two.value, two.low))
    total = np.add(one.n, two.n)
    return Estimate(plain(difference), plain(low), plain(high), plain(total), level, "Newcombe")


@dataclass(frozen=True)
class PairedCounts:
    """How two yes-or-no answers about the same images agree.

    Attributes:
        both: Images for which both say yes.
        first_only: Images for which only the first says yes.
        second_only: Images for which only the second says yes.
        neither: Images for which both say no.
    """

    both: int
    first_only: int
    second_only: int
    neither: int

    @property
    def n(self) -> int:
        """How many images."""
        return self.both + self.first_only + self.second_only + self.neither

    def __str__(self) -> str:
        return (
            f"both {self.both}, first only {self.first_only}, second only {self.second_only}, "
            f"neither {self.neither}, n = {self.n}"
        )


def paired_counts(first: ArrayLike, second: ArrayLike) -> PairedCounts:
    """Counts how two answers about the same images agree.

    Args:
        first: The first answer of each image, shape (N,), bool.
        second: The second answer of each image, shape (N,), bool, in the same order.

    Raises:
        InputError: If the two are not bool vectors of one length.

    Examples:
        >>> print(paired_counts([True, True, False], [True, False, False]))
        both 1, first only 1, second only 0, neither 1, n = 3
    """
    first, second = np.asarray(first), np.asarray(second)
    if first.ndim != 1 or first.shape != second.shape:
        raise InputError(f"pairs need two vectors of one length; the shapes are {first.shape} and {second.shape}")
    if first.size and not (first.dtype == bool and second.dtype == bool):
        raise InputError(f"pairs need bool answers; the types are {first.dtype} and {second.dtype}")
    first, second = first.astype(bool), second.astype(bool)
    return PairedCounts(
        int((first & second).sum()),
        int((first & ~second).sum()),
        int((~first & second).sum()),
        int((~first & ~second).sum()),
    )


def newcombe_paired(
    both: ArrayLike, first_only: ArrayLike, second_only: ArrayLike, neither: ArrayLike, *, level: float = 0.95
) -> Estimate:
    """Difference of two rates of the same images, first minus second, with Newcombe's paired interval.

    Args:
        both: Images for which both answers are yes, any shape; see `paired_counts`.
        first_only: Images for which only the first answer is yes.
        second_only: Images for which only the second answer is yes.
        neither: Images for which both answers are no.
        level: Confidence level.

    Returns:
        The differences, in [-1, 1]; nan where there is no image.

    Raises:
        InputError: If a count is negative, not whole or not finite.

    Source: Newcombe 1998, method 10, doi:10.1002/(SICI)1097-0258(19981130)17:22<2635::AID-SIM954>3.0.CO;2-C.

    Examples:
        >>> print(newcombe_paired(36, 12, 2, 0))
        0.20 [0.06, 0.34], n = 50
    """
    a, b, c, d = np.broadcast_arrays(*(_counts(x) for x in (both, first_only, second_only, neither)))
    n = a + b + c + d
    one, two = wilson(a + b, n, level=level), wilson(a + c, n, level=level)
    phi = _phi(a, b, c, d)
    down1, up1 = np.subtract(one.value, one.low), np.subtract(one.high, one.value)
    down2, up2 = np.subtract(two.value, two.low), np.subtract(two.high, two.value)
    difference = np.where(n > 0, (b - c) / np.maximum(n, 1), np.nan)
    # The clip takes away rounding alone: the form under the root is never negative for |phi| <= 1.
    low = difference - np.sqrt(np.maximum(down1**2 - 2 * phi * down1 * up2 + up2**2, 0))
    high = difference + np.sqrt(np.maximum(up1**2 - 2 * phi * up1 * down2 + down2**2, 0))
    return Estimate(plain(difference), plain(low), plain(high), plain(n), level, "Newcombe, paired")


@dataclass(frozen=True, eq=False)
class McNemar:
    """The test that two rates of the same images are equal.

    Attributes:
        p: Exact two-sided p-value, a float or an array; 1 where no image disagrees.
        mid_p: Its mid-p twin: less conservative, and not guaranteed.
        first_only: Images for which only the first answer is yes.
        second_only: Images for which only the second answer is yes.
    """

    p: float | np.ndarray
    mid_p: float | np.ndarray
    first_only: int | np.ndarray
    second_only: int | np.ndarray

    def __str__(self) -> str:
        if np.ndim(self.p):
            rows = np.broadcast(self.p, self.mid_p, self.first_only, self.second_only)
            return "\n".join(str(McNemar(*row)) for row in rows)
        return (
            f"{format_p(float(self.p))} (exact McNemar, {self.first_only} against {self.second_only} images; "
            f"mid-{format_p(float(self.mid_p))})"
        )


def mcnemar(first_only: ArrayLike, second_only: ArrayLike) -> McNemar:
    """McNemar's exact test, and its mid-p twin, that two rates of the same images are equal.

    Args:
        first_only: Images for which only the first answer is yes, any shape; see `paired_counts`.
        second_only: Images for which only the second answer is yes.

    Raises:
        InputError: If a count is negative, not whole or not finite.

    Source: Fagerland, Lydersen & Laake 2013, doi:10.1186/1471-2288-13-91.

    Examples:
        >>> print(mcnemar(1, 7))
        p = 0.070 (exact McNemar, 1 against 7 images; mid-p = 0.039)
    """
    b, c = np.broadcast_arrays(_counts(first_only), _counts(second_only))
    fewer, discordant = np.minimum(b, c), b + c
    below, here = binom.cdf(fewer, discordant, 0.5), binom.pmf(fewer, discordant, 0.5)
    exact = np.minimum(2 * below, 1.0)
    # At a tie the two extreme outcomes are one outcome; without any discordant image nothing speaks against equality.
    mid = np.where(b == c, np.where(discordant > 0, 1 - here / 2, 1.0), 2 * below - here)
    return McNemar(plain(exact), plain(mid), plain(b), plain(c))


def _wilson_ends(rate: np.ndarray, size: np.ndarray, level: float) -> tuple[np.ndarray, np.ndarray]:
    z = norm.isf((1 - check_level(level)) / 2)
    centre = (rate + z**2 / (2 * size)) / (1 + z**2 / size)
    half = z / (1 + z**2 / size) * np.sqrt(rate * (1 - rate) / size + z**2 / (4 * size**2))
    return centre - half, centre + half


def _counts(values: ArrayLike) -> np.ndarray:
    numbers = np.asarray(values, dtype=np.float64)
    if not np.isfinite(numbers).all() or (numbers < 0).any() or (numbers != np.floor(numbers)).any():
        raise InputError(f"counts are whole numbers of at least 0; got {values!r}")
    return numbers.astype(np.int64)


def _rates(successes: ArrayLike, n: ArrayLike) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Successes, sizes and rates of one shape; the rate of nothing is nan."""
    k, n = np.broadcast_arrays(_counts(successes), _counts(n))
    if (k > n).any():
        worst = np.argmax(k - n)
        raise InputError(f"{k.flat[worst]} successes among n = {n.flat[worst]}; successes cannot exceed n")
    return k, n, np.where(n > 0, k / np.maximum(n, 1), np.nan)


def _phi(a: np.ndarray, b: np.ndarray, c: np.ndarray, d: np.ndarray) -> np.ndarray:
    """Correlation of the two answers, with Newcombe's continuity correction when it is positive."""
    scale = np.sqrt((a + b).astype(np.float64) * (c + d) * (a + c) * (b + d))
    product = a.astype(np.float64) * d - b.astype(np.float64) * c
    corrected = np.where(product > 0, np.maximum(product - (a + b + c + d) / 2, 0), product)
    return np.where(scale > 0, corrected / np.where(scale > 0, scale, 1), 0.0)
