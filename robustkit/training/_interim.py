"""Stands in for the reader and the splitter of `robustkit.data` until they are merged."""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import dataclass

import numpy as np

from robustkit.data import ImageSet


@dataclass(frozen=True)
class Split:
    """Ids of the training, validation and test objects."""

    train: tuple[str, ...]
    valid: tuple[str, ...]
    test: tuple[str, ...]

    @property
    def sha256(self) -> str:
        """Hash of the three lists."""
        lists = {"train": self.train, "valid": self.valid, "test": self.test}
        return hashlib.sha256(json.dumps(lists, sort_keys=True).encode()).hexdigest()


def split_objects(images: ImageSet, *, seed: int) -> Split:
    """70:10:20 by object id, stratified where there are labels."""
    rng = np.random.default_rng(seed)
    labels = np.zeros(len(images), dtype=np.int64) if images.labels is None else images.labels
    parts: tuple[list[int], list[int], list[int]] = ([], [], [])
    for label in np.unique(labels):
        rows = rng.permutation(np.flatnonzero(labels == label))
        first, second = round(0.7 * len(rows)), round(0.8 * len(rows))
        for part, chosen in zip(parts, np.split(rows, [first, second]), strict=True):
            part.extend(chosen.tolist())
    return Split(*(tuple(str(images.ids[row]) for row in sorted(part)) for part in parts))


def open_images(path: str | os.PathLike[str]) -> ImageSet:
    """Opens a saved image set."""
    return ImageSet.load(path)
