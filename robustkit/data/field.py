"""What else is in a stamp: stars and galaxies before and behind, and companions.

They are drawn alike for every class, so that a second source does not mean a merger.

| property | source |
|---|---|
| counts of galaxies in r | Metcalfe et al. 2001 |
| counts of stars away from the Galactic plane | Juric et al. 2008, doi:10.1086/523619 |
| sizes of faint galaxies | Shibuya et al. 2015, doi:10.1088/0067-0049/219/2/15 |
| galaxies with a companion that leaves no trace, one in twelve | Patton et al. 2000 |
"""

from __future__ import annotations

import math

import numpy as np

from robustkit.data.light import Component, Plane, Profile, Target, fluxes

# Galaxies per square degree and magnitude in r: 10**(0.39 (r - 20) + 3.0) and flatter beyond 22.
_BRIGHT, _FAINT, _SLOPE = 17.5, 25.0, 0.36
_GALAXIES = 24.0  # per square arcminute between the limits
_STARS, _STAR_SLOPE = 2.2, 0.12  # likewise
_COMPANIONS = 0.08


def draw_field(rng: np.random.Generator, plane: Plane, target: Target, density: float = 1.0) -> list[Component]:
    """Foreground and background sources, and a companion of some galaxies.

    Args:
        rng: Draws them.
        plane: The stamp.
        target: The galaxy.
        density: Of sources, over that of the sky down to r = 25.
    """
    area = density * (2 * plane.half / 60) ** 2
    parts: list[Component] = []
    for _ in range(rng.poisson(_GALAXIES * area)):
        magnitude = counts(rng, _BRIGHT, _FAINT, _SLOPE)
        x, y = _place(rng, plane, target, magnitude)
        radius = 0.35 * 10 ** (-0.09 * (magnitude - 24)) * float(rng.lognormal(0, 0.35))
        g_r = float(rng.normal(0.65, 0.35))
        r_i = 0.1 + 0.4 * g_r + float(rng.normal(0, 0.12))
        axis_ratio, angle = float(rng.uniform(0.3, 1.0)), float(rng.uniform(0, math.pi))
        index = 1.0 if magnitude > 21 or rng.random() < 0.7 else 4.0
        parts.append(Profile(index, radius, fluxes(magnitude, g_r, r_i), x, y, axis_ratio, angle))
    for _ in range(rng.poisson(_STARS * area)):
        magnitude = counts(rng, _BRIGHT, _FAINT, _STAR_SLOPE)
        x, y = _place(rng, plane, target, magnitude)
        g_r = float(rng.uniform(0.3, 1.5))
        parts.append(Profile(1.0, 0.0, fluxes(magnitude, g_r, max(0.4 * g_r, 1.6 * (g_r - 0.95))), x, y))
    if rng.random() < _COMPANIONS:
        parts.append(_companion(rng, target))
    return parts


def counts(rng: np.random.Generator, bright: float, faint: float, slope: float) -> float:
    """A magnitude between two limits where counts rise as 10**(slope m).

    Args:
        rng: The random stream.
        bright: The brightest, magnitudes.
        faint: The faintest, magnitudes.
        slope: Of the logarithm of the counts, per magnitude.
    """
    return float(np.log10(rng.uniform(10 ** (slope * bright), 10 ** (slope * faint))) / slope)


def _place(rng: np.random.Generator, plane: Plane, target: Target, magnitude: float) -> tuple[float, float]:
    """A place in the stamp; what is nearly as bright as the galaxy does not lie upon it."""
    while True:
        x, y = rng.uniform(-plane.half, plane.half, 2).tolist()
        if magnitude > target.magnitude + 1.5 or math.hypot(x, y) > 1.5 * target.radius + 1.0:
            return x, y


def _companion(rng: np.random.Generator, target: Target) -> Profile:
    """A galaxy of the same redshift, one to three magnitudes fainter, near it on the sky."""
    fainter = float(rng.uniform(0.7, 3.0))
    away, turn = target.radius * float(rng.uniform(2.0, 4.5)), float(rng.uniform(0, 2 * math.pi))
    g_r, r_i = target.colours
    return Profile(
        index=float(rng.choice([1.0, 1.5, 3.0])),
        radius=target.radius * 10 ** (-0.2 * fainter) * float(rng.lognormal(0, 0.3)),
        flux=fluxes(target.magnitude + fainter, g_r + float(rng.normal(0, 0.15)), r_i + float(rng.normal(0, 0.07))),
        x=away * math.cos(turn),
        y=away * math.sin(turn),
        axis_ratio=float(rng.uniform(0.35, 1.0)),
        angle=float(rng.uniform(0, math.pi)),
    )
