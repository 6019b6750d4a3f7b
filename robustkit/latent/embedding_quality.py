"""How much of a cloud of latents a map keeps: neighbours, and distances along the cloud.

Beyond a few thousand points everything is averaged over evenly spaced points, each compared with all others, so that
ranks are exact and memory stays small.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from robustkit.errors import InputError
from robustkit.latent.geometry import check_latents
from robustkit.latent.neighbour_graph import NeighbourGraph

_SOURCES = 2000  # points that neighbours are looked at of
_PATHS = 500  # points that shortest paths are measured from
_CELLS = 4_000_000  # distances held at once: 32 MB


@dataclass(frozen=True)
class MapQuality:
    """What a map keeps.

    Attributes:
        trustworthiness: In [0, 1]; low where neighbours on the map are none in the latent space.
        continuity: In [0, 1]; low where neighbours in the latent space are torn apart on the map.
        residual_variance: 1 - r^2 between geodesic distances and distances on the map, in [0, 1].
        neighbourhood_hit: Share of a point's neighbours on the map that have its class; nan without classes.
        neighbours: How many neighbours were looked at.
        sources: How many points they were looked at of.
    """

    trustworthiness: float
    continuity: float
    residual_variance: float
    neighbourhood_hit: float
    neighbours: int
    sources: int


def evaluate_map(
    latents: ArrayLike,
    coordinates: ArrayLike,
    graph: NeighbourGraph,
    *,
    neighbours: int = 10,
    labels: ArrayLike | None = None,
) -> MapQuality:
    """All numbers of a map.

    Args:
        latents: Distinct latents, shape (N, D).
        coordinates: Their places on the map, shape (N, d).
        graph: Their neighbour graph.
        neighbours: How many neighbours to look at; fewer if there are not three points for each.
        labels: A class for each, shape (N,).
    """
    k = max(1, min(neighbours, (len(np.asarray(latents)) - 1) // 3))
    at = _spaced(len(np.asarray(latents)), _SOURCES)
    return MapQuality(
        trustworthiness=trustworthiness(latents, coordinates, neighbours=k),
        continuity=continuity(latents, coordinates, neighbours=k),
        residual_variance=residual_variance(graph, coordinates),
        neighbourhood_hit=float("nan") if labels is None else neighbourhood_hit(coordinates, labels, neighbours=k),
        neighbours=k,
        sources=len(at),
    )


def trustworthiness(latents: ArrayLike, coordinates: ArrayLike, *, neighbours: int = 10) -> float:
    """How far a map's neighbours are from being neighbours in the latent space; 1 if all are.

    Args:
        latents: Shape (N, D).
        coordinates: Places on the map, shape (N, d).
        neighbours: k, below N / 2.

    Raises:
        InputError: If the numbers of rows differ, or k is not below N / 2.

    Source: Venna & Kaski 2001, Neighborhood preservation in nonlinear projection methods.
    """
    from sklearn.metrics.pairwise import euclidean_distances

    high, low = check_latents(latents), check_latents(coordinates, "coordinates")
    n = len(high)
    if len(low) != n:
        raise InputError(f"each latent needs a place on the map; there are {n} and {len(low)}")
    if not 0 < neighbours < n / 2:
        raise InputError(f"{neighbours} neighbours of {n} points; there must be more than twice as many points")
    at, penalty = _spaced(n, _SOURCES), 0
    for some in _slices(at, n):
        rows = np.arange(len(some))[:, None]
        nearest = _nearest(low, some, neighbours)  # (S, k)
        apart = euclidean_distances(high[some], high, squared=True)
        apart[rows[:, 0], some] = np.inf
        reached = apart[rows, nearest]
        for j in range(neighbours):
            rank = 1 + (apart < reached[:, j : j + 1]).sum(axis=1)
            penalty += int(np.maximum(rank - neighbours, 0).sum())
    return 1.0 - 2.0 * penalty / (len(at) * neighbours * (2 * n - 3 * neighbours - 1))


def continuity(latents: ArrayLike, coordinates: ArrayLike, *, neighbours: int = 10) -> float:
    """Trustworthiness with latent space and map exchanged: 1 if no neighbours are torn apart.

    Args:
        latents: Points in the latent space, shape (N, D).
        coordinates: The same points on the map, shape (N, 2) or (N, 3).
        neighbours: How many nearest neighbours are compared.
    """
    return trustworthiness(coordinates, latents, neighbours=neighbours)


def residual_variance(graph: NeighbourGraph, coordinates: ArrayLike) -> float:
    """1 - r^2 between geodesic distances and straight distances on the map.

    Args:
        graph: The neighbour graph of N points.
        coordinates: Their places on the map, shape (N, d).

    Raises:
        InputError: If a point has no place, or all places are the same.
    """
    from sklearn.metrics.pairwise import euclidean_distances

    low = check_latents(coordinates, "coordinates")
    if len(low) != len(graph.component):
        raise InputError(f"each of the {len(graph.component)} points needs a place on the map; there are {len(low)}")
    if not np.ptp(low, axis=0).any():
        raise InputError("all points have one place on the map: there are no distances to compare")
    sums = np.zeros(6)  # how many, x, y, x^2, y^2, xy
    for some in _slices(_spaced(len(low), _PATHS), len(low)):
        along, straight = graph.geodesics(some), euclidean_distances(low[some], low)
        others = np.ones(along.shape, dtype=bool)
        others[np.arange(len(some)), some] = False
        x, y = along[others], straight[others]
        sums += np.array([len(x), x.sum(), y.sum(), x @ x, y @ y, x @ y])
    count, x, y, xx, yy, xy = sums
    return float(1 - (xy - x * y / count) ** 2 / ((xx - x * x / count) * (yy - y * y / count)))


def neighbourhood_hit(points: ArrayLike, labels: ArrayLike, *, neighbours: int = 10) -> float:
    """Share of the nearest points that have the class of the point itself, averaged over the points.

    Args:
        points: Latents or places on a map, shape (N, D).
        labels: Shape (N,).
        neighbours: How many.
    """
    array, classes = check_latents(points, "points"), np.asarray(labels)
    at, hits = _spaced(len(array), _SOURCES), 0
    for some in _slices(at, len(array)):
        hits += int((classes[_nearest(array, some, neighbours)] == classes[some][:, None]).sum())
    return hits / (len(at) * neighbours)


def _nearest(points: np.ndarray, some: np.ndarray, neighbours: int) -> np.ndarray:
    """The nearest other points of some, (S, k), in no order."""
    from sklearn.metrics.pairwise import euclidean_distances

    apart = euclidean_distances(points[some], points, squared=True)
    apart[np.arange(len(some)), some] = np.inf
    return np.argpartition(apart, neighbours - 1, axis=1)[:, :neighbours]


def _spaced(n: int, most: int) -> np.ndarray:
    """At most so many indices, evenly spaced over all."""
    return np.arange(n) if n <= most else np.linspace(0, n - 1, most).astype(np.int64)


def _slices(at: np.ndarray, n: int) -> list[np.ndarray]:
    return np.array_split(at, -(-len(at) * n // _CELLS))
