"""Church windows of heads that are not affine: a grid, and marked as one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from robustkit.errors import InputError
from robustkit.latent.directions import check_directions


@dataclass(frozen=True, eq=False)
class SampledWindow:
    """The classes on the plane z + x a + y n, at the middles of square cells.

    What is thinner than a cell may be missed; `ChurchWindow` is exact.

    Attributes:
        predicted: The class at the origin.
        labels: The class of each cell, shape (R, R), rows along y and columns along x.
        ticks: The middles of the cells along either axis, shape (R,), in lengths of the directions.
        areas: Share of the cells of each class, shape (K,).
        extent: Half the side of the window, in lengths of the directions.
        lengths: Euclidean lengths of a and n, shape (2,), latent units.
        cosine: Cosine of the angle between a and n.
    """

    predicted: int
    labels: np.ndarray
    ticks: np.ndarray
    areas: np.ndarray
    extent: float
    lengths: np.ndarray
    cosine: float


def sample_window(
    head: Callable[[np.ndarray], np.ndarray],
    base: ArrayLike,
    along: ArrayLike,
    across: ArrayLike,
    *,
    extent: float = 1.1,
    resolution: int = 221,
    orthogonal: bool = False,
    batch: int = 8192,
) -> SampledWindow:
    """The church window of any head, sampled on a grid.

    Args:
        head: Logits (N, K) of latents (N, D).
        base: z, the latent of the clean image, shape (D,).
        along: a, the displacement drawn at x = 1, shape (D,).
        across: n, the displacement drawn at y = 1, shape (D,).
        extent: Half the side of the window, in lengths of the directions.
        resolution: R, cells along either axis; odd, so that the origin is the middle of a cell.
        orthogonal: Whether to replace n by its part orthogonal to a, with its own length.
        batch: Latents that the head is given at once.

    Raises:
        InputError: If the vectors do not fit each other or are not finite, a direction has no length, the two are
            parallel, the extent is not above 0, or the resolution is not odd.
    """
    if not (np.isfinite(extent) and extent > 0):
        raise InputError(f"extent is {extent}; half the side of a window must be above 0")
    if resolution < 3 or resolution % 2 == 0:
        raise InputError(f"resolution is {resolution}; it must be odd and at least 3")
    a, n, cosine = check_directions(along, across, orthogonal=orthogonal)
    z = np.asarray(base, dtype=np.float64)
    if z.shape != a.shape or not np.isfinite(z).all():
        raise InputError(f"the base must be a finite vector like the directions, {a.shape}; it has {z.shape}")
    ticks = (np.arange(resolution) - resolution // 2) * 2 * extent / resolution
    x, y = (axis.ravel() for axis in np.meshgrid(ticks, ticks))
    logits = np.concatenate(
        [
            np.asarray(head(z + x[i : i + batch, None] * a + y[i : i + batch, None] * n))
            for i in range(0, resolution**2, batch)
        ]
    )
    labels = logits.argmax(axis=1)
    return SampledWindow(
        predicted=int(labels[resolution**2 // 2]),
        labels=labels.reshape(resolution, resolution),
        ticks=ticks,
        areas=np.bincount(labels, minlength=logits.shape[1]) / len(labels),
        extent=float(extent),
        lengths=np.array([np.linalg.norm(a), np.linalg.norm(n)]),
        cosine=cosine,
    )
