"""What the statistics refuse, in words."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from robustkit.errors import InputError


def vector(values: ArrayLike, name: str, *, at_least: int = 1) -> np.ndarray:
    """Numbers as a float64 vector, or a refusal.

    Args:
        values: Numbers, shape (N,).
        name: What they are, for the message.
        at_least: The smallest N that makes sense.

    Raises:
        InputError: If they are not a vector, too few, or not all finite.
    """
    array = np.asarray(values, dtype=np.float64)
    if array.ndim != 1:
        raise InputError(f"{name} must be a vector; its shape is {array.shape}")
    return _finite(array, name, at_least)


def points(values: ArrayLike, name: str, *, at_least: int = 2) -> np.ndarray:
    """Points as a float64 matrix (N, D), a vector becoming (N, 1), or a refusal.

    Raises:
        InputError: If they are not a matrix, too few, or not all finite.
    """
    array = np.asarray(values, dtype=np.float64)
    if array.ndim == 1:
        array = array[:, None]
    if array.ndim != 2 or array.shape[1] == 0:
        raise InputError(f"{name} must have the shape (N, D); it has {array.shape}")
    return _finite(array, name, at_least)


def pairs(first: ArrayLike, second: ArrayLike, *, at_least: int = 1) -> tuple[np.ndarray, np.ndarray]:
    """Two vectors about the same images in the same order, or a refusal.

    Raises:
        InputError: If they differ in length, are too few, or not all finite.
    """
    one, two = vector(first, "the first of the pairs"), vector(second, "the second of the pairs")
    if len(one) != len(two):
        raise InputError(f"pairs need one value each of the same images; there are {len(one)} and {len(two)}")
    if len(one) < at_least:
        raise InputError(f"this needs at least {at_least} pairs; there are {len(one)}")
    return one, two


def class_labels(labels: ArrayLike, name: str = "labels") -> np.ndarray:
    """Class indices as an int64 vector, or a refusal.

    Raises:
        InputError: If they are not a vector of whole numbers of at least 0, or there are none.
    """
    array = np.asarray(labels)
    if array.ndim != 1 or not len(array):
        raise InputError(f"{name} must be a vector with one class index for each image; its shape is {array.shape}")
    if array.dtype.kind not in "iu" or array.min() < 0:
        raise InputError(f"{name} must be whole numbers of at least 0; the type is {array.dtype}")
    return array.astype(np.int64)


def cluster_indices(clusters: ArrayLike | None, n: int) -> np.ndarray:
    """The cluster of each row as an index in [0, G); every row is its own cluster when none are given.

    Args:
        clusters: The object that each row shows, shape (N,), numbers or strings.
        n: N, the number of rows.

    Raises:
        InputError: If there is not one cluster for each row.
    """
    if clusters is None:
        return np.arange(n)
    names = np.asarray(clusters)
    if names.shape != (n,):
        raise InputError(f"clusters must name the object of each of the {n} rows; the shape is {names.shape}")
    return np.unique(names, return_inverse=True)[1]


def _finite(array: np.ndarray, name: str, at_least: int) -> np.ndarray:
    if len(array) < at_least:
        raise InputError(f"{name}: at least {at_least} needed, {len(array)} given")
    bad = int((~np.isfinite(array)).sum())
    if bad:
        raise InputError(f"{name}: {bad} of {array.size} values are not finite; leave those images out and say so")
    return array
