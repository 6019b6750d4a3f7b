"""Landmark Isomap: shortest paths from a few hundred points instead of all, and the rest by triangulation."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from robustkit.errors import InputError
from robustkit.latent.neighbour_graph import NeighbourGraph
from robustkit.progress import progress

# How narrow an axis may be beside the widest, in squares: all points are placed by differences of squared distances.
_LEAST_WIDTH = 1e-10
# How much farther than usual the nearest neighbour of a point is that lies away from all others.
_AWAY = 1e4


@dataclass(frozen=True, eq=False)
class Landmarks:
    """Points that lie far from each other, and how far all points are from them.

    Attributes:
        index: The landmarks, shape (M,).
        distances: Geodesic distances from each landmark to every point, shape (M, N).
        weights: Share of the points that each landmark is the nearest one of, shape (M,).
    """

    index: np.ndarray
    distances: np.ndarray
    weights: np.ndarray


def farthest_landmarks(graph: NeighbourGraph, count: int, first: int) -> Landmarks:
    """Chooses landmarks one after the other, each the point farthest along the graph from those before it.

    The paths that choose a landmark are those that the map needs, so the choice costs nothing.

    Args:
        graph: The neighbour graph of N points.
        count: M, how many.
        first: The point to start from.
    """
    n = len(graph.component)
    if not 1 <= count <= n:
        raise InputError(f"{count} landmarks asked for of {n} points")
    chosen = np.empty(count, dtype=np.int64)
    distances = np.empty((count, n))
    nearest, owner = np.full(n, np.inf), np.zeros(n, dtype=np.int64)
    for i in progress(range(count), label="shortest paths", unit="landmark"):
        chosen[i] = first if i == 0 else nearest.argmax()
        distances[i] = graph.geodesics(chosen[i])
        closer = distances[i] < nearest
        nearest[closer], owner[closer] = distances[i][closer], i
    return Landmarks(chosen, distances, np.bincount(owner, minlength=count) / n)


@dataclass(frozen=True, eq=False)
class Triangulation:
    """From squared geodesic distances to landmarks to coordinates: an affine function.

    Attributes:
        mean: Weighted mean squared distance of each landmark to the others, shape (M,).
        axes: Shape (M, d).
        offset: Subtracted at the end, shape (d,).
    """

    mean: np.ndarray
    axes: np.ndarray
    offset: np.ndarray

    def __call__(self, distances: np.ndarray) -> np.ndarray:
        """Coordinates (N, d) of points from their geodesic distances to the landmarks, shape (M, N)."""
        placed = np.empty((distances.shape[1], self.axes.shape[1]))
        for start in range(0, len(placed), 4096):  # squares of a slice at a time: memory stays small
            squares = distances[:, start : start + 4096] ** 2
            placed[start : start + 4096] = (squares - self.mean[:, None]).T @ self.axes
        return placed - self.offset


def too_flat(dimensions: int, graph: NeighbourGraph | None) -> str:
    """Why no map has so many axes."""
    if graph is not None and graph.components > 1:
        return (
            f"the points lie in {graph.components} pieces, so far apart that beside it nothing within them can be "
            f"drawn in {dimensions} dimensions; map each piece by itself, or join them with more --neighbours"
        )
    if graph is not None:
        edges = graph.lengths.tocoo()
        nearest = np.full(len(graph.component), np.inf)
        np.minimum.at(nearest, edges.row, edges.data)
        away = int((nearest > _AWAY * np.median(nearest)).sum())
        if away:
            return (
                f"{away} of {len(nearest)} points lie so far from the rest that beside it nothing can be drawn in "
                f"{dimensions} dimensions; look at these images and remove them"
            )
    return f"the points do not spread over {dimensions} dimensions; there is no such map of them"


def triangulate(landmarks: Landmarks, dimensions: int, *, graph: NeighbourGraph | None = None) -> Triangulation:
    """Classical scaling of the landmarks, each counting as often as points are nearest to it.

    Farthest-point landmarks lie as densely in the outskirts as in the middle. Weighted by what they stand for, the
    scaling is the quadrature of that of all points, and the map close to the full one; unweighted it is not.

    Args:
        landmarks: The landmarks.
        dimensions: d.
        graph: Of the points, for the message.

    Raises:
        InputError: If the landmarks do not spread over that many dimensions.

    Source: de Silva & Tenenbaum 2004, Sparse multidimensional scaling using landmark points, for the unweighted form.
    """
    squares, weights = landmarks.distances[:, landmarks.index] ** 2, landmarks.weights
    mean = squares @ weights
    centred = -0.5 * (squares - mean[:, None] - mean + weights @ mean)
    roots = np.sqrt(weights)
    # A landmark that is no point's nearest has no weight, and then no axis either.
    values, vectors = np.linalg.eigh(roots[:, None] * centred * roots)
    values, vectors = values[::-1][:dimensions], vectors[:, ::-1][:, :dimensions]
    if len(values) < dimensions or not (values > _LEAST_WIDTH * values[0]).all():
        raise InputError(too_flat(dimensions, graph))
    axes = -0.5 * roots[:, None] * vectors / np.sqrt(values)
    unturned = Triangulation(mean, axes, np.zeros(dimensions))
    placed = unturned(landmarks.distances)
    middle = placed.mean(axis=0)
    # The principal axes of all points, widest first, so that fewer dimensions are the first columns of more.
    _, turn = np.linalg.eigh(np.cov(placed.T).reshape(dimensions, dimensions))
    turn = turn[:, ::-1]
    # A sign that does not depend on the linear algebra library: the outermost point of each axis is positive.
    turned = (placed - middle) @ turn
    turn = turn * np.sign(turned[np.abs(turned).argmax(axis=0), np.arange(dimensions)])
    return Triangulation(mean, axes @ turn, middle @ turn)
