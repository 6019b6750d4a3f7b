"""How far two distributions of one quantity lie apart, beside how far two samples of one distribution would lie."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import rel_entr

from robustkit.errors import InputError
from robustkit.stats.checks import vector
from robustkit.stats.estimate import format_p
from robustkit.stats.permutation import permutation_null, permutation_p

_MOST_BINS = 20  # beyond these the null floor eats the answer at a few hundred images


def js_distance(p: ArrayLike, q: ArrayLike, *, base: float = 2.0, axis: int = -1) -> np.ndarray:
    """Jensen-Shannon distance, the square root of the divergence, of discrete distributions.

    Args:
        p: Probabilities or counts, shape (..., K), scaled to sum to 1 along `axis`.
        q: The others, broadcast against `p`.
        base: Base of the logarithm: 2 for distances in [0, 1], e for distances in [0, sqrt(log 2) = 0.833].
        axis: The axis that holds the K outcomes.

    Returns:
        Distances, shape (...). Computed in float64 and never nan, unlike SciPy's for nearly equal inputs.

    Raises:
        InputError: If a number is negative or not finite, a distribution sums to 0, or the base is not above 1.

    Source: Endres & Schindelin 2003, doi:10.1109/TIT.2003.813506.

    Examples:
        >>> float(js_distance([1, 0], [0, 1]))
        1.0
    """
    if not base > 1:
        raise InputError(f"base is {base}; a logarithm needs a base above 1, such as 2 or e")
    one, two = (_distribution(values, axis) for values in (p, q))
    middle = (one + two) / 2
    # Half of the smallest number is 0; so small a probability adds nothing.
    each = np.where(middle > 0, rel_entr(one, middle) + rel_entr(two, middle), 0.0)
    divergence = each.sum(axis=axis) / (2 * np.log(base))
    return np.sqrt(np.maximum(divergence, 0.0))


@dataclass(frozen=True)
class BinChoice:
    """The Jensen-Shannon distance for one number of bins.

    Attributes:
        bins: How many equal bins over the pooled range.
        js: The distance.
        null_mean: Its mean when both samples come from one distribution.
        p: Permutation p-value.
    """

    bins: int
    js: float
    null_mean: float
    p: float


@dataclass(frozen=True, eq=False)
class Divergence:
    """How far two samples lie apart.

    Attributes:
        js: Jensen-Shannon distance of the two histograms.
        null_mean: Its mean when both samples come from one distribution: the floor below which it says nothing.
        null_high: The 95th percentile of that null.
        excess: js^2 minus the mean of js^2 under the null; about 0 for two samples of one distribution.
        p: Permutation p-value of js.
        sensitivity: js for other numbers of bins.
        edges: Edges of the bins, over the pooled range, shape (B + 1,).
        first_counts: Histogram of the first sample, shape (B,).
        second_counts: Histogram of the second sample, shape (B,).
        wasserstein: Wasserstein-1 distance, in the units of the quantity; needs no bins.
        wasserstein_p: Its permutation p-value.
        energy: Energy distance.
        energy_p: Its permutation p-value.
        ks: Kolmogorov-Smirnov statistic.
        ks_p: Its permutation p-value.
        base: Base of the logarithm of js.
        paired: Whether relabelling swapped the two numbers of each image.
        draws: How many relabellings.
        n: Size of the first sample.
        m: Size of the second sample.
    """

    js: float
    null_mean: float
    null_high: float
    excess: float
    p: float
    sensitivity: tuple[BinChoice, ...]
    edges: np.ndarray
    first_counts: np.ndarray
    second_counts: np.ndarray
    wasserstein: float
    wasserstein_p: float
    energy: float
    energy_p: float
    ks: float
    ks_p: float
    base: float
    paired: bool
    draws: int
    n: int
    m: int

    def __str__(self) -> str:
        return (
            f"JS distance {self.js:.2f} (same distribution: {self.null_mean:.2f} on average, "
            f"below {self.null_high:.2f} in 95%; {format_p(self.p)}; {len(self.first_counts)} bins, "
            f"base {'e' if np.isclose(self.base, np.e) else f'{self.base:g}'}); "
            f"Wasserstein {self.wasserstein:.3g} ({format_p(self.wasserstein_p)}); n = {self.n} and {self.m}"
        )


def compare_samples(
    first: ArrayLike,
    second: ArrayLike,
    *,
    bins: int | None = None,
    also_bins: tuple[int, ...] = (5, 10, 20, 30),
    base: float = 2.0,
    paired: bool = False,
    draws: int = 1999,
    rng: np.random.Generator,
) -> Divergence:
    """Jensen-Shannon, Wasserstein, energy and Kolmogorov-Smirnov distance of two samples, each with its null.

    Args:
        first: One quantity of the first sample, shape (N,).
        second: The same quantity of the second sample, shape (M,).
        bins: How many equal bins over the pooled range; by Freedman and Diaconis' rule, at most 20, if not given.
        also_bins: Other numbers of bins to show beside it.
        base: Base of the logarithm of the Jensen-Shannon distance.
        paired: Whether row i of both is one image.
        draws: How many relabellings the nulls rest on.
        rng: Where they come from.

    Raises:
        InputError: If a sample has fewer than 5 values or one that is not finite, all values are the same, paired
            samples differ in size, or a number of bins is below 2.

    Examples:
        >>> rng = np.random.default_rng(1)
        >>> result = compare_samples(rng.normal(size=150), rng.normal(size=150), rng=rng)
        >>> print(f"JS {result.js:.2f}, of two samples of one distribution {result.null_mean:.2f}")
        JS 0.16, of two samples of one distribution 0.21
    """
    one, two = vector(first, "the first sample", at_least=5), vector(second, "the second sample", at_least=5)
    pooled = np.concatenate([one, two])
    if np.ptp(pooled) == 0:
        raise InputError(f"all values of both samples are {pooled[0]:g}: there is nothing to compare")
    chosen = _bin_count(pooled) if bins is None else bins
    counts = [chosen, *(other for other in also_bins if other != chosen)]
    if min(counts) < 2:
        raise InputError(f"bins are {counts}; a histogram to compare needs at least 2")
    onehots = [_onehot(pooled, count) for count in counts]
    order = np.argsort(pooled, kind="stable")

    def distances(membership: np.ndarray) -> np.ndarray:
        binned = [js_distance(membership @ onehot, (1 - membership) @ onehot, base=base) for onehot in onehots]
        return np.stack([*_cdf_distances(membership[:, order], pooled[order]), *binned])

    observed, null = permutation_null(distances, len(one), len(two), paired=paired, draws=draws, rng=rng)
    p, floor = permutation_p(observed, null), null.mean(axis=1)
    edges = np.histogram_bin_edges(pooled, chosen)
    return Divergence(
        js=float(observed[3]),
        null_mean=float(floor[3]),
        null_high=float(np.quantile(null[3], 0.95)),
        excess=float(observed[3] ** 2 - (null[3] ** 2).mean()),
        p=float(p[3]),
        sensitivity=tuple(
            BinChoice(count, float(observed[3 + i]), float(floor[3 + i]), float(p[3 + i]))
            for i, count in enumerate(counts)
        ),
        edges=edges,
        first_counts=np.histogram(one, edges)[0],
        second_counts=np.histogram(two, edges)[0],
        wasserstein=float(observed[0]),
        wasserstein_p=float(p[0]),
        energy=float(observed[1]),
        energy_p=float(p[1]),
        ks=float(observed[2]),
        ks_p=float(p[2]),
        base=base,
        paired=paired,
        draws=draws,
        n=len(one),
        m=len(two),
    )


def _distribution(values: ArrayLike, axis: int) -> np.ndarray:
    weights = np.asarray(values, dtype=np.float64)
    if not np.isfinite(weights).all() or (weights < 0).any():
        raise InputError("probabilities must be finite and at least 0")
    most = weights.max(axis=axis, keepdims=True)
    if (most == 0).any():
        raise InputError("a distribution sums to 0: it has no probability to compare")
    weights = weights / most  # their sum may be more than a number can hold
    return weights / weights.sum(axis=axis, keepdims=True)


def _bin_count(pooled: np.ndarray) -> int:
    """Freedman and Diaconis' rule, at least 2 and at most 20; 20 where half of the values are the same."""
    width = 2 * np.subtract(*np.percentile(pooled, [75, 25])) / len(pooled) ** (1 / 3)
    if width <= 0:
        return _MOST_BINS
    return int(np.clip(np.ceil(np.ptp(pooled) / width), 2, _MOST_BINS))


def _onehot(pooled: np.ndarray, bins: int) -> np.ndarray:
    """Which bin each value falls into, (N + M, B); the last bin holds its upper edge, as in np.histogram."""
    edges = np.histogram_bin_edges(pooled, bins)
    index = np.minimum(np.searchsorted(edges, pooled, side="right") - 1, bins - 1)
    return np.eye(bins)[index]


def _cdf_distances(membership: np.ndarray, ranked: np.ndarray) -> np.ndarray:
    """Wasserstein-1, energy and Kolmogorov-Smirnov distance, (3, B), of memberships (B, N + M) of ranked values."""
    inside = np.cumsum(membership, axis=1)
    outside = np.arange(1, len(ranked) + 1) - inside
    gap = inside / inside[:, -1:] - outside / outside[:, -1:]  # difference of the two distribution functions
    steps = np.diff(ranked)
    last_of_ties = np.append(steps > 0, True)
    gap_between = gap[:, :-1]
    return np.stack(
        [
            np.abs(gap_between) @ steps,
            np.sqrt(2 * (gap_between**2) @ steps),
            np.abs(gap[:, last_of_ties]).max(axis=1),
        ]
    )
