"""How easily each object flips, and what a catalogue says of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from robustkit.records import Record

RECORD = "fragile.npz"


@dataclass(frozen=True, eq=False)
class FragileRecord(Record):
    """How easily each of N images flips, and Q numbers of a catalogue about it.

    Attributes:
        ids: Image ids, shape (N,), str.
        right: Which images are classified correctly, shape (N,), bool.
        flipped: Which of them a pixel was seen to flip, shape (N,), bool.
        margin: Logit of the true class minus the highest other one, shape (N,); nan where it is not finite.
        share: The smallest share of a change known to flip the image that already does, shape (N,), in (0, 1]; nan
            where no change is known to. The network itself was seen to flip there, alone.
        change: Change of the first pixel there in each band, in `unit`, shape (N, C); nan as above.
        sigmas: The largest of these changes in standard deviations of the sky, shape (N,); nan where nobody knows.
        row: Row of that pixel, shape (N,); -1 where none.
        column: Its column, shape (N,).
        peak: Highest pixel of the image in standard deviations of the sky, shape (N,); nan where nobody knows.
        names: The Q columns of the catalogue.
        values: What it says, shape (N, Q); nan where it says nothing.
        source: Where the catalogue is, and how its rows were matched; empty without a catalogue.
        matched: How many images have a row in it.
        bands: The C bands.
        unit: Of the changes.
    """

    axis_letters: ClassVar[Mapping[str, str]] = {
        **dict.fromkeys(("ids", "right", "flipped", "margin", "share", "sigmas", "row", "column", "peak"), "N"),
        "change": "NC", "bands": "C", "values": "NQ", "names": "Q",
    }  # fmt: skip

    ids: np.ndarray
    right: np.ndarray
    flipped: np.ndarray
    margin: np.ndarray
    share: np.ndarray
    change: np.ndarray
    sigmas: np.ndarray
    row: np.ndarray
    column: np.ndarray
    peak: np.ndarray
    names: list[str]
    values: np.ndarray
    source: str
    matched: int
    bands: list[str]
    unit: str
