"""Two numbers for each image: does the second differ from the first, and by how much?"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike
from scipy.stats import binomtest, norm, rankdata, wilcoxon

from robustkit.errors import InputError
from robustkit.stats.checks import pairs
from robustkit.stats.estimate import Estimate, check_level, format_p
from robustkit.stats.resampling import bootstrap_weights, weighted_mean, weighted_median

_EXACT_UP_TO = 200  # pairs; the normal approximation is good to four digits there


@dataclass(frozen=True, eq=False)
class PairedShift:
    """How the second numbers of pairs differ from the first.

    Attributes:
        p: Two-sided p-value of Wilcoxon's signed-rank test, zeros ranked (Pratt).
        sign_p: Two-sided p-value of the sign test, which does not assume that the differences are symmetric.
        rank_biserial: (W+ - W-) / (n (n + 1) / 2), in [-1, 1]; 1 if every second number is larger.
        shift: Hodges-Lehmann estimate, the median of the means of all pairs of differences, with its interval.
        larger: Pairs whose second number is larger.
        smaller: Pairs whose second number is smaller.
        n: Pairs, equal ones among them.
    """

    p: float
    sign_p: float
    rank_biserial: float
    shift: Estimate
    larger: int
    smaller: int
    n: int

    def __str__(self) -> str:
        return f"shift {self.shift}; Wilcoxon {format_p(self.p)}, rank-biserial r = {self.rank_biserial:.2f}"


def paired_shift(first: ArrayLike, second: ArrayLike, *, level: float = 0.95) -> PairedShift:
    """Wilcoxon's signed-rank test of second minus first, with effect sizes.

    Args:
        first: One number for each image, shape (N,).
        second: The other number of each image, shape (N,), in the same order.
        level: Confidence level of the shift.

    Raises:
        InputError: If the lengths differ, a value is not finite, there are fewer than 5 pairs, or no pair differs.

    Source: Wilcoxon 1945; Pratt 1959; Hodges & Lehmann 1963; Kerby 2014 for the rank-biserial correlation.

    Examples:
        >>> base = [2.8, 3.1, 2.2, 4.0, 3.3, 2.9]
        >>> adapted = [3.6, 4.1, 2.7, 5.4, 3.2, 3.9]
        >>> print(paired_shift(base, adapted))
        shift 0.80 [-0.10, 1.40], n = 6; Wilcoxon p = 0.062, rank-biserial r = 0.90
    """
    one, two = pairs(first, second, at_least=5)
    difference = two - one
    if not difference.any():
        raise InputError("the two numbers are the same in every pair: there is no difference to rank")
    ranks = rankdata(np.abs(difference))
    n, larger, smaller = len(difference), int((difference > 0).sum()), int((difference < 0).sum())
    signed = float((ranks * np.sign(difference)).sum())
    test = wilcoxon(difference, zero_method="pratt", method="auto")
    return PairedShift(
        p=float(test.pvalue),  # pyright: ignore[reportAttributeAccessIssue]
        sign_p=float(binomtest(larger, larger + smaller, 0.5).pvalue),
        rank_biserial=signed / (n * (n + 1) / 2),
        shift=hodges_lehmann(difference, level=level),
        larger=larger,
        smaller=smaller,
        n=n,
    )


def hodges_lehmann(differences: ArrayLike, *, level: float = 0.95) -> Estimate:
    """Median of the Walsh averages, with the interval that inverts the signed-rank test.

    Holds N (N + 1) / 2 averages at once: 100 MB for 5000 pairs.

    Args:
        differences: One difference for each pair, shape (N,).
        level: Confidence level, reached or exceeded; no interval (nan) where N is too small for it.

    Raises:
        InputError: If a difference is not finite, or there are none.

    Source: Hollander, Wolfe & Chicken 2014, Nonparametric Statistical Methods, section 3.3.
    """
    check_level(level)
    sample, _ = pairs(differences, differences)
    n = len(sample)
    rows, columns = np.triu_indices(n)
    walsh = np.sort((sample[rows] + sample[columns]) / 2)
    cut = _signed_rank_cut(n, (1 - level) / 2)  # averages beyond each end of the interval
    if cut < 0:
        return Estimate(float(np.median(walsh)), np.nan, np.nan, n, level, "no interval: too few pairs for this level")
    low, high = walsh[cut], walsh[len(walsh) - 1 - cut]
    return Estimate(float(np.median(walsh)), float(low), float(high), n, level, "Hodges-Lehmann")


def paired_ratio(
    numerator: ArrayLike,
    denominator: ArrayLike,
    *,
    of: Literal["mean", "median", "geometric"] = "mean",
    clusters: ArrayLike | None = None,
    level: float = 0.95,
    draws: int = 4999,
    rng: np.random.Generator,
) -> Estimate:
    """Ratio of two numbers of the same images, with a bootstrap interval made on the logarithm.

    Args:
        numerator: One number for each image, shape (N,), such as a distance under the adapted model.
        denominator: The other number, shape (N,), such as the distance under the base model.
        of: `mean` or `median` for the ratio of the two, `geometric` for the geometric mean of each pair's ratio.
        clusters: The object that each pair shows, shape (N,), when some share one.
        level: Confidence level.
        draws: How many bootstrap resamples.
        rng: Where the resamples come from.

    Raises:
        InputError: If the lengths differ, a value is not finite, or a value is not above 0.

    Examples:
        >>> print(paired_ratio([4.0, 4.0, 4.0], [2.0, 2.0, 2.0], rng=np.random.default_rng(0)))
        2 [no interval], n = 3
    """
    top, bottom = pairs(numerator, denominator)
    smallest = min(top.min(), bottom.min())
    if smallest <= 0:
        raise InputError(f"a ratio of distances needs numbers above 0; the smallest is {smallest:.3g}")
    logarithms = np.log(top) - np.log(bottom)

    def log_ratio(weights: np.ndarray) -> np.ndarray:
        if of == "geometric":
            return weighted_mean(logarithms, weights)
        centre = {"mean": weighted_mean, "median": weighted_median}[of]
        return np.log(centre(top, weights)) - np.log(centre(bottom, weights))

    log = bootstrap_weights(log_ratio, len(top), clusters=clusters, level=level, draws=draws, rng=rng)
    value, low, high = (float(np.exp(end)) for end in (log.value, log.low, log.high))
    return Estimate(value, low, high, log.n, level, log.method)


def what_is_compared(first_seeds: int, second_seeds: int) -> str:
    """What a comparison of trained models speaks of.

    Args:
        first_seeds: How many training seeds the first method has.
        second_seeds: How many training seeds the second method has.

    Returns:
        `two checkpoints, not two methods` if either has a single seed: the variance between trainings is then unknown.

    Raises:
        InputError: If a method has no seed.

    Examples:
        >>> what_is_compared(1, 1)
        'two checkpoints, not two methods'
        >>> what_is_compared(10, 10)
        'two methods, of 10 and 10 trained seeds'
    """
    if min(first_seeds, second_seeds) < 1:
        raise InputError(f"each method needs a trained seed; there are {first_seeds} and {second_seeds}")
    if min(first_seeds, second_seeds) == 1:
        return "two checkpoints, not two methods"
    return f"two methods, of {first_seeds} and {second_seeds} trained seeds"


def _signed_rank_cut(n: int, tail: float) -> int:
    """The largest w with P(W+ <= w) <= tail under symmetry about 0, and -1 if no such w exists."""
    if n > _EXACT_UP_TO:
        spread = np.sqrt(n * (n + 1) * (2 * n + 1) / 24)
        return int(np.floor(n * (n + 1) / 4 - norm.isf(tail) * spread - 0.5))
    # The tolerance lets 2.5 % that rounding made 2.5 % + 1e-17 pass.
    return int(np.searchsorted(np.cumsum(_signed_rank_masses(n)), tail * (1 + 1e-9), side="right")) - 1


@cache
def _signed_rank_masses(n: int) -> np.ndarray:
    """P(W+ = w) for w = 0 ... n (n + 1) / 2: W+ is a sum of ranks, each taken with probability 1/2."""
    masses = np.ones(1)
    for rank in range(1, n + 1):
        masses = (np.pad(masses, (0, rank)) + np.pad(masses, (rank, 0))) / 2
    return masses
