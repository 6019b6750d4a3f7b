"""How far perturbations move latents: the plain distance, and twins of it that two models can be compared by.

The Euclidean distance d_E belongs to one model: z -> A z with W -> W A^-1 changes it and changes no prediction.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy.linalg import solve_triangular

from robustkit.errors import InputError
from robustkit.latent.geometry import AffineHead, check_latents, crossings, decision_share, decision_space
from robustkit.stats.summary import Summary, summarize

# Ratio of the largest to the smallest variance, above which the sample covariance is shrunk.
_MOST_UNEVEN = 1e8


@dataclass(frozen=True, eq=False)
class WithinClass:
    """How much the latents of clean images of one class scatter.

    Attributes:
        scatter: Root mean square over the dimensions of the standard deviation within classes, latent units.
        factor: Lower Cholesky factor of the covariance within classes, shape (D, D); None where the latents scatter in
            too few directions for one, even shrunk.
        shrinkage: How far the covariance was drawn towards a round one, in [0, 1]; 0 for the sample covariance, nan
            without one.
        n: Latents it was estimated from.
    """

    scatter: float
    factor: np.ndarray | None
    shrinkage: float
    n: int


def within_class(latents: ArrayLike, labels: ArrayLike) -> WithinClass:
    """Scatter and covariance of clean latents around the mean of their class.

    The sample covariance is taken where there are ten latents for each dimension and it is well conditioned, and
    Ledoit and Wolf's shrunk one otherwise; only with the first is the whitened distance invariant under A. Few latents
    may leave directions without any scatter that shrinking does not fill, and then there is no covariance to use.

    Args:
        latents: Latents of clean images, shape (N, D).
        labels: Their classes, shape (N,); each with at least two images.

    Raises:
        InputError: If the shapes differ, a latent is not finite, a class has one image, or nothing scatters.

    Source: Ledoit & Wolf 2004, doi:10.1016/S0047-259X(03)00096-4.
    """
    from sklearn.covariance import ledoit_wolf

    points, classes = check_latents(latents), np.asarray(labels)
    if classes.shape != (len(points),) or not len(points):
        raise InputError(f"each latent needs a label; the shapes are {points.shape} and {classes.shape}")
    _, index, counts = np.unique(classes, return_inverse=True, return_counts=True)
    if counts.min() < 2:
        raise InputError("a class has a single image, which shows no scatter; leave it out or add images")
    means = np.stack([points[index == k].mean(axis=0) for k in range(len(counts))])
    residuals = points - means[index]
    freedom = len(points) - len(counts)
    variance = float((residuals**2).sum() / (freedom * points.shape[1]))
    if not variance > 0:
        raise InputError("all latents of a class are the same: nothing scatters")
    covariance, shrinkage = residuals.T @ residuals / freedom, 0.0
    if len(points) < 10 * points.shape[1] or np.linalg.cond(covariance) > _MOST_UNEVEN:
        # Scaled, because the squares of squares in the estimate would leave the range of numbers.
        shrunk, shrinkage = ledoit_wolf(residuals / np.sqrt(variance), assume_centered=True)
        covariance = shrunk * variance * len(points) / freedom
    try:
        factor = np.linalg.cholesky(covariance)
    except np.linalg.LinAlgError:
        factor = None
    if factor is None or np.linalg.cond(covariance) > 1 / np.finfo(np.float64).eps:
        return WithinClass(float(np.sqrt(variance)), None, float("nan"), len(points))
    return WithinClass(float(np.sqrt(variance)), factor, float(shrinkage), len(points))


@dataclass(frozen=True, eq=False)
class Distances:
    """How far one perturbation moves each latent.

    Attributes:
        euclidean: d_E = |z' - z|, latent units, shape (N,).
        in_scatter: d_E over the scatter within classes, shape (N,); invariant under rotation and scale.
        whitened: Mahalanobis distance in the covariance within classes, shape (N,); invariant under any A where the
            covariance was not shrunk; nan where there is no covariance.
        reach: 1 / t*, the displacement as a multiple of what reaches the boundary along it, shape (N,); above 1 where
            the head's class changes, 0 where no boundary lies ahead; invariant under any A. None if the head is not
            affine.
        crossing: t*, shape (N,); inf where no boundary lies ahead. None if the head is not affine.
        decision_share: Share of the squared displacement that the head can see, shape (N,); nan where nothing moved.
            None if the head is not affine.
        shrinkage: That of the covariance.
    """

    euclidean: np.ndarray
    in_scatter: np.ndarray
    whitened: np.ndarray
    reach: np.ndarray | None
    crossing: np.ndarray | None
    decision_share: np.ndarray | None
    shrinkage: float


def latent_distances(
    clean: ArrayLike, perturbed: ArrayLike, *, within: WithinClass, head: AffineHead | None = None
) -> Distances:
    """Distances between the latents of clean images and of their perturbed twins.

    Args:
        clean: Latents of the clean images, shape (N, D).
        perturbed: Latents of their twins, shape (N, D), in the same order.
        within: Scatter of clean latents of this model.
        head: The head, if it is affine.

    Raises:
        InputError: If the shapes differ or do not fit, or a latent is not finite.
    """
    start, end = check_latents(clean, "clean latents"), check_latents(perturbed, "perturbed latents")
    if start.shape != end.shape:
        raise InputError(f"each clean latent needs its perturbed twin; the shapes are {start.shape} and {end.shape}")
    moved = end - start
    euclidean, whitened = np.linalg.norm(moved, axis=1), np.full(len(moved), np.nan)
    if within.factor is not None:
        if start.shape[1] != len(within.factor):
            raise InputError(
                f"latents have {start.shape[1]} dimensions; their scatter was measured in {len(within.factor)}"
            )
        whitened = np.linalg.norm(solve_triangular(within.factor, moved.T, lower=True), axis=0)
    crossing = None if head is None else crossings(head, start, moved).t
    return Distances(
        euclidean=euclidean,
        in_scatter=euclidean / within.scatter,
        whitened=whitened,
        reach=None if crossing is None else _inverse(crossing),
        crossing=crossing,
        decision_share=None if head is None else decision_share(decision_space(head), moved),
        shrinkage=within.shrinkage,
    )


def summarize_distances(
    distances: Distances,
    *,
    clusters: ArrayLike | None = None,
    level: float = 0.95,
    draws: int = 4999,
    rng: np.random.Generator,
) -> dict[str, Summary]:
    """Median, mean and standard error of each kind of distance, with intervals.

    Args:
        distances: The distances of one perturbation.
        clusters: The object that each image shows, shape (N,), when some share one.
        level: Confidence level.
        draws: How many bootstrap resamples.
        rng: Where the resamples come from.

    Returns:
        One summary for each of `euclidean`, `in_scatter`, `whitened`, and for an affine head `reach` and
        `decision_share`. A share is missing where nothing moved, and its n says so; `crossing` may be infinite and has
        no summary but that of its inverse, `reach`. `whitened` is missing where there is no covariance.

    Raises:
        InputError: If there is no image, or none moved.
    """
    objects = None if clusters is None else np.asarray(clusters)
    summaries = {}
    for name in ("euclidean", "in_scatter", "whitened", "reach", "decision_share"):
        values = getattr(distances, name)
        if values is not None:
            kept = np.isfinite(values)
            if name == "whitened" and not kept.any():
                continue
            summaries[name] = summarize(
                values[kept], clusters=None if objects is None else objects[kept], level=level, draws=draws, rng=rng
            )
    return summaries


def _inverse(crossing: np.ndarray) -> np.ndarray:
    return np.divide(1.0, crossing, out=np.full_like(crossing, np.inf), where=crossing > 0)
