"""Geometry of an affine head: where its boundaries are, exactly, in the whole latent space.

An affine head gives logits W z + b. The region of each class is then a polyhedron, so distances to its boundaries and
crossings along a line are formulas. W z + b is the same classifier as (W A^-1)(A z) + b for any invertible A: distances
change under A, crossings and shares of a polyhedron do not.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from robustkit.errors import InputError


@dataclass(frozen=True, eq=False)
class AffineHead:
    """A head that is one affine layer.

    Attributes:
        weight: W, shape (K, D), float64.
        bias: b, shape (K,), float64.
    """

    weight: np.ndarray
    bias: np.ndarray

    def __post_init__(self) -> None:
        weight, bias = (np.asarray(x, dtype=np.float64) for x in (self.weight, self.bias))
        if weight.ndim != 2 or len(weight) < 2 or bias.shape != weight.shape[:1]:
            raise InputError(f"a head needs weights (K >= 2, D) and biases (K,); got {weight.shape} and {bias.shape}")
        if not (np.isfinite(weight).all() and np.isfinite(bias).all()):
            raise InputError("the head's weights or biases are not all finite")
        object.__setattr__(self, "weight", weight)
        object.__setattr__(self, "bias", bias)

    def __call__(self, latents: ArrayLike) -> np.ndarray:
        """Logits (..., K) of latents (..., D)."""
        return np.asarray(latents, dtype=np.float64) @ self.weight.T + self.bias


def find_affine_head(
    head: Callable[[np.ndarray], np.ndarray], latents: ArrayLike, *, tolerance: float = 1e-4
) -> AffineHead | None:
    """The weights of a head that is known only as a function, or None if it is not affine.

    The head is run on 2 D + 1 probes and on the latents; an affine one must answer all of them.

    Args:
        head: Logits (N, K) of latents (N, D).
        latents: Real latents to prove it on, shape (N, D).
        tolerance: The largest error, relative to the size of the logits.

    Raises:
        InputError: If there are no latents, or they are not (N, D) and finite.
    """
    real = check_latents(latents)
    if not len(real):
        raise InputError("at least one real latent is needed to prove the head on")
    dimension = real.shape[1]
    step = float(np.sqrt((real**2).mean())) or 1.0  # probes of the size that the head is made for
    probes = step * np.concatenate([np.eye(dimension), -np.eye(dimension), np.zeros((1, dimension))])
    answers = np.asarray(head(probes), dtype=np.float64)
    up, down, bias = answers[:dimension], answers[dimension:-1], answers[-1]
    found = AffineHead((up - down).T / (2 * step), bias)
    expected, seen = np.concatenate([found(probes), found(real)]), np.concatenate([answers, np.asarray(head(real))])
    scale = np.abs(expected - expected.mean()).max()
    return found if np.abs(seen - expected).max() <= tolerance * scale else None


@dataclass(frozen=True, eq=False)
class Margins:
    """Distances from latents to the boundaries of their class.

    Attributes:
        predicted: The class of each latent, shape (N,).
        distance: The shortest way out of it, Euclidean in latent units, shape (N,); inf if no boundary exists.
        rival: The class at the other side there, shape (N,).
    """

    predicted: np.ndarray
    distance: np.ndarray
    rival: np.ndarray


def margins(head: AffineHead, latents: ArrayLike) -> Margins:
    """Exact distances to the head's boundaries: min over j of (l_k - l_j) / |w_k - w_j|.

    Args:
        head: The head.
        latents: Shape (N, D).

    Raises:
        InputError: If the latents do not fit the head or are not finite.
    """
    logits = head(_fitting(head, latents))
    predicted = logits.argmax(axis=1)
    lead = np.take_along_axis(logits, predicted[:, None], axis=1) - logits  # (N, K)
    slope = np.linalg.norm(head.weight[predicted][:, None] - head.weight, axis=2)  # (N, K)
    # Classes of equal weights never change places.
    to_boundary = np.divide(lead, slope, out=np.full_like(lead, np.inf), where=slope > 0)
    return Margins(predicted, to_boundary.min(axis=1), to_boundary.argmin(axis=1))


@dataclass(frozen=True, eq=False)
class Crossings:
    """Where lines leave the class that they start in.

    Attributes:
        t: How far along each direction, in its lengths, shape (N,); inf where it never leaves. A perturbation flips
            an image if and only if its t is below 1. Invariant under any change of the latent's coordinates.
        to: The class entered there, shape (N,); that of the start where it never leaves.
    """

    t: np.ndarray
    to: np.ndarray


def crossings(head: AffineHead, latents: ArrayLike, directions: ArrayLike) -> Crossings:
    """First change of class along z + t v for t > 0.

    Args:
        head: The head.
        latents: Where the lines start, shape (N, D).
        directions: v, shape (N, D), such as perturbed minus clean.

    Raises:
        InputError: If latents or directions do not fit the head or each other, or are not finite.
    """
    start, along = _fitting(head, latents), _fitting(head, directions, "directions")
    if start.shape != along.shape:
        raise InputError(f"each latent needs a direction; the shapes are {start.shape} and {along.shape}")
    logits, slopes = head(start), along @ head.weight.T  # (N, K)
    predicted = logits.argmax(axis=1)[:, None]
    lead = np.take_along_axis(logits, predicted, axis=1) - logits
    gain = slopes - np.take_along_axis(slopes, predicted, axis=1)
    t = np.divide(lead, gain, out=np.full_like(lead, np.inf), where=gain > 0)
    first = t.min(axis=1)
    return Crossings(first, np.where(np.isfinite(first), t.argmin(axis=1), predicted[:, 0]))


@dataclass(frozen=True, eq=False)
class DecisionSpace:
    """The part of the latent space that the head depends on: the span of the differences of its rows.

    The class of a latent depends on these R <= K - 1 coordinates alone, and distances to boundaries in them are the
    true ones. For three classes it is a plane: one picture of all images and all boundaries.

    Attributes:
        basis: Orthonormal columns, widest first, shape (D, R).
        weight: The head on these coordinates, shape (K, R).
        bias: Its biases, shape (K,), with mean 0.
    """

    basis: np.ndarray
    weight: np.ndarray
    bias: np.ndarray

    def coordinates(self, latents: ArrayLike) -> np.ndarray:
        """Coordinates (..., R) of latents (..., D)."""
        return np.asarray(latents, dtype=np.float64) @ self.basis

    @property
    def head(self) -> AffineHead:
        """The head on these coordinates: the same classes, and logits that are the same up to a common shift."""
        return AffineHead(self.weight, self.bias)


def decision_space(head: AffineHead) -> DecisionSpace:
    """The span of the differences of the head's rows, with an orthonormal basis.

    Args:
        head: The head.

    Raises:
        InputError: If all rows are the same: the head then ignores the latent.
    """
    centred = head.weight - head.weight.mean(axis=0)
    _, widths, rows = np.linalg.svd(centred, full_matrices=False)
    # Weights are trained in float32: what lies below its rounding is no direction.
    rank = int((widths > 1e-6 * max(widths[0], np.linalg.norm(head.weight, 2))).sum())
    if rank == 0:
        raise InputError("all classes have the same weights: this head does not look at the latent")
    basis = rows[:rank].T
    # A sign that does not depend on the linear algebra library: the largest entry of each column is positive.
    basis = basis * np.sign(basis[np.abs(basis).argmax(axis=0), np.arange(rank)])
    return DecisionSpace(basis, centred @ basis, head.bias - head.bias.mean())


def decision_share(space: DecisionSpace, displacements: ArrayLike) -> np.ndarray:
    """Share of each squared displacement that the head can see, |P v|^2 / |v|^2.

    Args:
        space: What the head depends on.
        displacements: Shape (N, D).

    Returns:
        Shares, shape (N,), in [0, 1]; nan for no displacement. R / D on average for a random direction.

    Raises:
        InputError: If the displacements do not fit the space or are not finite.
    """
    moved = check_latents(displacements, "displacements")
    if moved.shape[1] != len(space.basis):
        raise InputError(f"displacements have {moved.shape[1]} dimensions; the head has {len(space.basis)}")
    seen, whole = (space.coordinates(moved) ** 2).sum(axis=1), (moved**2).sum(axis=1)
    return np.minimum(np.divide(seen, whole, out=np.full_like(whole, np.nan), where=whole > 0), 1.0)


def check_latents(values: ArrayLike, name: str = "latents") -> np.ndarray:
    """Latents as a float64 matrix (N, D), or a refusal.

    Raises:
        InputError: If they are not a matrix or not all finite.
    """
    array = np.asarray(values, dtype=np.float64)
    if array.ndim != 2 or array.shape[1] == 0:
        raise InputError(f"{name} must have the shape (N, D); they have {array.shape}")
    if not np.isfinite(array).all():
        raise InputError(f"{name}: {int((~np.isfinite(array)).any(axis=1).sum())} of {len(array)} rows are not finite")
    return array


def _fitting(head: AffineHead, values: ArrayLike, name: str = "latents") -> np.ndarray:
    array = check_latents(values, name)
    if array.shape[1] != head.weight.shape[1]:
        raise InputError(f"{name} have {array.shape[1]} dimensions; the head takes {head.weight.shape[1]}")
    return array
