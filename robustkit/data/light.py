"""What galaxies are made of: smooth profiles and drawn maps, and the colours of their stars."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
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


Component = Profile | Map


@dataclass(frozen=True, eq=False)
class Galaxy:
    """A galaxy above the atmosphere.

    Attributes:
        id: Identifier, unique within its seed.
        label: Index of the class.
        parts: Components of its light.
        neighbours: Other sources in the stamp.
        seeing: The seeing at its place in the sky over the survey's mean.
        shear: Of the PSF at its place, both components of the reduced shear.
        truth: What its catalogue row says of it.
    """

    id: str
    label: int
    parts: tuple[Component, ...]
    neighbours: tuple[Component, ...] = ()
    seeing: float = 1.0
    shear: tuple[float, float] = (0.0, 0.0)
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
    """A galaxy before it is made: how bright, how large, how far, of which colour.

    Attributes:
        absolute: Absolute magnitude in r.
        redshift: Redshift.
        magnitude: AB, in r, of all its light.
        population: `red`, `green` or `blue`: on the red sequence, in the green valley, in the blue cloud.
        colours: g - r and r - i of all its light, before a disc's own dust.
        radius: Half-light radius that the relations give it, circularised, arcsec.
        clumps: Share of its light in star-forming knots, over that of nearby galaxies.
    """

    absolute: float
    redshift: float
    magnitude: float
    population: str
    colours: tuple[float, float]
    radius: float
    clumps: float = 1.0

    def flux(self, share: float, redder: float = 0.0) -> Flux:
        """Flux of a component.

        Args:
            share: Share of the galaxy's light in r.
            redder: Its g - r minus that of the galaxy, magnitudes; r - i follows as it does among galaxies.
        """
        g_r, r_i = self.colours
        return fluxes(self.magnitude - 2.5 * math.log10(share), g_r + redder, r_i + 0.56 * redder)


def fluxes(magnitude: float, g_r: float, r_i: float) -> Flux:
    """Fluxes in g, r, i relative to AB magnitude 24, of a magnitude in r and colours."""
    g, r, i = (10 ** (-0.4 * (value - 24)) for value in (magnitude + g_r, magnitude, magnitude - r_i))
    return g, r, i


def with_colours(parts: Sequence[Component], g_r: float, r_i: float) -> list[Component]:
    """The parts with g and i scaled so that together they have these colours; differences between parts stay."""
    g, r, i = np.sum([part.flux for part in parts], axis=0)
    scale_g, scale_i = 10 ** (-0.4 * g_r) * r / g, 10 ** (0.4 * r_i) * r / i
    return [
        replace(part, flux=(float(part.flux[0] * scale_g), part.flux[1], float(part.flux[2] * scale_i)))
        for part in parts
    ]
