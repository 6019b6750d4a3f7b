"""The light of mergers: stars where the encounter put them, two nuclei, and young stars in the gas.

| property | source |
|---|---|
| mass ratios of major mergers, and what meets what | Darg et al. 2010 |
| bursts at the centres and in the tails | Hopkins et al. 2013 |
| bulge shares | Graham & Worley 2008 |
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from robustkit.data.encounters import Encounter, meet
from robustkit.data.light import Component, Flux, Map, Plane, Profile, Target, with_colours

# Share of light in bursts: of a gas-poor pair little.
_BURSTS = {"red": (0.0, 0.03), "green": (0.02, 0.08), "blue": (0.05, 0.18)}
# Which of the two has a disc. Two early types leave hardly a trace, so that pictures could not tell what they are.
_PROGENITORS = ((True, True), (True, False), (False, True))


def make_merger(rng: np.random.Generator, plane: Plane, target: Target) -> tuple[list[Component], dict[str, Any]]:
    """Two galaxies between their first passage and the first time after they are one; and what the catalogue says."""
    encounter = Encounter(
        mass_ratio=float(rng.uniform(0.25, 1.0)),
        pericentre=float(rng.uniform(0.4, 2.4)),
        time=float(rng.uniform(6, 110)),
        reach=float(rng.uniform(4, 7)),
        discs=_PROGENITORS[rng.choice(3, p=[0.6, 0.2, 0.2])],
    )
    remains = meet(rng, encounter)
    # The relation is of circularised radii of single galaxies; the brighter of the two has this share of the light.
    length = target.radius / math.sqrt(0.57) / (1 + encounter.mass_ratio) ** 0.4 / 1.6
    shares = np.array([1.0, encounter.mass_ratio]) / (1 + encounter.mass_ratio)
    # Catalogues centre on the brighter nucleus or, where they see one source, on the centroid.
    origin = remains.centres[0] if rng.random() < 0.5 else shares @ remains.centres
    origin = origin + rng.normal(0, 0.1, 2)
    parts: list[Component] = []
    for galaxy, disc in enumerate(encounter.discs):
        stars = (remains.stars[galaxy] - origin) * length
        nucleus = (remains.centres[galaxy] - origin) * length
        size = length * encounter.mass_ratio ** (0.4 * galaxy)
        own = _disc if disc else _spheroid
        parts += own(rng, plane, target, float(shares[galaxy]), stars, remains.weights[galaxy], nucleus, size)
    return with_colours(parts, *target.colours), {
        "mass_ratio": encounter.mass_ratio,
        "pericentre": encounter.pericentre,
        "time": encounter.time,
        "separation_arcsec": remains.separation * length,
        "discs": sum(encounter.discs),
    }


def _disc(
    rng: np.random.Generator,
    plane: Plane,
    target: Target,
    share: float,
    stars: np.ndarray,
    weights: np.ndarray,
    nucleus: np.ndarray,
    size: float,
) -> list[Component]:
    """What was a disc: its stars, its bulge, and a burst where its gas has gone."""
    bulge, burst = float(rng.uniform(0.1, 0.35)), float(rng.uniform(*_BURSTS[target.population])) + 1e-3
    nuclear = burst * float(rng.uniform(0.2, 0.7))
    count = int(rng.integers(10, 40))
    knots = rng.lognormal(0, 1.0, count)
    places = stars[rng.choice(len(stars), count, p=weights)]
    return [
        *_smoothed(plane, stars, weights, target.flux(share * (1 - bulge - burst))),
        *plane.points(places, knots / knots.sum(), target.flux(share * (burst - nuclear), -0.35), blur=0.06 * size),
        _bulge(rng, nucleus, size * float(rng.uniform(0.2, 0.45)), (1.0, 2.0, 3.0), target.flux(share * bulge, 0.1)),
        _bulge(rng, nucleus, size * 0.15, (1.0,), target.flux(share * nuclear, -0.25)),
    ]


def _spheroid(
    rng: np.random.Generator,
    plane: Plane,
    target: Target,
    share: float,
    stars: np.ndarray,
    weights: np.ndarray,
    nucleus: np.ndarray,
    size: float,
) -> list[Component]:
    """What was an early type: its loose stars make fans and shells around its core."""
    core = float(rng.uniform(0.5, 0.8))
    return [
        *_smoothed(plane, stars, weights, target.flux(share * (1 - core), 0.08)),
        _bulge(rng, nucleus, size * float(rng.uniform(0.3, 0.7)), (2.5, 3.0, 4.0), target.flux(share * core, 0.12)),
    ]


def _bulge(
    rng: np.random.Generator, nucleus: np.ndarray, radius: float, indices: tuple[float, ...], flux: Flux
) -> Profile:
    return Profile(
        index=float(rng.choice(indices)),
        radius=radius,
        flux=flux,
        x=float(nucleus[0]),
        y=float(nucleus[1]),
        axis_ratio=float(rng.uniform(0.6, 1.0)),
        angle=float(rng.uniform(0, math.pi)),
    )


def _smoothed(plane: Plane, stars: np.ndarray, weights: np.ndarray, flux: Flux) -> list[Map]:
    """Stars as smooth light: where they are few, each is spread more."""
    cell = 10 * plane.step
    column, row = np.floor((stars - stars.min(0)) / cell).astype(np.int64).T
    place = row * (column.max() + 1) + column
    crowd = np.bincount(place)[place]
    maps: list[Map] = []
    for low, high, blur in ((60, math.inf, 0.15), (12, 60, 0.3), (0, 12, 0.7)):
        chosen = (crowd > low) & (crowd <= high)
        maps += plane.points(stars[chosen], weights[chosen], flux, blur)
    return maps
