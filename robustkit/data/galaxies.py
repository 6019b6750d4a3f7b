"""The simulated population: classes, magnitudes, sizes, redshifts and neighbours.

It stands for a sample that was chosen for its size on the sky, as samples for visual classification are: r from 17 to
21.5 and half-light radii above 1.4 arcsec, so that a galaxy is several times as wide as the seeing. Most galaxies of
these magnitudes are smaller on the sky; the largest have the faintest surfaces, which a shallower exposure loses first.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from robustkit.data.light import Galaxy, Part, Plane, Profile, Target, stellar_flux
from robustkit.data.mergers import make_merger
from robustkit.data.spirals import make_spiral
from robustkit.seeds import stream

CLASSES = ("spiral", "elliptical", "merger")
SHARES: Mapping[str, float] = {"spiral": 0.4, "elliptical": 0.3, "merger": 0.3}

# Magnitudes in r, and the slope of the logarithm of the counts per magnitude.
_BRIGHT, _FAINT, _SLOPE = 17.0, 21.5, 0.40
_SMALLEST, _LARGEST = 1.4, 5.0  # half-light radius, arcsec
# Neighbours: per square arcminute down to the faint limit; below the mean of the sky, for samples avoid crowds.
_CROWD, _FIELD_BRIGHT, _FIELD_FAINT, _FIELD_SLOPE = 22.0, 19.5, 24.5, 0.35
_GOLDEN = (math.sqrt(5) - 1) / 2


def label_of(index: int, shares: Mapping[str, float] = SHARES) -> int:
    """The class of an object: in proportion for any number of objects, and the same whatever that number is.

    The multiples of the golden ratio fill [0, 1) evenly, so that the first n objects have each class in proportion,
    to about one object.
    """
    edges = np.cumsum([shares.get(name, 0.0) for name in CLASSES])
    return int(np.searchsorted(edges, (index * _GOLDEN) % 1.0 * edges[-1], side="right"))


def draw_galaxy(seed: int, index: int, plane: Plane, shares: Mapping[str, float] = SHARES) -> Galaxy:
    """One galaxy; it depends on these arguments and on nothing else.

    Args:
        seed: The seed of the population, at least 0.
        index: Number of the galaxy, at least 0.
        plane: Where its maps are drawn.
        shares: Share of each class; they need not add to 1.
    """
    name, label = f"galaxy-{index:06d}", label_of(index, shares)
    rng = stream(seed, name, "galaxy")
    magnitude = _counts(rng, _BRIGHT, _FAINT, _SLOPE)
    redshift = 0.035 * 10 ** (0.12 * (magnitude - 16)) * float(rng.lognormal(0, 0.2))
    target = Target(magnitude, _radius(rng, magnitude, label), redshift)
    make = (make_spiral, _make_elliptical, make_merger)[label]
    parts, own = make(rng, plane, target)
    neighbours = _neighbours(rng, plane, magnitude)
    truth: dict[str, Any] = {"mag_r": magnitude, "radius_arcsec": target.radius, "redshift": redshift}
    # Coadds of neighbouring places differ by a few percent in seeing, because their visits do.
    seeing = float(rng.lognormal(0, 0.05))
    return Galaxy(name, label, tuple(parts), tuple(neighbours), seeing, truth | {"neighbours": len(neighbours)} | own)


def _counts(rng: np.random.Generator, bright: float, faint: float, slope: float) -> float:
    """A magnitude between two limits where counts rise as 10**(slope m)."""
    return float(np.log10(rng.uniform(10 ** (slope * bright), 10 ** (slope * faint))) / slope)


def _radius(rng: np.random.Generator, magnitude: float, label: int) -> float:
    typical = 2.7 * 10 ** (-0.08 * (magnitude - 20))
    if CLASSES[label] == "elliptical":
        typical *= 0.85
    while True:
        radius = typical * 10 ** float(rng.normal(0, 0.13))
        if _SMALLEST < radius < _LARGEST:
            return radius


def _make_elliptical(rng: np.random.Generator, plane: Plane, target: Target) -> tuple[list[Part], dict[str, Any]]:
    """A spheroid; three in ten have a smooth disc (lenticulars)."""
    index = float(rng.choice(np.arange(2.5, 6.01, 0.5)))
    axis_ratio = 1 - 0.55 * float(rng.beta(1.6, 2.2))
    angle = float(rng.uniform(0, math.pi))
    x, y = rng.normal(0, 0.15, 2).tolist()
    disc = float(rng.uniform(0.15, 0.5)) if rng.random() < 0.3 else 0.0
    parts: list[Part] = [Profile(index, target.radius, target.flux(rng, 1 - disc, 1.0), x, y, axis_ratio, angle)]
    if disc:
        flat = axis_ratio * float(rng.uniform(0.4, 1.0))
        parts.append(Profile(1.0, 1.3 * target.radius, target.flux(rng, disc, 0.9), x, y, flat, angle))
    return parts, {"bulge_share": 1 - disc, "axis_ratio": axis_ratio, "sersic_index": index}


def _neighbours(rng: np.random.Generator, plane: Plane, magnitude: float) -> list[Part]:
    """Foreground and background sources, alike for every class, so that a second source does not mean a merger.

    All are at least a magnitude fainter than the galaxy.
    """
    parts: list[Part] = []
    for _ in range(rng.poisson(_CROWD * (2 * plane.half / 60) ** 2)):
        x, y = rng.uniform(-plane.half, plane.half, 2).tolist()
        own = _counts(rng, _FIELD_BRIGHT, _FIELD_FAINT, _FIELD_SLOPE)
        star = bool(rng.random() < 0.15)
        flux = stellar_flux(rng, own, float(rng.random()), 0.0 if star else 0.3, scatter=0.12)
        radius = 0.0 if star else float(rng.lognormal(math.log(0.35), 0.35))
        axis_ratio, angle = float(rng.uniform(0.3, 1.0)), float(rng.uniform(0, math.pi))
        if own > magnitude + 1:
            parts.append(Profile(1.0, radius, flux, x, y, axis_ratio, angle))
    return parts
