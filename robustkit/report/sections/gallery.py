"""Flips to look at: the image, the same image with its one pixel ringed, and the pixel from near by."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.figure import Figure, SubFigure
from matplotlib.patches import Circle

from robustkit.report.attack_figures import RING
from robustkit.report.section import PAGE, Table
from robustkit.report.style import Painted

_NEAR = 7  # pixels to each side in the view from near by


@dataclass(frozen=True, eq=False)
class Exhibit:
    """One flip.

    Attributes:
        image_id: The image.
        true: Its class.
        new: What it became.
        before: Probability of the true class before.
        after: Probability of the new class after.
        clean: Picture, shape (H, W, 3) or (H, W), uint8.
        perturbed: The same with its pixels changed.
        row: Rows of the pixels.
        column: Their columns.
        change: Change of the first pixel in each band, in `unit`, shape (C,).
        sky: Standard deviation of the sky in each band, in `unit`, shape (C,); nan where nobody knows.
        bands: The C bands.
        unit: Of the change.
        search: Which search found it.
        queries: With how many queries.
    """

    image_id: str
    true: str
    new: str
    before: float
    after: float
    clean: np.ndarray
    perturbed: np.ndarray
    row: tuple[int, ...]
    column: tuple[int, ...]
    change: np.ndarray
    sky: np.ndarray
    bands: tuple[str, ...]
    unit: str
    search: str
    queries: int

    def spoken(self) -> str:
        """The size of the change, band by band."""
        parts = []
        for band, change, sky in zip(self.bands, self.change, self.sky, strict=True):
            sigmas = f" ({change / sky:+,.0f} sky σ)" if np.isfinite(sky) and sky > 0 else ""
            parts.append(f"{band} {_signed(float(change))}{sigmas}")
        return ", ".join(parts)


@dataclass(frozen=True, eq=False)
class Gallery(Painted):
    """Flips chosen by a rule.

    Attributes:
        exhibits: At least one.
        rule: How they were chosen.
        model: The model that they flip.
        name: Of its files.
    """

    exhibits: Sequence[Exhibit]
    rule: str
    model: str
    name: str = "gallery"

    @property
    def title(self) -> str:
        """Whose flips."""
        return f"Flips of {self.model}"

    @property
    def size(self) -> tuple[float, float]:
        """Two exhibits in a row."""
        return PAGE, 1.55 * math.ceil(len(self.exhibits) / 2)

    def summary(self) -> str:
        """The rule, and the first exhibit in words."""
        one = self.exhibits[0]
        return (
            f"{len(self.exhibits)} flips of {self.model}: {self.rule}. Left the clean image, then the perturbed one "
            f"with its pixel ringed, then that pixel from near by. Changes in {one.unit}, and in standard deviations "
            f"of the sky where it is known. {one.image_id} goes from {one.true} ({one.before:.2f}) to {one.new} "
            f"({one.after:.2f}) by {one.spoken()} at row {one.row[0]}, column {one.column[0]}."
        )

    def table(self) -> Table:
        """A line for each exhibit."""
        bands, unit = self.exhibits[0].bands, self.exhibits[0].unit
        columns = ["id", "true", "p before", "new", "p after", "row", "column", "search", "queries"]
        columns += [f"{band} change ({unit})" for band in bands] + [f"{band} change (sky sigmas)" for band in bands]
        rows = []
        for one in self.exhibits:
            sigmas = [f"{c / s:+.4g}" if np.isfinite(s) and s > 0 else "" for c, s in zip(one.change, one.sky)]  # noqa: B905
            rows.append(
                (one.image_id, one.true, f"{one.before:.4g}", one.new, f"{one.after:.4g}", one.row[0], one.column[0],
                 one.search, one.queries, *(f"{c:+.6g}" for c in one.change), *sigmas)
            )  # fmt: skip
        return Table(columns, rows)

    def interactive(self) -> None:
        """The printed sheet serves."""
        return None

    def paint(self, figure: Figure) -> None:
        """Two exhibits in a row."""
        rows = math.ceil(len(self.exhibits) / 2)
        parts = figure.subfigures(rows, 2, squeeze=False).ravel()
        for part, one in zip(parts, self.exhibits, strict=False):
            _draw_one(one, part)


def _draw_one(one: Exhibit, part: SubFigure) -> None:
    clean, perturbed, near = part.subplots(1, 3)
    for ax, picture in ((clean, one.clean), (perturbed, one.perturbed), (near, one.perturbed)):
        ax.imshow(picture, cmap="gray", vmin=0, vmax=255, interpolation="nearest")
        ax.set(xticks=[], yticks=[])
        ax.spines[:].set_visible(False)
    clean.set_title(f"{one.true} {one.before:.2f}", fontsize=7)
    perturbed.set_title(f"{one.new} {one.after:.2f}", fontsize=7)
    near.set_title(f"row {one.row[0]}, col. {one.column[0]}", fontsize=7)
    radius = max(3.0, 0.05 * max(one.clean.shape[:2]))
    for row, column in zip(one.row, one.column, strict=True):
        perturbed.add_patch(Circle((column, row), radius, fill=False, ec="black", lw=2.6))
        perturbed.add_patch(Circle((column, row), radius, fill=False, ec=RING, lw=1.3))
    near.set(xlim=(one.column[0] - _NEAR - 0.5, one.column[0] + _NEAR + 0.5))
    near.set(ylim=(one.row[0] + _NEAR + 0.5, one.row[0] - _NEAR - 0.5))
    near.set_facecolor("0.85")
    lines = [f"{one.image_id[:40]} ({one.search}, query {one.queries:,})", one.spoken()]
    part.supxlabel("\n".join(lines), fontsize=5.5)


def _signed(value: float) -> str:
    return f"{value:+,.0f}" if abs(value) >= 100 else f"{value:+.3g}"
