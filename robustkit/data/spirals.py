"""The light of disc galaxies: logarithmic arms, bars, star-forming knots and dust, on the plane of a renderer."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from robustkit.data.render import Plane


@dataclass(frozen=True)
class Disc:
    """A disc galaxy without its bulge.

    Attributes:
        length: Scale length, arcsec.
        x: Position to the right of the centre of the stamp, arcsec.
        y: Position above it, arcsec.
        axis_ratio: Minor over major axis on the sky, in (0, 1].
        angle: Of the major axis, radians from the x axis.
        arms: How many.
        pitch: Angle between an arm and a circle, radians; negative for the other sense of winding.
        contrast: Of the arms in the old disc, in [0, 1).
        sharpness: Of the arms in young light: the inverse variance of an arm's phase, radians**-2.
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


def draw_disc(rng: np.random.Generator, plane: Plane, disc: Disc) -> tuple[np.ndarray, np.ndarray]:
    """Surface brightness of the old and of the young stars, each of shape (P, P)."""
    u, v = turned(plane, disc.x, disc.y, disc.angle)
    depth = v / disc.axis_ratio
    radius = np.sqrt(u * u + depth * depth) / disc.length
    turn = np.arctan2(depth, u)
    inner = max(disc.bar, 0.5)
    wind = np.log(np.maximum(radius, 0.05) / inner) / np.tan(disc.pitch)
    waver = smooth_field(rng, plane, 1.5 * disc.length) * np.float32(0.35)
    phase = disc.arms * (turn - wind) + waver * disc.arms
    ridge = np.exp(disc.sharpness * (np.cos(phase) - 1))
    old = np.exp(-radius) * (1 - disc.contrast + 2 * disc.contrast * np.exp(np.cos(phase) - 1))
    rise = 1 - np.exp(-((radius / inner) ** 4))
    rough = np.exp(disc.roughness * smooth_field(rng, plane, 0.45 * disc.length))
    young = np.exp(-radius / 1.25) * rise * (ridge + 0.08) * rough
    if disc.bar:
        length = np.cos(disc.angle) * 0 + disc.bar
        shape = (u / disc.length / length) ** 2 + (depth / disc.length / (0.35 * length)) ** 2
        old = old + 0.9 * np.exp(-0.5 * disc.bar) * np.maximum(1 - shape, 0) ** 1.5
    if disc.dust:
        # Dust lies in the plane, so of an inclined disc it dims the near side, and of an edge-on one the middle.
        lane = 1 - disc.dust * np.exp(-0.5 * ((v / disc.length - 0.06) / 0.13) ** 2 - (radius / 4) ** 2)
        old, young = old * lane, young * lane
    return old, young


def draw_knots(rng: np.random.Generator, young: np.ndarray, count: int) -> np.ndarray:
    """Star-forming regions as points, placed where the young light is, with a log-normal range of light."""
    total = np.cumsum(young.ravel(), dtype=np.float64)
    places = np.searchsorted(total, rng.uniform(0, total[-1], count))
    knots = np.zeros(young.size, dtype=np.float32)
    np.add.at(knots, np.minimum(places, young.size - 1), rng.lognormal(0, 0.8, count))
    return knots.reshape(young.shape)


def turned(plane: Plane, x: float, y: float, angle: float) -> tuple[np.ndarray, np.ndarray]:
    """Coordinates about (x, y) along and across a direction, arcsec, each of shape (P, P)."""
    cos, sin = np.float32(np.cos(angle)), np.float32(np.sin(angle))
    dx, dy = plane.x - np.float32(x), plane.y - np.float32(y)
    return dx * cos + dy * sin, dy * cos - dx * sin


def smooth_field(rng: np.random.Generator, plane: Plane, scale: float) -> np.ndarray:
    """A smooth random field of variance 1, shape (P, P).

    Args:
        rng: Draws it.
        plane: Where it is drawn.
        scale: Correlation length, arcsec.
    """
    line = plane.x[0]
    nodes = np.arange(line[0] - 2 * scale, line[-1] + 2 * scale, scale, dtype=np.float32)
    weights = np.exp(-0.5 * ((line[:, None] - nodes) / (0.8 * scale)) ** 2)
    weights /= np.linalg.norm(weights, axis=1, keepdims=True)
    return weights @ rng.standard_normal((len(nodes), len(nodes)), dtype=np.float32) @ weights.T
