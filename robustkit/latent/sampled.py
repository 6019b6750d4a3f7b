"""Church windows of heads that are neither affine nor dense layers with ReLU: a grid, and marked as one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from robustkit.errors import InputError
from robustkit.latent.directions import check_base, check_directions, check_extent


@dataclass(frozen=True, eq=False)
class SampledWindow:
    """The classes on the plane z + x a + y n, at the middles of square cells.

    What is thinner than a cell may be missed; `ChurchWindow` and `ReLUWindow` are exact.

    Attributes:
        predicted: The class at the origin.
        labels: The class of each cell, shape (R, R), rows along y and columns along x.
        ticks: The middles of the cells along either axis, shape (R,), in lengths of the directions.
        areas: Share of the cells of each class, shape (K,).
        disc: Share of each class among R points across the disc around the origin that reaches as far as a, shape (K,).
        extent: Half the side of the window, in lengths of the directions.
        lengths: Euclidean lengths of a and n, shape (2,), latent units.
        cosine: Cosine of the angle between a and n.
        crossing: Where the positive x and y axes first leave the class within the window, to half a cell, shape (2,);
            inf where they do not.
        crossing_to: The classes entered there, shape (2,).
        plane_margin: Distance to the nearest cell of another class, to half a cell, latent units; inf if no such
            cell exists.
        true_margin: nan: nobody knows it.
    """

    predicted: int
    labels: np.ndarray
    ticks: np.ndarray
    areas: np.ndarray
    disc: np.ndarray
    extent: float
    lengths: np.ndarray
    cosine: float
    crossing: np.ndarray
    crossing_to: np.ndarray
    plane_margin: float
    true_margin: float = np.nan


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
    check_extent(extent)
    check_resolution(resolution)
    a, n, cosine = check_directions(along, across, orthogonal=orthogonal)
    z = check_base(base, a)
    axes = np.stack([a, n], axis=1)
    frame, scale = np.linalg.qr(axes)  # (x, y) is at scale @ (x, y) in coordinates at right angles and to scale

    def labels_of(points: np.ndarray, directions: np.ndarray) -> tuple[np.ndarray, int]:
        logits = [
            np.asarray(head(z + points[i : i + batch] @ directions.T)) for i in range(0, max(len(points), 1), batch)
        ]
        found = np.concatenate(logits)
        return found.argmax(axis=1), found.shape[1]

    half = resolution // 2
    ticks = (np.arange(resolution) - half) * 2 * extent / resolution
    grid = np.stack(np.meshgrid(ticks, ticks), axis=-1).reshape(-1, 2)
    flat, classes = labels_of(grid, axes)
    labels, lengths = flat.reshape(resolution, resolution), np.array([np.linalg.norm(a), np.linalg.norm(n)])
    predicted = int(labels[half, half])
    disc = grid * lengths[0] / extent
    disc_labels, _ = labels_of(disc[(disc**2).sum(axis=1) <= lengths[0] ** 2], frame)
    rays = [_first_change(ray, ticks[half:]) for ray in (labels[half, half:], labels[half:, half])]
    away = np.linalg.norm(grid[flat != predicted] @ scale.T, axis=1)
    return SampledWindow(
        predicted=predicted,
        labels=labels,
        ticks=ticks,
        areas=np.bincount(flat, minlength=classes) / len(flat),
        disc=np.bincount(disc_labels, minlength=classes) / len(disc_labels),
        extent=float(extent),
        lengths=lengths,
        cosine=cosine,
        crossing=np.array([t for t, _ in rays]),
        crossing_to=np.array([to for _, to in rays]),
        plane_margin=float(away.min(initial=np.inf)),
    )


def check_resolution(resolution: int) -> None:
    """Refuses a grid without a middle.

    Raises:
        InputError: If it is not odd and at least 3.
    """
    if resolution < 3 or resolution % 2 == 0:
        raise InputError(f"resolution is {resolution}; it must be odd and at least 3")


def _first_change(labels: np.ndarray, ticks: np.ndarray) -> tuple[float, int]:
    """Where the labels along a ray first differ from the one at its start, halfway between two cells."""
    other = np.flatnonzero(labels != labels[0])
    if not len(other):
        return np.inf, int(labels[0])
    return float(ticks[other[0] - 1] + ticks[other[0]]) / 2, int(labels[other[0]])
