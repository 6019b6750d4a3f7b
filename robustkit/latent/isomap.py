"""Isomap: a flat map of latents on which distances are those along the cloud, not through it.

Up to a few thousand points scikit-learn's, beyond that landmark Isomap. Both are deterministic, both say how many
pieces the neighbour graph fell into before it was repaired, and both place further points without moving the map.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from robustkit.errors import InputError
from robustkit.latent.geometry import check_latents
from robustkit.latent.landmarks import farthest_landmarks, too_flat, triangulate
from robustkit.latent.neighbour_graph import NeighbourGraph, neighbour_graph

FULL_UP_TO = 3000  # points; the full map takes N^2 memory and N^3 time
LANDMARKS = 300


@dataclass(frozen=True, eq=False)
class IsomapFit:
    """A fitted Isomap.

    Attributes:
        coordinates: Of the points it was fitted on, shape (N, d); columns by width, so the first two are the 2-D map.
        graph: The neighbour graph of the U distinct points.
        distinct: Which points those are, shape (U,).
        landmarks: Which points are landmarks, shape (M,); empty for the full map.
        place: Coordinates (M, d) of further latents (M, D).
    """

    coordinates: np.ndarray
    graph: NeighbourGraph
    distinct: np.ndarray
    landmarks: np.ndarray
    place: Callable[[np.ndarray], np.ndarray]

    @property
    def method(self) -> str:
        """How it was fitted, in words."""
        if len(self.landmarks):
            return f"landmark Isomap, {len(self.landmarks)} farthest-point landmarks"
        return "Isomap (scikit-learn)"

    @property
    def duplicates(self) -> int:
        """Points left out of the fit, because another is exactly the same."""
        return len(self.coordinates) - len(self.distinct)

    def project(self, latents: ArrayLike) -> np.ndarray:
        """Places latents on the map by their nearest points; the map stays as it is.

        Args:
            latents: Shape (M, D).

        Returns:
            Coordinates, shape (M, d).

        Raises:
            InputError: If the latents are not finite.
        """
        points = check_latents(latents)
        return self.place(points) if len(points) else np.empty((0, self.coordinates.shape[1]))


def fit_isomap(
    latents: ArrayLike, *, neighbours: int = 10, dimensions: int = 3, landmarks: int | None = None
) -> IsomapFit:
    """Fits an Isomap.

    Args:
        latents: Shape (N, D).
        neighbours: How many nearest points each is joined to.
        dimensions: d.
        landmarks: How many landmarks; 0 for the full map of scikit-learn. By default the full map up to 3000 points,
            and 300 landmarks beyond.

    Raises:
        InputError: If there are no more distinct latents than neighbours, they do not spread over d dimensions, or
            one is not finite.

    Source: Tenenbaum, de Silva & Langford 2000, doi:10.1126/science.290.5500.2319.
    """
    points = check_latents(latents)
    if dimensions < 1:
        raise InputError(f"dimensions is {dimensions}; a map needs at least 1")
    if landmarks is not None and landmarks != 0 and landmarks <= dimensions:
        raise InputError(
            f"{landmarks} landmarks span no map of {dimensions} dimensions; give more, or 0 for the full map"
        )
    _, first, place_of = np.unique(points, axis=0, return_index=True, return_inverse=True)
    distinct = np.sort(first)
    if len(distinct) == 1:
        raise InputError(f"all {len(points)} latents are the same: there is no map of a single point")
    back = np.searchsorted(distinct, first)[place_of.ravel()]  # the row among the distinct ones, of each point
    kept = points if len(distinct) == len(points) else points[distinct]
    graph = neighbour_graph(kept, neighbours)
    if dimensions >= len(kept):
        raise InputError(f"{len(kept)} distinct points span no map of {dimensions} dimensions")
    count = (0 if len(kept) <= FULL_UP_TO else LANDMARKS) if landmarks is None else min(landmarks, len(kept))
    if count:
        chosen, coordinates, place = _landmark(kept, graph, dimensions, count)
    else:
        chosen, (coordinates, place) = (
            np.empty(0, dtype=np.int64),
            _full(kept, neighbours, dimensions, graph),
        )
    return IsomapFit(coordinates[back], graph, distinct, distinct[chosen], place)


def _full(
    points: np.ndarray, neighbours: int, dimensions: int, graph: NeighbourGraph
) -> tuple[np.ndarray, Callable[..., Any]]:
    # ARPACK would start from NumPy's global random numbers; the dense solver does not.
    from sklearn.manifold import Isomap

    isomap = Isomap(n_neighbors=neighbours, n_components=dimensions, eigen_solver="dense")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of pieces that are joined; the graph says so itself
        try:
            coordinates = isomap.fit_transform(points)
        except ValueError as error:
            raise InputError(too_flat(dimensions, graph)) from error
    # What is narrower is rounding of sums over N points.
    widths = isomap.kernel_pca_.eigenvalues_
    if not (widths > 4 * len(points) * np.finfo(np.float64).eps * widths[0]).all():
        raise InputError(too_flat(dimensions, graph))
    return coordinates, isomap.transform


def _landmark(
    points: np.ndarray, graph: NeighbourGraph, dimensions: int, count: int
) -> tuple[np.ndarray, np.ndarray, Callable[..., Any]]:
    from sklearn.neighbors import NearestNeighbors

    start = int(((points - points.mean(axis=0)) ** 2).sum(axis=1).argmax())
    landmarks = farthest_landmarks(graph, count, start)
    placed = triangulate(landmarks, dimensions, graph=graph)
    nearest = NearestNeighbors(n_neighbors=graph.neighbours).fit(points)

    def place(latents: np.ndarray) -> np.ndarray:
        apart, others = nearest.kneighbors(latents)  # (M, k) both
        paths = np.min(landmarks.distances[:, others] + apart, axis=2)
        return placed(paths)

    return landmarks.index, placed(landmarks.distances), place
