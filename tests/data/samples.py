"""Small image sets that the reader tests write in every format."""

from __future__ import annotations

import numpy as np


def images(count: int = 20, bands: int = 3, height: int = 12, width: int = 14, seed: int = 0) -> np.ndarray:
    """Float32 images (N, C, H, W), no two alike, some pixels below zero."""
    return np.random.default_rng(seed).normal(10, 5, (count, bands, height, width)).astype(np.float32)


def labels(count: int = 20, classes: int = 3) -> np.ndarray:
    """Labels 0, 1, 2, 0, 1, 2, ..."""
    return np.arange(count) % classes


def has_note(image_set, *words: str) -> bool:
    """Whether one note holds all these words."""
    return any(all(word in note for word in words) for note in image_set.notes)
