"""The population: which galaxies there are, how bright, how large, and of what they are made.

It stands for a sample that was chosen for its size on the sky, as samples for visual classification are: magnitudes
16 to 21.5 in r, half-light radii above an arcsecond. Colours follow old, intermediate and young stars with redshift.
Other objects lie in the field of every class, so that a second source alone makes no merger.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from robustkit.data.encounters import Encounter, meet
from robustkit.data.render import Galaxy, Map, Plane, Profile, flux_of
from robustkit.data.spirals import Disc, draw_disc, draw_knots
from robustkit.seeds import stream

CLASSES = ("spiral", "elliptical", "merger")
SHARES = {"spiral": 0.4, "elliptical": 0.3, "merger": 0.3}

_BRIGHT, _FAINT = 17.0, 21.5
_SLOPE = 0.40  # of log10 counts per magnitude
_SMALLEST, _LARGEST = 1.4, 5.0  # half-light radius, arcsec
_CROWD = 30.0  # objects in the field to r = 25.5, per square arcminute
_GOLDEN = (math.sqrt(5) - 1) / 2


def label_of(index: int, shares: Mapping[str, float]) -> int:
    """The class of an object: in proportion for any number of objects, and the same whatever that number is.

    The multiples of the golden ratio fill [0, 1) evenly, so the first n objects have each class to about one object.
    """
    place = (index * _GOLDEN) % 1.0
    edges = np.cumsum([shares.get(name, 0.0) for name in CLASSES])
    return int(np.searchsorted(edges / edges[-1], place, side="right"))


def draw_galaxy(seed: int, index: int, plane: Plane, shares: Mapping[str, float] = SHARES) -> Galaxy:
    """One galaxy; it depends on the seed, its index, the plane and the shares of the classes, and on nothing else.

    Args:
        seed: The seed of the population.
        index: Its number, at least 0.
        plane: Where its maps are drawn.
        shares: Share of each class; they need not add to 1.
    """
    name = f"galaxy-{index:06d}"
    rng = stream(seed, name, "galaxy")
    label = label_of(index, shares)
    magnitude = _magnitude(rng)
    radius = _radius(rng, magnitude, label)
    redshift = float(0.035 * 10 ** (0.12 * (magnitude - 16)) * rng.lognormal(0, 0.2))
    truth: dict[str, Any] = {"redshift": redshift, "mag_r": magnitude, "radius_arcsec": radius}
    make = (_spiral, _elliptical, _merger)[label]
    parts, own = make(rng, plane, magnitude, radius, redshift)
    field = _field(rng, plane, magnitude)
    truth |= own | {"neighbours": len(field)}
    return Galaxy(name, label, (*parts, *field), truth, seeing=float(rng.lognormal(0, 0.05)))


def _magnitude(rng: np.random.Generator) -> float:
    """Counts that rise as 10**(slope m) between the two limits."""
    low, high = 10 ** (_SLOPE * _BRIGHT), 10 ** (_SLOPE * _FAINT)
    return float(np.log10(rng.uniform(low, high)) / _SLOPE)


def _radius(rng: np.random.Generator, magnitude: float, label: int) -> float:
    typical = 2.7 * 10 ** (-0.08 * (magnitude - 20))
    if label == 1:
        typical *= 0.85
    while True:
        radius = float(typical * 10 ** rng.normal(0, 0.13))
        if _SMALLEST < radius < _LARGEST:
            return radius


def _flux(
    rng: np.random.Generator, magnitude: float, age: float, redshift: float, scatter: float = 0.04
) -> tuple[float, float, float]:
    """Fluxes of stars of an age: 0 young, 1 old."""
    blue = 0.22 + 0.50 * age + (0.6 + 1.0 * age) * redshift + rng.normal(0, scatter)
    red = 0.08 + 0.28 * age + (0.15 + 0.2 * age) * redshift + rng.normal(0, scatter / 2)
    return flux_of((magnitude + blue, magnitude, magnitude - red))


def _share(magnitude: float, share: float) -> float:
    """Magnitude of a share of the light."""
    return magnitude - 2.5 * math.log10(share)


Made = tuple[list[Profile | Map], dict[str, Any]]


def _spiral(rng: np.random.Generator, plane: Plane, magnitude: float, radius: float, redshift: float) -> Made:
    bulge = float(rng.beta(1.5, 6.0)) * 0.8 + 0.02
    young = float(rng.uniform(0.15, 0.45)) * (1 - bulge)
    knots = float(rng.uniform(0.02, 0.08)) * (1 - bulge)
    cos = float(rng.uniform(0.15, 1.0))
    bar = float(rng.uniform(0.6, 1.3)) if rng.random() < 0.45 else 0.0
    disc = Disc(
        length=radius / 1.6,
        x=float(rng.normal(0, 0.15)),
        y=float(rng.normal(0, 0.15)),
        axis_ratio=math.sqrt(cos**2 * (1 - 0.18**2) + 0.18**2),
        angle=float(rng.uniform(0, math.pi)),
        arms=int(rng.choice([2, 3, 4, 5], p=[0.66, 0.14, 0.13, 0.07])),
        pitch=math.radians(rng.uniform(10, 28)) * float(rng.choice([-1, 1])),
        contrast=float(rng.uniform(0.2, 0.6)),
        sharpness=float(rng.uniform(1.5, 5.0)),
        bar=bar,
        roughness=float(rng.uniform(0.2, 0.7)),
        dust=float(rng.uniform(0.2, 0.6)) if cos < 0.45 else 0.0,
    )
    old_light, young_light = draw_disc(rng, plane, disc)
    count = int(rng.integers(20, 70))
    parts: list[Profile | Map] = [
        Map(old_light, _flux(rng, _share(magnitude, 1 - bulge - young - knots), 0.65, redshift)),
        Map(young_light, _flux(rng, _share(magnitude, young), 0.1, redshift)),
        Map(draw_knots(rng, young_light, count), _flux(rng, _share(magnitude, knots), 0.0, redshift), blur=0.15),
        Profile(
            float(rng.choice([1.0, 1.5, 2.0, 3.0, 4.0])),
            disc.length * float(rng.uniform(0.2, 0.5)),
            _flux(rng, _share(magnitude, bulge), 1.0, redshift),
            disc.x,
            disc.y,
            max(disc.axis_ratio, float(rng.uniform(0.6, 0.95))),
            disc.angle,
        ),
    ]
    return parts, {
        "bulge_share": bulge,
        "axis_ratio": disc.axis_ratio,
        "arms": disc.arms,
        "pitch_deg": math.degrees(disc.pitch),
        "bar": bar,
    }


def _elliptical(rng: np.random.Generator, plane: Plane, magnitude: float, radius: float, redshift: float) -> Made:
    index = float(rng.choice(np.arange(2.5, 6.01, 0.5)))
    axis_ratio = float(1 - 0.55 * rng.beta(1.6, 2.2))
    angle = float(rng.uniform(0, math.pi))
    x, y = rng.normal(0, 0.15, 2).tolist()
    # Lenticulars: a smooth disc without arms.
    disc = float(rng.uniform(0.15, 0.5)) if rng.random() < 0.3 else 0.0
    old = _flux(rng, _share(magnitude, 1 - disc), 1.0, redshift)
    parts: list[Profile | Map] = [Profile(index, radius, old, x, y, axis_ratio, angle)]
    if disc:
        flux = _flux(rng, _share(magnitude, disc), 0.9, redshift)
        parts.append(Profile(1.0, 1.3 * radius, flux, x, y, axis_ratio * float(rng.uniform(0.4, 1.0)), angle))
    return parts, {"bulge_share": 1 - disc, "axis_ratio": axis_ratio, "sersic_index": index}


def _merger(rng: np.random.Generator, plane: Plane, magnitude: float, radius: float, redshift: float) -> Made:
    discs = (rng.random() < 0.8, rng.random() < 0.75)
    encounter = Encounter(
        mass_ratio=float(rng.uniform(0.25, 1.0)),
        pericentre=float(rng.uniform(0.4, 2.4)),
        time=float(rng.uniform(6, 110)),
        reach=float(rng.uniform(4, 7)),
        discs=discs,
    )
    remains = meet(rng, encounter)
    length = radius / 1.9
    weights = np.array([1.0, encounter.mass_ratio]) / (1 + encounter.mass_ratio)
    origin = remains.centres[0] if rng.random() < 0.5 else weights @ remains.centres
    origin = origin + rng.normal(0, 0.1, 2)
    parts: list[Profile | Map] = []
    for galaxy in range(2):
        share = float(weights[galaxy])
        bulge = float(rng.uniform(0.1, 0.35)) if discs[galaxy] else float(rng.uniform(0.5, 0.8))
        burst = float(rng.uniform(0.03, 0.15)) if discs[galaxy] else 0.0
        stars = (remains.stars[galaxy] - origin) * length
        flux = _flux(rng, _share(magnitude, share * (1 - bulge - burst)), 0.6 if discs[galaxy] else 1.0, redshift)
        parts += _star_maps(plane, stars, remains.weights[galaxy], flux)
        if burst:
            blue = _flux(rng, _share(magnitude, share * burst), 0.0, redshift)
            parts += _burst(rng, plane, stars, remains.weights[galaxy], blue)
        x, y = ((remains.centres[galaxy] - origin) * length).tolist()
        size = length * encounter.mass_ratio ** (0.4 * galaxy) * float(rng.uniform(0.2, 0.45))
        index = float(rng.choice([1.0, 2.0, 3.0] if discs[galaxy] else [2.5, 3.0, 4.0]))
        old = _flux(rng, _share(magnitude, share * bulge), 0.95, redshift)
        parts.append(
            Profile(
                index,
                size if discs[galaxy] else 1.6 * size,
                old,
                x,
                y,
                float(rng.uniform(0.6, 1)),
                float(rng.uniform(0, math.pi)),
            )
        )
    return parts, {
        "mass_ratio": encounter.mass_ratio,
        "pericentre": encounter.pericentre,
        "time": encounter.time,
        "separation_arcsec": remains.separation * length,
        "gas_rich": int(discs[0]) + int(discs[1]),
    }


def _star_maps(plane: Plane, stars: np.ndarray, weights: np.ndarray, flux: tuple[float, float, float]) -> list[Map]:
    """Stars as smooth light: where they are few, each is spread more."""
    cell = 10 * plane.step
    column, row = np.round((stars - stars.min(0)) / cell).astype(np.int64).T
    crowd = np.bincount(row * (column.max() + 1) + column)[row * (column.max() + 1) + column]
    maps = []
    for low, high, blur in ((60, math.inf, 0.15), (12, 60, 0.3), (0, 12, 0.7)):
        chosen = (crowd > low) & (crowd <= high)
        maps += _points(plane, stars[chosen], weights[chosen], flux, blur)
    return maps


def _burst(
    rng: np.random.Generator, plane: Plane, stars: np.ndarray, weights: np.ndarray, flux: tuple[float, float, float]
) -> list[Map]:
    """Star-forming regions where stars are: the gas of an encounter collects in its nuclei, bridges and tails."""
    count = int(rng.integers(10, 40))
    light = rng.lognormal(0, 1.0, count)
    return _points(plane, stars[rng.choice(len(stars), count, p=weights)], light / light.sum(), flux, 0.18)


def _points(
    plane: Plane, places: np.ndarray, light: np.ndarray, flux: tuple[float, float, float], blur: float
) -> list[Map]:
    """Points of light as a map, or nothing where none falls on the plane.

    Args:
        plane: Where the map is drawn.
        places: Arcsec from the centre, shape (S, 2).
        light: Share of the flux of each point, shape (S,).
        flux: In g, r, i, of all points, also of those beyond the plane.
        blur: Sigma of each, arcsec.
    """
    points = len(plane)
    column, row = np.round((places - plane.x[0, 0]) / plane.step).astype(np.int64).T
    inside = (column >= 0) & (column < points) & (row >= 0) & (row < points)
    image = np.bincount((row * points + column)[inside], light[inside], points * points).reshape(points, points)
    share = float(image.sum())
    if share == 0:
        return []
    return [Map(image, (flux[0] * share, flux[1] * share, flux[2] * share), blur)]


def _field(rng: np.random.Generator, plane: Plane, magnitude: float) -> list[Profile | Map]:
    """Stars and galaxies that happen to lie in the stamp, all at least a magnitude fainter than the galaxy."""
    half = float(plane.x[0, -1])
    brightest, faintest, slope = 20.0, 25.5, 0.33
    low, high = 10 ** (slope * brightest), 10 ** (slope * faintest)
    parts: list[Profile | Map] = []
    for _ in range(rng.poisson(_CROWD * (2 * half / 60) ** 2)):
        x, y = rng.uniform(-half, half, 2).tolist()
        own = float(np.log10(rng.uniform(low, high)) / slope)
        star = rng.random() < 0.15
        flux = _flux(rng, own, float(rng.uniform(0, 1)), 0.0 if star else 0.3, 0.12)
        radius = 0.0 if star else float(rng.lognormal(math.log(0.35), 0.35))
        axis_ratio, angle = float(rng.uniform(0.3, 1.0)), float(rng.uniform(0, math.pi))
        if own > magnitude + 1:
            parts.append(Profile(1.0, radius, flux, x, y, axis_ratio, angle))
    return parts
