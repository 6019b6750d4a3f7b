"""Pictures of the images of an audit, kept so that its page can be drawn again without the data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from robustkit.records import Record

# Side of a small picture, and of how many images there are some: the first drawn.
SIDE, MOST = 48, 1000
THUMBNAIL_RULE = f"the first {MOST:,} images drawn have a picture that is shown under the pointer"


@dataclass(frozen=True, eq=False)
class Pictures(Record):
    """Small pictures of the images drawn, and the noise of their sky.

    Attributes:
        ids: Image ids, shape (N,).
        true: True classes, shape (N,).
        small: Pictures of the first M of them, shape (M, SIDE, SIDE, 3), uint8.
        sky: Standard deviation of the sky in each band of each image, calibrated units, shape (N, C); nan where the
            stretch cannot be inverted.
        bands: The C bands.
        unit: Of the calibrated values.
    """

    axis_letters: ClassVar[Mapping[str, str]] = {
        "ids": "N", "true": "N", "small": "MHW3", "sky": "NC", "bands": "C",
    }  # fmt: skip

    ids: np.ndarray
    true: np.ndarray
    small: np.ndarray
    sky: np.ndarray
    bands: list[str]
    unit: str
