"""The simulated population: how many of each class, where they are, and what else is in a stamp.

Luminosity, redshift and size are drawn jointly for a sample limited in flux, then colour and shape, all from published
relations with their scatter (`robustkit.data.relations`). A galaxy too small for its shape to be seen, or too large for
its stamp, is drawn again with its luminosity and redshift, as a sample limited in size too would have it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from robustkit.data.ellipticals import make_elliptical
from robustkit.data.field import draw_field
from robustkit.data.light import Galaxy, Plane, Target
from robustkit.data.mergers import make_merger
from robustkit.data.relations import (
    Kind,
    Sample,
    age_of,
    distance_modulus,
    draw_colour,
    draw_place,
    draw_population,
    k_correction,
    kpc_per_arcsec,
    observed_colours,
)
from robustkit.data.spirals import make_spiral
from robustkit.data.styles import STYLES, Style
from robustkit.seeds import stream

CLASSES = ("spiral", "elliptical", "merger")
SHARES: Mapping[str, float] = {"spiral": 0.4, "elliptical": 0.3, "merger": 0.3}

_LARGEST = 0.22  # half-light radius over the width of the stamp
_GOLDEN = (math.sqrt(5) - 1) / 2


def label_of(index: int, shares: Mapping[str, float] = SHARES) -> int:
    """The class of an object: in proportion for any number of objects, and the same whatever that number is.

    The multiples of the golden ratio fill [0, 1) evenly, so that the first n objects have each class in proportion,
    to about one object.
    """
    edges = np.cumsum([shares.get(name, 0.0) for name in CLASSES])
    return int(np.searchsorted(edges, (index * _GOLDEN) % 1.0 * edges[-1], side="right"))


def draw_galaxy(
    seed: int, index: int, plane: Plane, shares: Mapping[str, float] = SHARES, style: Style = STYLES["lsst"]
) -> Galaxy:
    """One galaxy; it depends on these arguments and on nothing else.

    Args:
        seed: The seed of the population, at least 0.
        index: Number of the galaxy, at least 0.
        plane: Where its maps are drawn.
        shares: Share of each class; they need not add to 1.
        style: The universe.
    """
    # Styles share no random numbers, or one would be a picture of the same shapes as another.
    name = f"{'galaxy' if style.name == 'lsst' else style.name}-{index:06d}"
    label = label_of(index, shares)
    rng = stream(seed, name, "galaxy")
    target, radius = draw_target(rng, style.kinds[label], style.sample, plane)
    target = replace(target, clumps=style.clumps)
    make = (make_spiral, make_elliptical, make_merger)[label]
    parts, own = make(rng, plane, target)
    neighbours = draw_field(rng, plane, target, style.field)
    truth: dict[str, Any] = {
        "mag_r": target.magnitude,
        "abs_mag_r": target.absolute,
        "redshift": target.redshift,
        "radius_arcsec": target.radius,
        "radius_kpc": radius,
        "population": target.population,
        "g_r": target.colours[0],
        "r_i": target.colours[1],
        "neighbours": len(neighbours),
    }
    # Coadds of neighbouring places differ by some percent in seeing and shape of the PSF, because their visits do.
    seeing = float(rng.lognormal(0, 0.07))
    e1, e2 = rng.normal(0, 0.015, 2).tolist()
    return Galaxy(name, label, tuple(parts), tuple(neighbours), seeing, (e1, e2), truth | own)


def draw_target(rng: np.random.Generator, kind: Kind, sample: Sample, plane: Plane) -> tuple[Target, float]:
    """A galaxy of a class before it is made, and its half-light radius in kpc.

    Args:
        rng: The random stream of the galaxy.
        kind: Its class.
        sample: Limits of magnitude and size.
        plane: The stamp.
    """
    smallest, largest = sample.smallest, _LARGEST * 2 * plane.half
    while True:
        absolute, redshift = draw_place(rng, kind, sample)
        radius = kind.sizes.median(absolute, redshift) * float(rng.lognormal(0, kind.sizes.scatter(absolute)))
        if smallest < radius / kpc_per_arcsec(redshift) < max(largest, 2 * smallest):
            break
    population = draw_population(rng, kind, absolute)
    colour = draw_colour(rng, population, absolute)
    magnitude = absolute + float(distance_modulus(redshift) + k_correction(age_of(colour), redshift))
    colours = observed_colours(colour, redshift)
    return Target(absolute, redshift, magnitude, population, colours, radius / kpc_per_arcsec(redshift)), radius
