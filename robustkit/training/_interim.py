"""Stands in for the reader and the splitter of `robustkit.data` until they are merged."""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import dataclass
from typing import Any

import numpy as np

from robustkit.data import ImageSet


@dataclass(frozen=True)
class Split:
    """Ids of the training, validation and test objects."""

    train: tuple[str, ...]
    valid: tuple[str, ...]
    test: tuple[str, ...]
    seed: int = 0

    @property
    def sha256(self) -> str:
        """Hash of the three lists."""
        lists = {part: self.objects(part) for part in ("train", "valid", "test")}
        return hashlib.sha256(json.dumps(lists).encode()).hexdigest()

    def objects(self, part: str) -> tuple[str, ...]:
        """Of a part."""
        return getattr(self, part)

    def to_json(self) -> dict[str, Any]:
        """As JSON."""
        return {"train": list(self.train), "valid": list(self.valid), "test": list(self.test), "sha256": self.sha256}

    @classmethod
    def from_json(cls, value: Any, name: object = "") -> Split:
        """From JSON."""
        return cls(*(tuple(value[part]) for part in ("train", "valid", "test")))


def split_images(images: ImageSet, *, seed: int = 0) -> Split:
    """70:10:20 by object id, stratified where there are labels."""
    labels = np.zeros(len(images), dtype=np.int64) if images.labels is None else images.labels
    parts: tuple[list[int], list[int], list[int]] = ([], [], [])
    for label in np.unique(labels):
        rows = sorted(
            np.flatnonzero(labels == label),
            key=lambda row: hashlib.sha256(f"split\0{seed}\0{images.ids[row]}".encode()).digest(),
        )
        first, second = round(0.7 * len(rows)), round(0.8 * len(rows))
        for part, chosen in zip(parts, np.split(np.array(rows), [first, second]), strict=True):
            part.extend(chosen.tolist())
    return Split(*(tuple(sorted(str(images.ids[row]) for row in part)) for part in parts))


def objects_of(images: ImageSet) -> np.ndarray:
    """Object ids."""
    return getattr(images, "objects", images.ids)


def open_images(path: str | os.PathLike[str]) -> ImageSet:
    """Opens a saved image set."""
    return ImageSet.load(path)
