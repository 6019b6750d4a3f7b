"""Disc galaxies: arms or flocculence, bars, rings, star-forming knots, dust and bulges.

| property | source |
|---|---|
| thickness of discs, inclinations at random | Unterborn & Ryden 2008 |
| bulge shares and Sersic indices | Weinzirl et al. 2009, doi:10.1088/0004-637X/696/1/411 |
| bulge sizes | Graham & Worley 2008 |
| breaks of exponential discs | Pohlen & Trujillo 2006 |
| flocculent discs, three in ten | Elmegreen & Elmegreen 1982 |
| number of arms | Hart et al. 2016, doi:10.1093/mnras/stw1588 |
| pitch angles | Yu & Ho 2018 |
| contrast of arms | Rix & Zaritsky 1995; Elmegreen et al. 2011 |
| lopsided discs | Rix & Zaritsky 1995 |
| bars: half of the discs, half of these strong | Barazza et al. 2008 |
| lengths of bars | Erwin 2005 |
| inner rings, one disc in three | Comeron et al. 2014 |
| smooth arms of red spirals | Masters et al. 2010 |
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from robustkit.data.light import Component, Map, Plane, Profile, Target, with_colours
from robustkit.data.relations import reddening

_THICKNESS = 0.2  # of a disc seen from the side, over its diameter
# Share of light in the bulge: median, and scatter of its natural logarithm; two spirals in three are below 0.2.
_BULGES = {"red": (0.10, 0.5), "green": (0.07, 0.5), "blue": (0.04, 0.6)}
# Shares of light of young stars along the arms, and of knots among them.
_YOUNG = {"red": (0.03, 0.12), "green": (0.10, 0.25), "blue": (0.25, 0.50)}
_KNOTS = {"red": (0.0, 0.01), "green": (0.005, 0.03), "blue": (0.01, 0.05)}
# Half-light radius over the scale length of a disc with a compact bulge of this share.
_BULGE_SHARES, _HALF_LIGHT = (0.0, 0.1, 0.2, 0.3, 0.4, 0.5), (1.68, 1.51, 1.33, 1.13, 0.95, 0.80)


@dataclass(frozen=True)
class Disc:
    """A disc galaxy without its bulge.

    Attributes:
        length: Scale length, arcsec.
        x: Position to the right of the centre of the stamp, arcsec.
        y: Position above it, arcsec.
        axis_ratio: Minor over major axis on the sky, in (0, 1].
        angle: Angle of the major axis, radians from the x axis.
        arms: Number of arms; of a flocculent disc, of its short pieces around a circle.
        flocculent: Whether pieces of arms take the place of long ones.
        pitch: Angle between an arm and a circle, radians; negative for the other sense of winding.
        contrast: Contrast of the arms in the old disc, in [0, 1).
        sharpness: Sharpness of the arms in young light: the inverse variance of an arm's phase, radians**-2.
        bar: Half-length of the bar, scale lengths; 0 for none.
        bar_light: Brightness of the bar over the disc's centre.
        ring: Radius of an inner ring, scale lengths; 0 for none.
        edge: Radius beyond which the disc falls twice as steeply, scale lengths.
        lopsided: Amplitude of lopsidedness, and its direction in radians.
        roughness: Standard deviation of the logarithm of the young light, beside the arms.
        dust: Share of light that is lost in the plane of the disc, in [0, 1).
    """

    length: float
    x: float
    y: float
    axis_ratio: float
    angle: float
    arms: int
    flocculent: bool
    pitch: float
    contrast: float
    sharpness: float
    bar: float
    bar_light: float
    ring: float
    edge: float
    lopsided: tuple[float, float]
    roughness: float
    dust: float


def make_spiral(rng: np.random.Generator, plane: Plane, target: Target) -> tuple[list[Component], dict[str, Any]]:
    """A spiral galaxy: an old disc, young arms, knots, a redder bulge; and what its catalogue row says."""
    median, scatter = _BULGES[target.population]
    bulge = min(median * float(rng.lognormal(0, scatter)), 0.5)
    young = float(rng.uniform(*_YOUNG[target.population])) * (1 - bulge)
    knots = float(rng.uniform(*_KNOTS[target.population])) * target.clumps * (1 - bulge) + 1e-3
    # The relation is of circularised radii, and random inclinations flatten discs to 0.57 in the median.
    length = target.radius / math.sqrt(0.57) / float(np.interp(bulge, _BULGE_SHARES, _HALF_LIGHT))
    disc = draw_parameters(rng, length)
    old_light, young_light = draw_disc(rng, plane, disc)
    knot_light = draw_knots(rng, young_light, int(rng.integers(20, 70)))
    index = float(rng.choice([1.0, 1.5, 2.0, 3.0, 4.0], p=[0.25, 0.25, 0.25, 0.15, 0.1]))
    parts: list[Component] = [
        Map(old_light, target.flux(1 - bulge - young - knots)),
        Map(young_light, target.flux(young, -0.25)),
        Map(knot_light, target.flux(knots, -0.35), blur=0.05 * disc.length),
        Profile(
            index=index,
            radius=disc.length * 0.25 * float(rng.lognormal(0, 0.35)),
            flux=target.flux(bulge, 0.12),
            x=disc.x,
            y=disc.y,
            axis_ratio=max(disc.axis_ratio, float(rng.uniform(0.6, 0.95))),
            angle=disc.angle,
        ),
    ]
    dust = reddening(disc.axis_ratio)
    g_r, r_i = target.colours
    return with_colours(parts, g_r + dust, r_i + dust), {
        "bulge_share": bulge,
        "axis_ratio": disc.axis_ratio,
        "radius_major_arcsec": length * float(np.interp(bulge, _BULGE_SHARES, _HALF_LIGHT)),
        "arms": 0 if disc.flocculent else disc.arms,
        "pitch_deg": math.degrees(disc.pitch),
        "bar": disc.bar,
        "ring": disc.ring,
    }


def draw_parameters(rng: np.random.Generator, length: float) -> Disc:
    """A disc of a scale length, with all else drawn."""
    cos = float(rng.uniform(0.0, 1.0))
    flocculent = bool(rng.random() < 0.3)
    strength = float(rng.choice([0.0, 0.5, 1.0], p=[0.5, 0.25, 0.25]))
    bar = float(rng.uniform(0.5, 1.4)) if strength else 0.0
    ring = (bar or float(rng.uniform(0.8, 1.6))) * 1.1 if rng.random() < 0.33 else 0.0
    arms = int(rng.integers(5, 9)) if flocculent else int(rng.choice([1, 2, 3, 4, 5], p=[0.06, 0.62, 0.19, 0.08, 0.05]))
    return Disc(
        length=length,
        x=float(rng.normal(0, 0.1)),
        y=float(rng.normal(0, 0.1)),
        axis_ratio=math.sqrt(cos**2 * (1 - _THICKNESS**2) + _THICKNESS**2),
        angle=float(rng.uniform(0, math.pi)),
        arms=arms,
        flocculent=flocculent,
        pitch=math.radians(min(max(float(rng.normal(19, 6)), 8), 35)) * float(rng.choice([-1, 1])),
        contrast=float(rng.uniform(0.20, 0.55)) * (0.5 if flocculent else 1.0),
        sharpness=float(rng.uniform(1.0, 4.0)),
        bar=bar,
        bar_light=strength,
        ring=ring,
        edge=float(rng.uniform(2.0, 5.0)),
        lopsided=(abs(float(rng.normal(0, 0.12))), float(rng.uniform(0, 2 * math.pi))),
        roughness=float(rng.uniform(0.2, 0.7)),
        dust=float(rng.uniform(0.2, 0.6)) if cos < 0.35 else 0.0,
    )


def draw_disc(rng: np.random.Generator, plane: Plane, disc: Disc) -> tuple[np.ndarray, np.ndarray]:
    """Surface brightness of the old and of the young stars, each of shape (P, P)."""
    along, across = plane.turned(disc.x, disc.y, disc.angle)
    along, across = along / disc.length, across / disc.length
    depth = across / disc.axis_ratio
    radius = np.sqrt(along * along + depth * depth)
    inner = max(disc.bar, 0.5)  # where the arms begin
    turn = np.arctan2(depth, along)
    waver = (1.1 if disc.flocculent else 0.35) * smooth_field(
        rng, plane, (0.8 if disc.flocculent else 1.5) * disc.length
    )
    wind = np.log(np.maximum(radius, 0.05) / inner) / math.tan(disc.pitch)
    arm = np.cos(disc.arms * (turn - wind + waver)) - 1  # 0 on an arm, -2 between
    fall = np.exp(-np.maximum(radius - disc.edge, 0))  # what a break takes beyond it
    amplitude, direction = disc.lopsided
    fall *= 1 + amplitude * np.minimum(radius / 2.5, 1) * np.cos(turn - direction)
    old = np.exp(-radius) * fall * (1 - disc.contrast + 2 * disc.contrast * np.exp(arm))
    if disc.bar:
        bar = 1 - (along / disc.bar) ** 2 - (depth / (0.35 * disc.bar)) ** 2
        old += disc.bar_light * math.exp(-0.5 * disc.bar) * np.maximum(bar, 0) ** 1.5
    rough = np.exp(disc.roughness * smooth_field(rng, plane, 0.45 * disc.length))
    rise = 1 - np.exp(-((radius / inner) ** 4))
    young = np.exp(-radius / 1.25) * fall * rise * rough * (np.exp(disc.sharpness * arm) + 0.08)
    if disc.ring:
        ring = np.exp(-0.5 * ((radius - disc.ring) / 0.13) ** 2) * math.exp(-disc.ring)
        old, young = old + 0.25 * ring, young + 0.9 * ring * rough
    if disc.dust:
        # The lane lies before the near half of the disc, so a little off the middle.
        lane = 1 - disc.dust * np.exp(-0.5 * ((across - 0.06) / 0.13) ** 2 - (radius / 4) ** 2)
        old, young = old * lane, young * lane
    return old, young


def draw_knots(rng: np.random.Generator, young: np.ndarray, count: int) -> np.ndarray:
    """Star-forming regions as points, placed where the young light is, with a log-normal range of light."""
    total = np.cumsum(young.ravel(), dtype=np.float64)
    places = np.searchsorted(total, rng.uniform(0, total[-1], count), side="right")
    return np.bincount(places, rng.lognormal(0, 0.8, count), young.size).reshape(young.shape)


def smooth_field(rng: np.random.Generator, plane: Plane, scale: float) -> np.ndarray:
    """A smooth random field of mean 0 and variance 1, shape (P, P), float32.

    Args:
        rng: Draws it.
        plane: Where it is drawn.
        scale: Correlation length, arcsec.
    """
    nodes = np.arange(-plane.half - 2 * scale, plane.half + 3 * scale, scale, dtype=np.float32)
    weights = np.exp(-0.5 * ((plane.y - nodes) / (0.8 * scale)) ** 2)  # (P, nodes)
    weights /= np.linalg.norm(weights, axis=1, keepdims=True)
    return weights @ rng.standard_normal((len(nodes), len(nodes)), dtype=np.float32) @ weights.T
