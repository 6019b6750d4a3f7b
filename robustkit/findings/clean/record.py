"""What a classifier predicts for images as they are, kept for the page."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import PurePath
from typing import ClassVar

import numpy as np
from scipy.special import expit

from robustkit.records import BAND, NOT_FINITE, Record


@dataclass(frozen=True, eq=False)
class CleanRecord(Record):
    """What a classifier says of N images.

    Attributes:
        domain: What the images are to the model.
        data: Where they are.
        part: The part of the split that they belong to.
        class_names: The K classes.
        ids: Image ids, shape (N,).
        labels: True classes, shape (N,).
        probabilities: Shape (N, K), float64.
        available: How many images there are.
        threshold: The score above which the second class is decided, where that is not a half. `probabilities` are of
            what is decided: odds are divided by those of the threshold.
        flagged: Which images a front end flags, shape (N,), bool: these get no class and count as wrong; probabilities
            are those of the network behind it.
        constant: The best answer of a regression that never looks; nan for classes.
        constant_right: For which images that would be right, shape (N,), bool; empty for classes.
    """

    domain: str
    data: str
    part: str
    class_names: list[str]
    ids: np.ndarray
    labels: np.ndarray
    probabilities: np.ndarray
    available: int
    threshold: float
    flagged: np.ndarray
    constant: float
    constant_right: np.ndarray

    version: ClassVar[int] = 4
    axis_letters: ClassVar[Mapping[str, str]] = {
        "ids": "N",
        "labels": "N",
        "flagged": "N",
        "probabilities": "NK",
        "class_names": "K",
        "constant_right": "B",
    }
    position_letters: ClassVar[Mapping[str, str]] = {"labels": "K"}

    @property
    def confident(self) -> bool:
        """Whether the probabilities are confidences; a regression, which stays in its band or not, has none."""
        return tuple(self.class_names) != BAND

    @property
    def scores(self) -> np.ndarray:
        """The network's own probabilities, before anything was decided, shape (N, K)."""
        if self.threshold == 0.5:
            return self.probabilities
        with np.errstate(divide="ignore"):
            shift = np.log(self.threshold / (1 - self.threshold))
            odds = np.log(self.probabilities[:, 1]) - np.log(self.probabilities[:, 0]) + shift
        above = expit(odds)
        return np.stack([1 - above, above], 1)

    @property
    def right(self) -> np.ndarray:
        """Which images are classified correctly, shape (N,)."""
        return self.decided == self.labels

    @property
    def decided(self) -> np.ndarray:
        """The class of each image, shape (N,); `NOT_FINITE` where it was flagged."""
        return np.where(self.flagged, NOT_FINITE, self.probabilities.argmax(1))


def domain_names(clean: Mapping[str, CleanRecord]) -> dict[str, str]:
    """What each domain is called on a page: by its folder or file, so that no domain is taken for a model called alike.

    Domains whose names would be the same keep those of the audit.
    """
    names = {domain: PurePath(record.data).stem for domain, record in clean.items()}
    apart = len(names) > 1 and len({*names.values()} - {""}) == len(names)
    return names if apart else {domain: domain for domain in clean}


def gap(clean: Mapping[str, CleanRecord]) -> np.ndarray | None:
    """Accuracy that each object loses from source to target; `None` where they show no object in common."""
    if not {"source", "target"} <= clean.keys():
        return None
    right = {}
    for domain in ("source", "target"):
        record = clean[domain]
        right[domain] = {str(i).partition("#")[0]: float(hit) for i, hit in zip(record.ids, record.right, strict=True)}
    common = sorted(right["source"].keys() & right["target"].keys())
    return np.array([right["source"][one] - right["target"][one] for one in common]) if common else None
