"""Maximum mean discrepancy: do two clouds of latents come from one distribution?"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy.spatial.distance import pdist, squareform

from robustkit.errors import InputError
from robustkit.stats.checks import points
from robustkit.stats.estimate import format_p
from robustkit.stats.permutation import permutation_null, permutation_p


@dataclass(frozen=True)
class MMD:
    """Maximum mean discrepancy of two clouds.

    Attributes:
        squared: Unbiased estimate of MMD^2; about 0, and as often below it, for two samples of one distribution.
        p: Permutation p-value.
        null_high: The 95th percentile of the permutation null.
        bandwidths: The sigma of each Gaussian kernel, in the units of the latents; the kernel is their mean.
        paired: Whether relabelling swapped the two points of each image.
        draws: How many relabellings.
        n: Points of the first cloud.
        m: Points of the second cloud.
    """

    squared: float
    p: float
    null_high: float
    bandwidths: tuple[float, ...]
    paired: bool
    draws: int
    n: int
    m: int

    def __str__(self) -> str:
        return (
            f"MMD^2 = {self.squared:.3g} (same distribution: below {self.null_high:.3g} in 95%; {format_p(self.p)}), "
            f"n = {self.n} and {self.m}"
        )


def mmd_test(
    first: ArrayLike,
    second: ArrayLike,
    *,
    factors: tuple[float, ...] = (0.5, 1.0, 2.0),
    paired: bool = False,
    draws: int = 1999,
    rng: np.random.Generator,
) -> MMD:
    """Unbiased MMD^2 with Gaussian kernels around the median distance, and its permutation test.

    The kernel matrix of all points is computed once: 8 (N + M)^2 bytes.

    Args:
        first: The first cloud, shape (N, D), or (N,) for one dimension.
        second: The second cloud, shape (M, D).
        factors: The sigma of each kernel exp(-d^2 / (2 sigma^2)) as a multiple of the median pooled distance.
        paired: Whether row i of both is one image, such as a clean and a perturbed twin.
        draws: How many relabellings.
        rng: Where they come from.

    Raises:
        InputError: If a cloud has fewer than 2 points or one that is not finite, the dimensions differ, all points
            coincide, a factor is not above 0, or paired clouds differ in size.

    Source: Gretton et al. 2012, JMLR 13, 723, lemma 6.
    """
    one, two = points(first, "the first cloud"), points(second, "the second cloud")
    if one.shape[1] != two.shape[1]:
        raise InputError(f"both clouds need one dimension; they have {one.shape[1]} and {two.shape[1]}")
    if not factors or min(factors) <= 0:
        raise InputError(f"factors are {factors}; a kernel needs a width above 0")
    n, m = len(one), len(two)
    squared = pdist(np.concatenate([one, two]), "sqeuclidean")
    scale = _typical(squared)
    bandwidths = tuple(float(factor * scale) for factor in factors)
    kernel = squareform(np.mean([np.exp(-squared / (2 * sigma**2)) for sigma in bandwidths], axis=0))  # diagonal 0
    sums, total = kernel.sum(axis=1), kernel.sum()

    def discrepancy(membership: np.ndarray) -> np.ndarray:
        within_first = ((membership @ kernel) * membership).sum(axis=1)
        between = membership @ sums - within_first
        within_second = total - 2 * between - within_first
        return (within_first / (n * (n - 1)) + within_second / (m * (m - 1)) - 2 * between / (n * m))[None]

    observed, null = permutation_null(discrepancy, n, m, paired=paired, draws=draws, rng=rng)
    return MMD(
        squared=float(observed[0]),
        p=float(permutation_p(observed, null)[0]),
        null_high=float(np.quantile(null, 0.95)),
        bandwidths=bandwidths,
        paired=paired,
        draws=draws,
        n=n,
        m=m,
    )


def _typical(squared: np.ndarray) -> float:
    """Median distance; where most points coincide, the median of those that do not."""
    apart = squared[squared > 0]
    if not len(apart):
        raise InputError("all points of both clouds coincide: there is no distance to build a kernel on")
    median = np.median(squared)
    return float(np.sqrt(median if median > 0 else np.median(apart)))
