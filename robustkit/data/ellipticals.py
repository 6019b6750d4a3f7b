"""Early types: spheroids, and lenticulars with a smooth disc.

| property | source |
|---|---|
| Sersic index against luminosity | see `robustkit.data.relations` |
| axis ratios of spheroids | Padilla & Strauss 2008 |
| lenticulars (three in ten) and their discs | Laurikainen et al. 2010 |
| blue cores of star-forming early types | Schawinski et al. 2009 |
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from robustkit.data.light import Component, Plane, Profile, Target, with_colours
from robustkit.data.relations import sersic_index

_CORES = {"red": 0.0, "green": 0.06, "blue": 0.12}  # share of light in a core that forms stars


def make_elliptical(rng: np.random.Generator, plane: Plane, target: Target) -> tuple[list[Component], dict[str, Any]]:
    """A spheroid, with a smooth disc or without; and what its catalogue row says."""
    lenticular = bool(rng.random() < 0.3)
    disc = float(rng.uniform(0.2, 0.6)) if lenticular else 0.0
    core = _CORES[target.population] * float(rng.uniform(0.5, 1.5))
    index = sersic_index(rng, target.absolute)
    axis_ratio = 1 - 0.5 * float(rng.beta(1.8, 2.2))
    angle = float(rng.uniform(0, math.pi))
    x, y = rng.normal(0, 0.1, 2).tolist()
    # Half-light radii of bulge and disc, over that of both together.
    inner, outer = (0.72, 1.35) if lenticular else (1.0, 0.0)
    parts: list[Component] = [
        Profile(index, inner * target.radius, target.flux(1 - disc - core, 0.02), x, y, axis_ratio, angle)
    ]
    if lenticular:
        flat = math.sqrt(float(rng.uniform(0.0, 1.0)) ** 2 * 0.91 + 0.09)
        parts.append(Profile(1.0, outer * target.radius, target.flux(disc, -0.04), x, y, flat, angle))
    if core:
        parts.append(Profile(1.0, 0.35 * target.radius, target.flux(core, -0.4), x, y, axis_ratio, angle))
    return with_colours(parts, *target.colours), {
        "bulge_share": 1 - disc - core,
        "axis_ratio": axis_ratio,
        "sersic_index": index,
    }
