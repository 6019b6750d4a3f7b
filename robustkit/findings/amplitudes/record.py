"""What is found along the lines of every pixel: which amplitudes flip, and the least change of each image."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, ClassVar, Self

import numpy as np

from robustkit.errors import InputError
from robustkit.perturb.amplitudes import NEAR
from robustkit.records import Record

RECORD = "amplitudes.npz"

# Fields that every record of one run has in common.
_COMMON = ("scale", "sigma", "resolution")


@dataclass(frozen=True, eq=False)
class AmplitudeRecord(Record):
    """What every amplitude of every pixel does to N images; B kinds of lines go through a pixel.

    Attributes:
        ids: Image ids, shape (N,), str.
        labels: The class that each image should keep, shape (N,).
        correct: Whether it had that class before any change, shape (N,), bool; nothing was tried on the others.
        lines: How many half lines, up or down, an image has: 2 H W B.
        tried: How many of them were looked at, shape (N,).
        whole: How many of these were followed to their end, shape (N,).
        pieces: Breakpoints met on them together, or values of the grid, shape (N,).
        peak: Largest margin met on any of them, in logits, shape (N,); where none flips, none is nearer to 0 by more
            than the share `NEAR`.
        peak_row: Row of that pixel, shape (N,).
        peak_column: Its column, shape (N,).
        peak_kind: Its line, shape (N,).
        peak_change: Its change, shape (N,).
        error_bound: How far margins may lie from those of the network itself, in logits, shape (N,).
        out_of_memory: Whether memory ran out for the image alone, shape (N,), bool.
        span_image: The image of each stretch of amplitudes that flips, shape (S,), rising.
        span_row: Its row, shape (S,).
        span_column: Its column, shape (S,).
        span_kind: Its line, shape (S,).
        span_low: The lowest change of the stretch, shape (S,); minus infinity where everything lower flips too.
        span_high: The highest, shape (S,).
        least: The change nearest to 0 that flips, down and up, of each kind of line, shape (N, B, 2); nan where none.
            The network itself was seen to flip there, alone.
        least_row: Row of that pixel, shape (N, B, 2); -1 where none.
        least_column: Its column, shape (N, B, 2).
        unproved: How many images' least changes the network did not confirm, being within rounding, shape (N,).
        kinds: Names of the B lines.
        units: Of changes.
        scale: Changes of one electron on each line, shape (B,); nan where nobody knows.
        sigma: Changes of one standard deviation of the sky on each line, shape (B,); nan where nobody knows.
        marks: Electrons of a pixel that real artefacts leave in one visit, lowest and highest by name; empty where
            nobody knows.
        exact: Whether lines were followed from piece to piece; otherwise they were looked at on a grid.
        why: Why they were not, or how they were.
        resolution: The coarsest step of the grid as a share of a line, shape (1,); 0 where exact.
        size: H and W.
        class_names: The K classes.
        settings: Lines, levels, budget and seed.
        seconds: How long it took; 0 in the file of a run.
    """

    version = 1
    axis_letters: ClassVar[Mapping[str, str]] = {
        **dict.fromkeys(
            ("ids", "labels", "correct", "tried", "whole", "pieces", "peak", "peak_row", "peak_column", "peak_kind",
             "peak_change", "error_bound", "out_of_memory", "unproved"), "N",
        ),
        **dict.fromkeys(("span_image", "span_row", "span_column", "span_kind", "span_low", "span_high"), "S"),
        **dict.fromkeys(("least", "least_row", "least_column"), "NB2"),
        **dict.fromkeys(("kinds", "scale", "sigma"), "B"), "resolution": "1", "size": "2", "class_names": "K",
    }  # fmt: skip
    position_letters: ClassVar[Mapping[str, str]] = {
        "labels": "K",
        "span_image": "N",
        "span_kind": "B",
        "peak_kind": "B",
    }

    ids: np.ndarray
    labels: np.ndarray
    correct: np.ndarray
    lines: int
    tried: np.ndarray
    whole: np.ndarray
    pieces: np.ndarray
    peak: np.ndarray
    peak_row: np.ndarray
    peak_column: np.ndarray
    peak_kind: np.ndarray
    peak_change: np.ndarray
    error_bound: np.ndarray
    out_of_memory: np.ndarray
    span_image: np.ndarray
    span_row: np.ndarray
    span_column: np.ndarray
    span_kind: np.ndarray
    span_low: np.ndarray
    span_high: np.ndarray
    least: np.ndarray
    least_row: np.ndarray
    least_column: np.ndarray
    unproved: np.ndarray
    kinds: list[str]
    units: str
    scale: np.ndarray
    sigma: np.ndarray
    marks: dict[str, list[float]]
    exact: bool
    why: str
    resolution: np.ndarray
    size: list[int]
    class_names: list[str]
    settings: dict[str, Any]
    seconds: float

    @property
    def complete(self) -> np.ndarray:
        """Which images had every line looked at from end to end, shape (N,), bool."""
        return self.correct & (self.whole == self.lines)

    @property
    def flippable(self) -> np.ndarray:
        """Which images the network was seen to flip, shape (N,), bool."""
        return np.asarray((~np.isnan(self.least)).any((1, 2)))

    @property
    def certified(self) -> np.ndarray:
        """Which images no amplitude flips or comes near to flipping, shape (N,), bool; none without exact lines."""
        quiet = ~np.isin(np.arange(len(self.ids)), self.span_image)
        return self.complete & quiet & ((1 - NEAR) * self.peak < -self.error_bound) & np.bool_(self.exact)

    @property
    def too_near(self) -> np.ndarray:
        """Which completely followed images are neither certified nor seen to flip, shape (N,), bool."""
        return self.complete & ~self.certified & ~self.flippable & np.bool_(self.exact)

    def flipping(self, changes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """What a pixel that changes by so much does, on each kind of line.

        Args:
            changes: In `units`, shape (B,).

        Returns:
            Whether some pixel flips each image, and at which share of the pixels, shape (N, B) each.
        """
        inside = (self.span_low <= changes[self.span_kind]) & (changes[self.span_kind] <= self.span_high)
        hits = np.zeros((len(self.ids), len(self.kinds)), np.int64)
        np.add.at(hits, (self.span_image[inside], self.span_kind[inside]), 1)
        return hits > 0, hits / (self.size[0] * self.size[1])

    def least_map(self, image: int, kind: int) -> np.ndarray:
        """The change nearest to 0 that flips an image at each pixel, without its sign, shape (H, W); nan where none."""
        mine = (self.span_image == image) & (self.span_kind == kind)
        low, high = self.span_low[mine], self.span_high[mine]
        nearest = np.where(low > 0, low, np.where(high < 0, -high, 0.0))
        found = np.full(self.size, np.inf)
        np.minimum.at(found, (self.span_row[mine], self.span_column[mine]), nearest)
        return np.where(np.isinf(found), np.nan, found)

    @classmethod
    def join(cls, records: Sequence[Self]) -> Self:
        """One record of parts of an image set, followed with the same settings.

        Raises:
            InputError: If the settings differ.
        """
        first = records[0]
        same = [(r.settings, r.kinds, r.lines, r.exact) for r in records]
        if any(other != same[0] for other in same):
            raise InputError("these lines were followed with different settings; join those of one run")
        arrays = [f.name for f in fields(cls) if isinstance(getattr(first, f.name), np.ndarray)]
        names = [name for name in arrays if name not in _COMMON]
        joined = {name: np.concatenate([getattr(record, name) for record in records]) for name in names}
        offsets = np.cumsum([0, *(len(record.ids) for record in records[:-1])])
        joined["span_image"] = np.concatenate([r.span_image + at for r, at in zip(records, offsets, strict=True)])
        return replace(first, **joined, seconds=sum(record.seconds for record in records))
