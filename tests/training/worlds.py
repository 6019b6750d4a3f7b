"""Small image sets that a tiny network learns in seconds."""

from __future__ import annotations

import numpy as np

from robustkit.data import ImageSet


def squares(n: int = 90, *, classes: int = 3, size: int = 16, noise: float = 0.3, seed: int = 0) -> ImageSet:
    """Images of noise in which the band of the class holds a bright square."""
    rng = np.random.default_rng(seed)
    labels = np.arange(n) % classes
    images = rng.normal(0, noise, (n, 3, size, size)).astype(np.float32)
    for i, label in enumerate(labels):
        row, column = rng.integers(0, size - 6, 2)
        images[i, label, row : row + 6, column : column + 6] += 3
    names = tuple(f"class {k}" for k in range(classes))
    ids = np.array([f"object {i}" for i in range(n)])
    return ImageSet(images, labels.astype(np.int64), names, ("g", "r", "i"), ids, units="electron")
