"""What is found when a search chooses the parameters of a physical fault."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, ClassVar, Self

import numpy as np

from robustkit.errors import InputError
from robustkit.records import Record

RECORD = "threat.npz"


@dataclass(frozen=True, eq=False)
class ThreatRecord(Record):
    """What S searches for a fault found on N images; A attempts, one for each correct image and search.

    Attributes:
        ids: Image ids, shape (N,), str.
        true: True classes, shape (N,).
        clean_class: Predicted classes before the fault, shape (N,); `NOT_FINITE` where the answer was not finite,
            `OUT_OF_MEMORY` where memory ran out.
        image: Which image each attempt is on, shape (A,).
        search: Which of `searches` made it, shape (A,).
        flipped: Whether a flip was proved by the network, alone, shape (A,), bool.
        queries: How many points were scored, shape (A,).
        reached: How many of them flip in a batch, shape (A,).
        unproved: How many flipped in a batch and not alone, shape (A,).
        new_class: The class after the worst proved flip, shape (A,); -1 where none.
        margin: The largest margin met, in logits, shape (A,); of the proved flip where there is one.
        values: The fault there, shape (A, V); see `names`.
        shown: Which images have pictures, shape (P,).
        before: These images, network input, shape (P, C, H, W).
        after: The same with the worst fault.
        names: What the V values are, with units.
        searches: Names of the searches.
        bands: The C bands.
        class_names: The K classes.
        settings: Fault, ranges, searches, budget, footprints, seed, conditions.
    """

    version = 1
    axis_letters: ClassVar[Mapping[str, str]] = {
        **dict.fromkeys(("ids", "true", "clean_class"), "N"),
        **dict.fromkeys(("image", "search", "flipped", "queries", "reached", "unproved", "new_class", "margin"), "A"),
        "values": "AV", "names": "V", "searches": "S", "bands": "C", "class_names": "K",
        "shown": "P", "before": "PCHW", "after": "PCHW",
    }  # fmt: skip
    position_letters: ClassVar[Mapping[str, str]] = {
        "true": "K", "clean_class": "K", "image": "N", "search": "S", "new_class": "K", "shown": "N",
    }  # fmt: skip

    ids: np.ndarray
    true: np.ndarray
    clean_class: np.ndarray
    image: np.ndarray
    search: np.ndarray
    flipped: np.ndarray
    queries: np.ndarray
    reached: np.ndarray
    unproved: np.ndarray
    new_class: np.ndarray
    margin: np.ndarray
    values: np.ndarray
    shown: np.ndarray
    before: np.ndarray
    after: np.ndarray
    names: list[str]
    searches: list[str]
    bands: list[str]
    class_names: list[str]
    settings: dict[str, Any]

    @property
    def correct(self) -> np.ndarray:
        """Which images were right before, and so searched, shape (N,), bool."""
        return self.true == self.clean_class

    def flipped_images(self, search: str | None = None) -> np.ndarray:
        """Which images were flipped, by one search or by any, shape (N,), bool."""
        mine = self.flipped if search is None else self.flipped & (self.search == self.searches.index(search))
        return np.isin(np.arange(len(self.ids)), self.image[mine])

    @classmethod
    def join(cls, records: Sequence[Self]) -> Self:
        """One record of parts of an image set.

        Raises:
            InputError: If the settings differ.
        """
        first = records[0]
        if any((r.settings, r.names) != (first.settings, first.names) for r in records):
            raise InputError("these searches were made with different settings; join those of one run")
        offsets = np.cumsum([0, *(len(record.ids) for record in records[:-1])])
        joined: dict[str, np.ndarray] = {}
        for field in fields(cls):
            if isinstance(getattr(first, field.name), np.ndarray):
                parts = [getattr(record, field.name) for record in records]
                if field.name in ("image", "shown"):
                    parts = [part + at for part, at in zip(parts, offsets, strict=True)]
                joined[field.name] = np.concatenate(parts)
        return replace(first, **joined)
