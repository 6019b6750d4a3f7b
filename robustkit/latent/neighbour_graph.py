"""The graph that joins each latent to its nearest ones: what geodesic distances run along."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy.sparse import csr_matrix
from scipy.sparse.csgraph import connected_components, dijkstra

from robustkit.errors import InputError
from robustkit.latent.geometry import check_latents


@dataclass(frozen=True, eq=False)
class NeighbourGraph:
    """A k-nearest-neighbour graph of N points, in one piece.

    Attributes:
        lengths: Lengths of the edges, sparse, shape (N, N), symmetric.
        neighbours: k, how many nearest points each point is joined to.
        components: Pieces that the graph fell into before any repair; 1 if none was needed.
        component: The piece of each point, shape (N,).
        bridges: Edges added to join the pieces, pairs of points, shape (B, 2): between each two pieces the closest
            pair, as scikit-learn does.
    """

    lengths: csr_matrix
    neighbours: int
    components: int
    component: np.ndarray
    bridges: np.ndarray

    def geodesics(self, sources: ArrayLike) -> np.ndarray:
        """Lengths of the shortest paths from some points to all, shape (S, N).

        Args:
            sources: Indices of the points to start from, shape (S,).
        """
        return dijkstra(self.lengths, directed=True, indices=np.asarray(sources))


def neighbour_graph(points: ArrayLike, neighbours: int) -> NeighbourGraph:
    """Joins each point to its nearest ones, and pieces that stay apart by their closest pairs.

    Args:
        points: Shape (N, D); no two the same.
        neighbours: k.

    Raises:
        InputError: If there are no more points than neighbours, or a point is not finite.
    """
    from sklearn.neighbors import kneighbors_graph

    array = check_latents(points, "points")
    if neighbours < 1:
        raise InputError(f"neighbours is {neighbours}; a map needs at least 1")
    if len(array) <= neighbours:
        raise InputError(
            f"a map that joins each point to {neighbours} neighbours needs more than {neighbours} distinct points; "
            f"there are {len(array)}; give fewer --neighbours or more images"
        )
    edges = kneighbors_graph(array, neighbours, mode="distance")
    lengths = edges.maximum(edges.T).tocsr()
    components, component = connected_components(lengths, directed=False)
    bridges = _bridges(array, component, int(components))
    if len(bridges):
        apart = np.linalg.norm(array[bridges[:, 0]] - array[bridges[:, 1]], axis=1)
        joined = csr_matrix((apart, (bridges[:, 0], bridges[:, 1])), shape=lengths.shape)
        lengths = lengths.maximum(joined).maximum(joined.T).tocsr()
    return NeighbourGraph(lengths, neighbours, int(components), component.astype(np.int64), bridges)


def _bridges(points: np.ndarray, component: np.ndarray, components: int) -> np.ndarray:
    from sklearn.metrics import pairwise_distances_argmin_min

    members = [np.flatnonzero(component == c) for c in range(components)]
    found = []
    for i in range(components):
        for j in range(i):
            nearest, apart = pairwise_distances_argmin_min(points[members[i]], points[members[j]])
            closest = int(apart.argmin())
            found.append((members[i][closest], members[j][nearest[closest]]))
    return np.array(found, dtype=np.int64).reshape(-1, 2)
