"""Shares of a disc: how much of all displacements up to one length leads to each class, within a plane."""

from __future__ import annotations

import math
from collections.abc import Iterable
from itertools import pairwise

import numpy as np

from robustkit.latent.polygons import Region


def disc_area(polygon: np.ndarray, radius: float) -> float:
    """Area that a polygon shares with a disc around the origin, exact.

    Args:
        polygon: Corners counter-clockwise, shape (V, 2).
        radius: Above 0.

    Examples:
        >>> round(disc_area(np.array([[0.0, 0.0], [2.0, 0.0], [2.0, 2.0], [0.0, 2.0]]), 1.0) * 4, 12)
        3.14159265359
    """
    total, square = 0.0, float(radius) ** 2
    corners = polygon.tolist()
    for (x, y), (u, v) in pairwise([*corners, *corners[:1]]):
        dx, dy = u - x, v - y
        # Where the edge meets the circle: |start + t along| = radius.
        a, b, c = dx * dx + dy * dy, x * dx + y * dy, x * x + y * y - square
        root = b * b - a * c
        # An edge that only touches the circle lies outside it.
        enters, leaves = ((-b - root**0.5) / a, (-b + root**0.5) / a) if a > 0 and root > 0 else (2.0, 2.0)
        for first, last in pairwise(sorted({0.0, 1.0, *(t for t in (enters, leaves) if 0 < t < 1)})):
            px, py, qx, qy = x + first * dx, y + first * dy, x + last * dx, y + last * dy
            cross = px * qy - py * qx
            if enters < (first + last) / 2 < leaves:
                total += cross / 2  # a triangle
            else:
                total += square * math.atan2(cross, px * qx + py * qy) / 2  # a sector
    return max(total, 0.0)


def disc_shares(regions: Iterable[Region], radius: float, classes: int) -> np.ndarray:
    """Share of a disc around the origin of each class.

    Args:
        regions: Polygons of the plane, in coordinates at right angles and to scale, that cover the disc.
        radius: Of the disc, in those coordinates.
        classes: K.

    Returns:
        Shape (K,), summing to 1.
    """
    shares = np.zeros(classes)
    for region in regions:
        shares[region.label] += disc_area(region.vertices, radius) / (np.pi * radius**2)
    return shares
