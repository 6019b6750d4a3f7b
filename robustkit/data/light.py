"""What galaxies are made of: smooth profiles and drawn maps, and the colours of their stars."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np

# Maps are drawn at this many points per pixel, and reach this multiple of the stamp.
POINTS_PER_PIXEL = 2
_REACH = 1.28

Flux = tuple[float, float, float]


@dataclass(frozen=True)
class Profile:
    """A smooth component: an elliptical Sersic profile.

    Attributes:
        index: Sersic index, in [0.3, 6.2]; 1 is an exponential disc, 4 a de Vaucouleurs spheroid.
        radius: Half-light radius, the geometric mean of both axes, arcsec; 0 is a star.
        flux: In g, r, i, relative to AB magnitude 24.
        x: Position to the right of the centre of the stamp, arcsec.
        y: Position above it, arcsec.
        axis_ratio: Minor over major axis, in (0, 1].
        angle: Angle of the major axis, radians from the x axis.
    """

    index: float
    radius: float
    flux: Flux
    x: float = 0.0
    y: float = 0.0
    axis_ratio: float = 1.0
    angle: float = 0.0


@dataclass(frozen=True, eq=False)
class Map:
    """A component that is drawn on a `Plane`.

    Attributes:
        light: Surface brightness, shape (P, P); only its shape matters.
        flux: In g, r, i, relative to AB magnitude 24.
        blur: Sigma of a Gaussian that smooths it, arcsec.
    """

    light: np.ndarray
    flux: Flux
    blur: float = 0.0


Part = Profile | Map


@dataclass(frozen=True, eq=False)
class Galaxy:
    """A galaxy above the atmosphere.

    Attributes:
        id: Identifier, unique within its seed.
        label: Index of the class.
        parts: Components of its light.
        neighbours: Other sources in the stamp.
        seeing: The seeing at its place in the sky over the survey's mean.
        truth: What its catalogue row says of it.
    """

    id: str
    label: int
    parts: tuple[Part, ...]
    neighbours: tuple[Part, ...] = ()
    seeing: float = 1.0
    truth: dict[str, Any] = field(default_factory=dict)


class Plane:
    """Sky coordinates of the points at which maps are drawn.

    Args:
        size: Height and width of the stamp, pixels.
        pixel_scale: Arcsec per pixel.

    Attributes:
        x: Arcsec to the right of the centre, shape (1, P), float32.
        y: Arcsec above the centre, shape (P, 1), float32.
        step: Arcsec between points.
        half: Arcsec from the centre to the last point.
    """

    def __init__(self, size: int, pixel_scale: float) -> None:
        points = 2 * math.ceil(size * POINTS_PER_PIXEL * _REACH / 2)
        self.step = pixel_scale / POINTS_PER_PIXEL
        self.half = (points - 1) / 2 * self.step
        line = ((np.arange(points) - (points - 1) / 2) * self.step).astype(np.float32)
        self.x, self.y = line[None, :], line[:, None]

    def __len__(self) -> int:
        return self.x.shape[1]

    def turned(self, x: float, y: float, angle: float) -> tuple[np.ndarray, np.ndarray]:
        """Coordinates about (x, y) along and across a direction, arcsec, each of shape (P, P)."""
        cos, sin = math.cos(angle), math.sin(angle)
        dx, dy = self.x - x, self.y - y
        return dx * cos + dy * sin, dy * cos - dx * sin

    def points(self, places: np.ndarray, light: np.ndarray, flux: Flux, blur: float) -> list[Map]:
        """Points of light as a map, or nothing where none falls on the plane.

        Args:
            places: (x, y) of each, arcsec, shape (S, 2).
            light: Share of the flux of each, shape (S,).
            flux: In g, r, i, of a share of 1.
            blur: Sigma of a point, arcsec.
        """
        side = len(self)
        column, row = np.round((places + self.half) / self.step).astype(np.int64).T
        inside = (column >= 0) & (column < side) & (row >= 0) & (row < side)
        image = np.bincount((row * side + column)[inside], light[inside], side * side).reshape(side, side)
        share = float(image.sum())
        return [Map(image, (flux[0] * share, flux[1] * share, flux[2] * share), blur)] if share else []


@dataclass(frozen=True)
class Target:
    """A galaxy before it is made: how bright, how large, how far.

    Attributes:
        magnitude: AB, in r, of all its light.
        radius: Half-light radius, arcsec; of a merger, what an undisturbed galaxy of its light would have.
        redshift: Redshift, which reddens the colours.
    """

    magnitude: float
    radius: float
    redshift: float

    def flux(self, rng: np.random.Generator, share: float, age: float) -> Flux:
        """Flux of a component.

        Args:
            rng: Draws the scatter of its colours.
            share: Share of the galaxy's light in r.
            age: Age of its stars: 0 young and blue, 1 old and red.
        """
        return stellar_flux(rng, self.magnitude - 2.5 * math.log10(share), age, self.redshift)


def stellar_flux(
    rng: np.random.Generator, magnitude: float, age: float, redshift: float, scatter: float = 0.04
) -> Flux:
    """Fluxes in g, r, i relative to AB magnitude 24, of stars from young and blue (age 0) to old and red (1).

    At redshift 0 g - r goes from 0.22 to 0.72 and r - i from 0.08 to 0.36, and old stars redden by 1.6 and 0.35 per
    unit of redshift: the blue cloud and the red sequence to about 0.05 (Fukugita et al. 1995, doi:10.1086/133643).

    Args:
        rng: Draws the scatter.
        magnitude: In r, AB.
        age: From 0, young and blue, to 1, old and red.
        redshift: Redshift of the galaxy.
        scatter: Scatter of the colours, magnitudes.
    """
    g_r = 0.22 + 0.50 * age + (0.6 + 1.0 * age) * redshift + rng.normal(0, scatter)
    r_i = 0.08 + 0.28 * age + (0.15 + 0.2 * age) * redshift + rng.normal(0, scatter / 2)
    g, r, i = (10 ** (-0.4 * (value - 24)) for value in (magnitude + g_r, magnitude, magnitude - r_i))
    return g, r, i
