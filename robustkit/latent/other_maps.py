"""Other maps of the same latents, to see what a picture owes to the method: PCA as a control, t-SNE, UMAP."""

from __future__ import annotations

import warnings

import numpy as np
from numpy.typing import ArrayLike

from robustkit.errors import InputError
from robustkit.extras import require
from robustkit.latent.geometry import check_latents


def pca_map(
    latents: ArrayLike, further: ArrayLike, *, dimensions: int = 3
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Principal components: the flat map that an Isomap must beat to have found anything.

    Args:
        latents: Fitted, shape (N, D).
        further: Placed without moving the map, shape (M, D).
        dimensions: d.

    Returns:
        Coordinates (N, d), those of the further ones (M, d), and the share of the variance of each axis (d,).

    Raises:
        InputError: If there are fewer points or latent dimensions than d.
    """
    from sklearn.decomposition import PCA

    points, others = check_latents(latents), check_latents(further)
    if min(points.shape) < dimensions:
        raise InputError(f"{points.shape[0]} latents of {points.shape[1]} dimensions have no {dimensions} components")
    pca = PCA(dimensions, svd_solver="full").fit(points)
    placed = pca.transform(others) if len(others) else np.empty((0, dimensions))
    return pca.transform(points), placed, pca.explained_variance_ratio_


def tsne_map(latents: ArrayLike, *, perplexity: float = 30.0, seed: int = 0) -> np.ndarray:
    """t-SNE in two dimensions, started from the principal components.

    Sizes of clusters and distances between them mean nothing on such a map, and it has no place for further points.

    Args:
        latents: Shape (N, D).
        perplexity: About how many neighbours count; lowered to a third of the points where there are few.
        seed: Of the descent.

    Returns:
        Coordinates, shape (N, 2).

    Raises:
        InputError: If there are fewer than 10 latents.
    """
    from sklearn.manifold import TSNE

    points = check_latents(latents)
    if len(points) < 10:
        raise InputError(f"t-SNE needs at least 10 latents; there are {len(points)}")
    perplexity = min(perplexity, (len(points) - 1) / 3)
    return TSNE(2, perplexity=perplexity, init="pca", random_state=seed).fit_transform(points).astype(np.float64)


def umap_map(
    latents: ArrayLike, further: ArrayLike, *, neighbours: int = 15, seed: int = 0
) -> tuple[np.ndarray, np.ndarray]:
    """UMAP in two dimensions; the same on one machine for one seed, not on all machines.

    Args:
        latents: Fitted, shape (N, D).
        further: Placed without moving the map, shape (M, D).
        neighbours: How many nearest points each is joined to.
        seed: Of the descent.

    Returns:
        Coordinates (N, 2), and those of the further ones (M, 2).

    Raises:
        MissingExtra: If umap-learn is not installed.
        InputError: If there are no more latents than neighbours.
    """
    points, others = check_latents(latents), check_latents(further)
    if len(points) <= neighbours:
        raise InputError(f"a UMAP of {neighbours} neighbours needs more latents than that; there are {len(points)}")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the compiler that it brings, and of a single thread
        umap = require("umap", extra="umap", purpose="draw a UMAP")
        mapper = umap.UMAP(n_neighbors=neighbours, random_state=seed, n_jobs=1).fit(points)
        placed = mapper.transform(others) if len(others) else np.empty((0, 2))
    return np.asarray(mapper.embedding_, dtype=np.float64), np.asarray(placed, dtype=np.float64)
