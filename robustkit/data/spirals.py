"""Disc galaxies: logarithmic arms, bars, star-forming knots and dust."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from robustkit.data.light import Map, Part, Plane, Profile, Target

_THICKNESS = 0.18  # of a disc seen from the side, over its diameter


@dataclass(frozen=True)
class Disc:
    """A disc galaxy without its bulge.

    Attributes:
        length: Scale length, arcsec.
        x: Position to the right of the centre of the stamp, arcsec.
        y: Position above it, arcsec.
        axis_ratio: Minor over major axis on the sky, in (0, 1].
        angle: Angle of the major axis, radians from the x axis.
        pitch: Angle between an arm and a circle, radians; negative for the other sense of winding.
        contrast: Contrast of the arms in the old disc, in [0, 1).
        sharpness: Sharpness of the arms in young light: the inverse variance of an arm's phase, radians**-2.
        bar: Half-length of the bar, scale lengths; 0 for none.
        roughness: Standard deviation of the logarithm of the young light, beside the arms.
        dust: Share of light that is lost in the plane of the disc, in [0, 1).
    """

    length: float
    x: float
    y: float
    axis_ratio: float
    angle: float
    arms: int
    pitch: float
    contrast: float
    sharpness: float
    bar: float
    roughness: float
    dust: float


def make_spiral(rng: np.random.Generator, plane: Plane, target: Target) -> tuple[list[Part], dict[str, Any]]:
    """A spiral galaxy: an old disc, young arms, knots, a redder bulge; and what its catalogue row says."""
    bulge = 0.02 + 0.8 * float(rng.beta(1.5, 6.0))
    young = float(rng.uniform(0.15, 0.45)) * (1 - bulge)
    knots = float(rng.uniform(0.02, 0.08)) * (1 - bulge)
    disc = _draw_parameters(rng, target.radius / 1.6)  # 1.68 without a bulge
    old_light, young_light = draw_disc(rng, plane, disc)
    knot_light = draw_knots(rng, young_light, int(rng.integers(20, 70)))
    parts: list[Part] = [
        Map(old_light, target.flux(rng, 1 - bulge - young - knots, 0.65)),
        Map(young_light, target.flux(rng, young, 0.1)),
        Map(knot_light, target.flux(rng, knots, 0.0), blur=0.15),
        Profile(
            index=float(rng.choice([1.0, 1.5, 2.0, 3.0, 4.0])),
            radius=disc.length * float(rng.uniform(0.2, 0.5)),
            flux=target.flux(rng, bulge, 1.0),
            x=disc.x,
            y=disc.y,
            axis_ratio=max(disc.axis_ratio, float(rng.uniform(0.6, 0.95))),
            angle=disc.angle,
        ),
    ]
    return parts, {
        "bulge_share": bulge,
        "axis_ratio": disc.axis_ratio,
        "arms": disc.arms,
        "pitch_deg": math.degrees(disc.pitch),
        "bar": disc.bar,
    }


def _draw_parameters(rng: np.random.Generator, length: float) -> Disc:
    cos = float(rng.uniform(0.15, 1.0))
    return Disc(
        length=length,
        x=float(rng.normal(0, 0.15)),
        y=float(rng.normal(0, 0.15)),
        axis_ratio=math.sqrt(cos**2 * (1 - _THICKNESS**2) + _THICKNESS**2),
        angle=float(rng.uniform(0, math.pi)),
        arms=int(rng.choice([2, 3, 4, 5], p=[0.66, 0.14, 0.13, 0.07])),
        pitch=math.radians(rng.uniform(10, 28)) * float(rng.choice([-1, 1])),
        contrast=float(rng.uniform(0.2, 0.6)),
        sharpness=float(rng.uniform(1.5, 5.0)),
        bar=float(rng.uniform(0.6, 1.3)) if rng.random() < 0.45 else 0.0,
        roughness=float(rng.uniform(0.2, 0.7)),
        dust=float(rng.uniform(0.2, 0.6)) if cos < 0.45 else 0.0,
    )


def draw_disc(rng: np.random.Generator, plane: Plane, disc: Disc) -> tuple[np.ndarray, np.ndarray]:
    """Surface brightness of the old and of the young stars, each of shape (P, P)."""
    along, across = plane.turned(disc.x, disc.y, disc.angle)
    along, across = along / disc.length, across / disc.length
    depth = across / disc.axis_ratio
    radius = np.sqrt(along * along + depth * depth)
    inner = max(disc.bar, 0.5)  # where the arms begin
    waver = 0.35 * smooth_field(rng, plane, 1.5 * disc.length)
    wind = np.log(np.maximum(radius, 0.05) / inner) / math.tan(disc.pitch)
    arm = np.cos(disc.arms * (np.arctan2(depth, along) - wind + waver)) - 1  # 0 on an arm, -2 between
    old = np.exp(-radius) * (1 - disc.contrast + 2 * disc.contrast * np.exp(arm))
    if disc.bar:
        bar = 1 - (along / disc.bar) ** 2 - (depth / (0.35 * disc.bar)) ** 2
        old += 0.9 * math.exp(-0.5 * disc.bar) * np.maximum(bar, 0) ** 1.5
    rough = np.exp(disc.roughness * smooth_field(rng, plane, 0.45 * disc.length))
    rise = 1 - np.exp(-((radius / inner) ** 4))
    young = np.exp(-radius / 1.25) * rise * rough * (np.exp(disc.sharpness * arm) + 0.08)
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
