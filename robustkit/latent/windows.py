"""Church windows: the classes on a plane through one latent, exact for an affine head."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from robustkit.errors import InputError
from robustkit.latent.directions import check_directions, check_extent
from robustkit.latent.discs import disc_shares
from robustkit.latent.geometry import AffineHead, crossings, decision_space, margins
from robustkit.latent.polygons import Boundary, Region, affine_boundaries, affine_grid, affine_regions


@dataclass(frozen=True, eq=False)
class Window:
    """The classes on the plane z + x a + y n, for x and y in [-extent, extent].

    A window is a slice: what lies near in other directions does not show. `true_margin` beside `plane_margin` says how
    much nearer the nearest boundary of the whole latent space is.

    Attributes:
        predicted: The class at the origin.
        regions: Convex polygons in x and y, whose areas sum to 1.
        boundaries: The segments between classes.
        areas: Share of the window of each class, shape (K,), summing to 1.
        disc: Share of each class in the disc around the origin that reaches as far as a, shape (K,), summing to 1. A
            disc is one of lengths in the latent space; the window is drawn with a and n at a right angle and of one
            length whatever they are.
        extent: Half the side of the window, in lengths of the directions.
        lengths: Euclidean lengths of a and n, shape (2,), latent units.
        cosine: Cosine of the angle between a and n.
        crossing: Where the positive x and y axes first leave the class, shape (2,), in lengths of a and n; inf where
            they never do. Below 1: that perturbation flips the image.
        crossing_to: The classes entered there, shape (2,).
        plane_margin: Distance to the nearest boundary within the plane, latent units; inf if no boundary is reached.
        true_margin: Distance to the nearest boundary in the whole latent space, never larger; nan where the head is
            not affine, because nobody knows it.
    """

    predicted: int
    regions: tuple[Region, ...]
    boundaries: tuple[Boundary, ...]
    areas: np.ndarray
    disc: np.ndarray
    extent: float
    lengths: np.ndarray
    cosine: float
    crossing: np.ndarray
    crossing_to: np.ndarray
    plane_margin: float
    true_margin: float


@dataclass(frozen=True, eq=False)
class ChurchWindow(Window):
    """The window of an affine head: one convex polygon for each class that occurs, and margins of the whole plane.

    Attributes:
        constant: Logits at the origin, shape (K,).
        slopes: Their change along x and y, shape (K, 2).
    """

    constant: np.ndarray
    slopes: np.ndarray

    def label(self, points: ArrayLike) -> np.ndarray:
        """The class at points (..., 2) of the window."""
        return (np.asarray(points, dtype=np.float64) @ self.slopes.T + self.constant).argmax(axis=-1)

    def grid(self, resolution: int = 221) -> np.ndarray:
        """The class at the middle of each of R x R square cells, rows along y, shape (R, R); see `affine_grid`."""
        return affine_grid(self.constant, self.slopes, self.extent, resolution)


def church_window(
    head: AffineHead,
    base: ArrayLike,
    along: ArrayLike,
    across: ArrayLike,
    *,
    extent: float = 1.1,
    orthogonal: bool = False,
) -> ChurchWindow:
    """The church window of one latent and two directions.

    Args:
        head: The head.
        base: z, the latent of the clean image, shape (D,).
        along: a, the displacement drawn at x = 1, shape (D,), such as that of the one-pixel attack.
        across: n, the displacement drawn at y = 1, shape (D,), such as that of the noise.
        extent: Half the side of the window, in lengths of the directions.
        orthogonal: Whether to replace n by its part orthogonal to a, with its own length: the traditional window.

    Raises:
        InputError: If the vectors do not fit the head or are not finite, a direction has no length, the two are
            parallel (|cosine| > 0.99), or the extent is not above 0.

    Source: Ciprijanovic et al. 2022, doi:10.1088/2632-2153/ac7f1a, for windows spanned by two perturbations.
    """
    check_extent(extent)
    a, n, cosine = check_directions(along, across, orthogonal=orthogonal)
    z = np.asarray(base, dtype=np.float64)
    axes = crossings(head, np.stack([z, z]), np.stack([a, n]))  # refuses what does not fit the head
    whole = margins(head, z[None])
    constant, slopes = head(z), head.weight @ np.stack([a, n], axis=1)  # (K,), (K, 2)
    box = np.full(2, -extent), np.full(2, extent)
    regions = affine_regions(constant, slopes, *box)
    # The same plane in coordinates at right angles and to scale, for discs and distances.
    plane = AffineHead(head.weight @ np.linalg.qr(np.stack([a, n], axis=1))[0], constant)
    lengths = np.array([np.linalg.norm(a), np.linalg.norm(n)])
    reach = np.full(2, lengths[0])
    return ChurchWindow(
        predicted=int(whole.predicted[0]),
        regions=regions,
        boundaries=affine_boundaries(constant, slopes, *box),
        areas=class_areas(regions, len(constant)),
        disc=disc_shares(affine_regions(constant, plane.weight, -reach, reach), lengths[0], len(constant)),
        extent=float(extent),
        lengths=lengths,
        cosine=cosine,
        crossing=axes.t,
        crossing_to=axes.to,
        plane_margin=float(margins(plane, np.zeros((1, 2))).distance[0]),
        true_margin=float(whole.distance[0]),
        constant=constant,
        slopes=slopes,
    )


def class_areas(regions: Iterable[Region], classes: int) -> np.ndarray:
    """The area of each class, shape (K,)."""
    areas = np.zeros(classes)
    for region in regions:
        areas[region.label] += region.area
    return areas


@dataclass(frozen=True, eq=False)
class CanonicalWindow:
    """The plane that a head of three classes decides on, with every image and every boundary on it.

    Distances to boundaries in this picture are the true ones of the whole latent space.

    Attributes:
        basis: Orthonormal axes of the plane, shape (D, 2).
        coordinates: Each latent on the plane, shape (N, 2).
        predicted: Class of each latent, shape (N,).
        margin: Distance of each latent to its nearest boundary, shape (N,).
        regions: One convex polygon for each class that occurs.
        boundaries: The segments between them.
        low: Lower corner of the picture, shape (2,).
        high: Upper corner, shape (2,).
    """

    basis: np.ndarray
    coordinates: np.ndarray
    predicted: np.ndarray
    margin: np.ndarray
    regions: tuple[Region, ...]
    boundaries: tuple[Boundary, ...]
    low: np.ndarray
    high: np.ndarray


def canonical_window(head: AffineHead, latents: ArrayLike, *, pad: float = 0.05) -> CanonicalWindow:
    """The one window of a head of three classes, around all given latents.

    Args:
        head: The head, of three classes.
        latents: Shape (N, D), at least one.
        pad: Space beyond the outermost latents, as a share of the range of each axis.

    Raises:
        InputError: If the head does not decide on a plane (three classes whose weights are not on one line), or the
            latents do not fit it or are not finite.
    """
    space = decision_space(head)
    dimensions = space.basis.shape[1]
    if dimensions != 2:
        raise InputError(
            f"this head of {len(head.bias)} classes decides in {dimensions} dimensions, and a window has 2; "
            "look at church windows or at the margins"
        )
    found = margins(head, latents)
    if not len(found.predicted):
        raise InputError("a canonical window needs at least one latent")
    coordinates = space.coordinates(latents)
    low, high = coordinates.min(axis=0), coordinates.max(axis=0)
    # One latent, or latents on a line, still get a picture.
    room = np.where(high > low, pad * (high - low), max(float((high - low).max()), 1.0) * max(pad, 0.05))
    low, high = low - room, high + room
    # Clipping around the middle of the picture keeps the digits of latents far from 0.
    middle = (low + high) / 2
    constant, box = space.weight @ middle + space.bias, (low - middle, high - middle)
    return CanonicalWindow(
        basis=space.basis,
        coordinates=coordinates,
        predicted=found.predicted,
        margin=found.distance,
        regions=tuple(
            Region(region.label, region.vertices + middle, region.area)
            for region in affine_regions(constant, space.weight, *box)
        ),
        boundaries=tuple(
            Boundary(boundary.classes, boundary.ends + middle)
            for boundary in affine_boundaries(constant, space.weight, *box)
        ),
        low=low,
        high=high,
    )
