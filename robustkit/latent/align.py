"""Two maps of the same images, turned onto each other: a map has no up, no left and no scale of its own."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy.linalg import orthogonal_procrustes
from scipy.spatial import procrustes

from robustkit.errors import InputError
from robustkit.latent.geometry import check_latents


@dataclass(frozen=True, eq=False)
class Superposition:
    """The shift, turn, mirroring and scaling that lay one map onto another.

    Attributes:
        disparity: Sum of squares that remains when both maps are scaled to 1, in [0, 1]; 0 for the same map, and
            near 1 for maps that have nothing in common.
        turn: Orthogonal, shape (d, d).
        scale: Factor.
        centre: Of the map that is moved, shape (d,).
        target: Centre of the other, shape (d,).
    """

    disparity: float
    turn: np.ndarray
    scale: float
    centre: np.ndarray
    target: np.ndarray

    def __call__(self, coordinates: ArrayLike) -> np.ndarray:
        """Places (N, d) on the map that is moved, as places on the other."""
        return (np.asarray(coordinates, dtype=np.float64) - self.centre) @ self.turn * self.scale + self.target


def align_maps(reference: ArrayLike, moved: ArrayLike) -> Superposition:
    """Procrustes: how to lay a map onto a reference.

    Args:
        reference: Places of N points, shape (N, d).
        moved: Places of the same points on the other map, shape (N, d).

    Raises:
        InputError: If the shapes differ, or all points of a map have one place.

    Examples:
        >>> square = np.array([[0.0, 0.0], [1.0, 0.0], [1.0, 2.0], [0.0, 2.0]])
        >>> turned = 3 * square[:, ::-1] + 5
        >>> bool(np.allclose(align_maps(square, turned)(turned), square))
        True
    """
    one, two = check_latents(reference, "the reference map"), check_latents(moved, "the other map")
    if one.shape != two.shape:
        raise InputError(f"two maps are aligned by the points that both have; the shapes are {one.shape}, {two.shape}")
    target, centre = one.mean(axis=0), two.mean(axis=0)
    size = float(((two - centre) ** 2).sum())
    if size == 0 or not (one - target).any():
        raise InputError("all points of a map have one place: there is nothing to align")
    turn, overlap = orthogonal_procrustes(two - centre, one - target)
    return Superposition(float(procrustes(one, two)[2]), turn, float(overlap) / size, centre, target)
