"""Classes of an affine map of the plane, as exact convex polygons."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np


@dataclass(frozen=True, eq=False)
class Region:
    """Where one class wins.

    Attributes:
        label: The class.
        vertices: Corners of the convex polygon, counter-clockwise, shape (V, 2).
        area: Its share of the box.
    """

    label: int
    vertices: np.ndarray
    area: float


@dataclass(frozen=True, eq=False)
class Boundary:
    """A segment on which two classes tie and win.

    Attributes:
        classes: The two classes.
        ends: Both ends, shape (2, 2), one row each.
    """

    classes: tuple[int, int]
    ends: np.ndarray


def affine_regions(constant: np.ndarray, slopes: np.ndarray, low: np.ndarray, high: np.ndarray) -> tuple[Region, ...]:
    """Where each of K affine functions of the plane is the largest, inside a box.

    Args:
        constant: Values at (0, 0), shape (K,).
        slopes: Change along each axis, shape (K, 2).
        low: Lower corner of the box, shape (2,).
        high: Upper corner, shape (2,).

    Returns:
        At most K convex polygons, whose areas sum to 1; the first of equal functions wins.

    Examples:
        >>> box = np.array([-1.0, -1.0]), np.array([1.0, 1.0])
        >>> [region.area for region in affine_regions(np.array([0.5, 0.0]), np.array([[0.0, 0.0], [1.0, 0.0]]), *box)]
        [0.75, 0.25]
    """
    box = np.array([[low[0], low[1]], [high[0], low[1]], [high[0], high[1]], [low[0], high[1]]], dtype=np.float64)
    whole = polygon_area(box)
    found = []
    for k in range(len(constant)):
        polygon = box
        for j in range(len(constant)):
            if j != k:
                normal, offset = slopes[k] - slopes[j], constant[k] - constant[j]
                if normal.any():
                    polygon = clip(polygon, normal, offset)
                elif offset < 0 or (offset == 0 and j < k):
                    polygon = box[:0]
        area = polygon_area(polygon) / whole
        if area > 1e-12:
            found.append(Region(k, polygon, float(area)))
    return tuple(found)


def affine_boundaries(
    constant: np.ndarray, slopes: np.ndarray, low: np.ndarray, high: np.ndarray
) -> tuple[Boundary, ...]:
    """Segments on which two of K affine functions of the plane tie above all others, inside a box.

    Args:
        constant: Values at (0, 0), shape (K,).
        slopes: Change along each axis, shape (K, 2).
        low: Lower corner of the box, shape (2,).
        high: Upper corner, shape (2,).
    """
    found = []
    size = float(np.max(np.subtract(high, low)))
    for i in range(len(constant)):
        for j in range(i + 1, len(constant)):
            normal, offset = slopes[i] - slopes[j], constant[i] - constant[j]
            if not normal.any():
                continue
            point = -offset * normal / (normal @ normal)
            unit = np.array([-normal[1], normal[0]]) / np.linalg.norm(normal)
            others = [k for k in range(len(constant)) if k not in (i, j)]
            # Along point + t unit every condition reads level + t rise >= 0.
            level = np.concatenate([point - low, high - point, (slopes[i] - slopes[others]) @ point])
            level[4:] += constant[i] - constant[others]
            rise = np.concatenate([unit, -unit, (slopes[i] - slopes[others]) @ unit])
            start, end = _interval(level, rise)
            if end - start > 1e-12 * size:
                found.append(Boundary((i, j), np.stack([point + start * unit, point + end * unit])))
    return tuple(found)


def affine_grid(constant: np.ndarray, slopes: np.ndarray, extent: float, resolution: int) -> np.ndarray:
    """Which of K affine functions of the plane is the largest at the middles of the cells of a square.

    The functions are affine, so each takes one outer sum and the latent space is not entered.

    Args:
        constant: Values at (0, 0), shape (K,).
        slopes: Change along each axis, shape (K, 2).
        extent: Half the side of the square, which lies around (0, 0).
        resolution: R, cells along either axis.

    Returns:
        Shape (R, R), int16, rows along y; of equal functions the first.
    """
    ticks = (np.arange(resolution) - (resolution - 1) / 2) * 2 * extent / resolution
    x, y = np.multiply.outer(slopes[:, 0], ticks), np.multiply.outer(slopes[:, 1], ticks)
    best = constant[0] + y[0, :, None] + x[0]
    labels = np.zeros(best.shape, dtype=np.int16)
    for k in range(1, len(constant)):
        value = constant[k] + y[k, :, None] + x[k]
        np.putmask(labels, value > best, k)
        np.maximum(best, value, out=best)
    return labels


def _interval(level: np.ndarray, rise: np.ndarray) -> tuple[float, float]:
    """The t for which level + t rise >= 0 in every row; start above end if no such t exists."""
    if (level[rise == 0] < 0).any():
        return np.inf, -np.inf
    up, down = rise > 0, rise < 0
    start = np.max(-level[up] / rise[up], initial=-np.inf)
    end = np.min(-level[down] / rise[down], initial=np.inf)
    return float(start), float(end)


def clip(polygon: np.ndarray, normal: np.ndarray, offset: float) -> np.ndarray:
    """The part of a convex polygon with normal . x + offset >= 0 (Sutherland and Hodgman)."""
    # Plain floats: for a handful of corners each NumPy call would cost more than all the arithmetic.
    a, b, c = float(normal[0]), float(normal[1]), float(offset)
    corners = polygon.tolist()
    sides = [a * x + b * y + c for x, y in corners]
    kept = []
    for i, ((x, y), side) in enumerate(zip(corners, sides, strict=True)):
        if side >= 0:
            kept.append((x, y))
        j = (i + 1) % len(corners)
        after = sides[j]
        if side > 0 > after or side < 0 < after:
            share = side / (side - after)
            kept.append((x + (corners[j][0] - x) * share, y + (corners[j][1] - y) * share))
    return np.array(kept, dtype=np.float64).reshape(-1, 2)


def polygon_area(polygon: np.ndarray) -> float:
    """Area of a polygon whose corners are counter-clockwise."""
    corners = polygon.tolist()
    return sum(x * v - u * y for (x, y), (u, v) in pairwise([*corners, *corners[:1]])) / 2
