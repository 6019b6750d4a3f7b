"""Pictures of the flips that a page shows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from robustkit.records import Record

MOST = 12  # flips that are shown
GALLERY_RULE = (
    "for each pair of true and new class, most frequent first, the flips at the quartiles of the number of queries; "
    f"at most {MOST}"
)


@dataclass(frozen=True, eq=False)
class Exhibits(Record):
    """Flips to look at, E of them.

    Attributes:
        attempt: Which attempt of the attack record, shape (E,).
        clean: Pictures, shape (E, H, W, 3), uint8.
        perturbed: The same with the pixels changed.
        change: Change of the first pixel in each band, calibrated units where `calibrated`, shape (E, C).
        calibrated: Whether the change is in calibrated units, and not in network input.
    """

    axis_letters: ClassVar[Mapping[str, str]] = {
        "attempt": "E", "clean": "EHW3", "perturbed": "EHW3", "change": "EC",
    }  # fmt: skip

    attempt: np.ndarray
    clean: np.ndarray
    perturbed: np.ndarray
    change: np.ndarray
    calibrated: bool
