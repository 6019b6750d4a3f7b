"""The two directions that span a window."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from robustkit.errors import InputError


def check_directions(
    along: ArrayLike, across: ArrayLike, *, orthogonal: bool = False
) -> tuple[np.ndarray, np.ndarray, float]:
    """Two directions that span a plane, or a refusal.

    Args:
        along: The first direction, shape (D,).
        across: The second direction, shape (D,).
        orthogonal: Whether to replace the second by its part orthogonal to the first, with its own length.

    Returns:
        Both in float64, and the cosine of the angle between them.

    Raises:
        InputError: If they are not vectors of one length, not finite, one has no length, or they are parallel
            (|cosine| > 0.99).
    """
    a, n = np.asarray(along, dtype=np.float64), np.asarray(across, dtype=np.float64)
    if a.ndim != 1 or a.shape != n.shape:
        raise InputError(f"both directions must be vectors of one length; the shapes are {a.shape} and {n.shape}")
    if not (np.isfinite(a).all() and np.isfinite(n).all()):
        raise InputError("the directions are not all finite")
    first, second = np.linalg.norm(a), np.linalg.norm(n)
    if first == 0 or second == 0:
        which = "first" if first == 0 else "second"
        raise InputError(f"the {which} direction has no length: that perturbation does not move this latent")
    cosine = float(a @ n / (first * second))
    if abs(cosine) > 0.99:
        raise InputError(f"the two directions are parallel (cosine {cosine:.4f}): they span no window")
    if orthogonal:
        n = n - a * (a @ n) / (a @ a)
        return a, n * second / np.linalg.norm(n), 0.0
    return a, n, cosine


def check_extent(extent: float) -> None:
    """Refuses a window without a size.

    Raises:
        InputError: If half its side is not above 0.
    """
    if not (np.isfinite(extent) and extent > 0):
        raise InputError(f"extent is {extent}; half the side of a window must be above 0")


def check_base(base: ArrayLike, direction: np.ndarray) -> np.ndarray:
    """The latent at the origin of a window, float64.

    Raises:
        InputError: If it is not a finite vector like the directions.
    """
    z = np.asarray(base, dtype=np.float64)
    if z.shape != direction.shape or not np.isfinite(z).all():
        raise InputError(f"the base must be a finite vector like the directions, {direction.shape}; it has {z.shape}")
    return z
