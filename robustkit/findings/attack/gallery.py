"""Flips to look at: the image, the same image with its one pixel ringed, and the pixel from near by."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from PIL import Image

from robustkit.report.blocks import PAGE, Axis, Block, Cells, Drawing, Panel, Picture, Rings, Words
from robustkit.report.palette import SCALES, channels
from robustkit.report.section import Table

_MOST_SPOKEN = 3  # bands under a picture, which is as wide as three
_DRAWN = 6  # exhibits; all are in the table
_NEAR = 7  # pixels to each side in the view from near by
_STEP = 1.06  # from one picture of an exhibit to the next, in widths of a picture
_HIDDEN = Axis(shown=False)
# Filters from blue to red; three of them in this order are shown as blue, green, red.
_BLUE_TO_RED = ("u", "g", "r", "i", "z", "y")


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

    def spoken(self, most: int | None = None) -> str:
        """The size of the change, band by band.

        Args:
            most: Name so many bands, those that change most, and count the others; by default name all.
        """
        named = sorted(np.argsort(-np.abs(self.change), kind="stable")[:most].tolist())
        parts = []
        for k in named:
            change, sky = float(self.change[k]), float(self.sky[k])
            sigmas = f" ({change / sky:+,.0f} sky σ)" if np.isfinite(sky) and sky > 0 else ""
            parts.append(f"{self.bands[k]} {_signed(change)}{sigmas}")
        omitted = len(self.bands) - len(named)
        return ", ".join(parts) + (f" and {omitted} more" if omitted else "")


@dataclass(frozen=True, eq=False)
class Gallery:
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

    def summary(self) -> str:
        """The rule, and the first exhibit in words."""
        one = self.exhibits[0]
        more = f", of which the first {_DRAWN} are drawn" if len(self.exhibits) > _DRAWN else ""
        return (
            f"{one.image_id} goes from {one.true} ({one.before:.2f}) to {one.new} ({one.after:.2f}) by "
            f"{one.spoken()} at row {one.row[0]}, column {one.column[0]}. "
            f"{len(self.exhibits)} flips of {self.model}{more}: {self.rule}. Left the clean image, then the perturbed "
            f"one with its pixel ringed, then that pixel from near by. Changes in {one.unit}, and in standard "
            "deviations of the sky where it is known."
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

    def drawing(self) -> Drawing:
        """Two exhibits in a row."""
        panels = [_exhibit(one) for one in self.exhibits[:_DRAWN]]
        rows = math.ceil(len(panels) / 2)
        return Drawing(panels, (PAGE, 1.5 * rows + 0.1), 24 + 190 * rows, 2, legend="none", least=720)


@dataclass(frozen=True, eq=False)
class FlipPicture:
    """A flip to be drawn.

    Attributes:
        clean: Network input, shape (C, H, W).
        perturbed: Network input, shape (C, H, W).
        row: Rows of the L pixels.
        column: Columns of the L pixels.
        bands: The C bands.
        before: What is said of the clean image, such as `spiral, p = 0.81`.
        after: What is said of the perturbed image.
        title: What is said of both.
    """

    clean: np.ndarray
    perturbed: np.ndarray
    row: tuple[int, ...]
    column: tuple[int, ...]
    bands: tuple[str, ...]
    before: str
    after: str
    title: str


@dataclass(frozen=True, eq=False)
class CamPicture:
    """An image and its flip, with what speaks for the class of each.

    Attributes:
        name: Of the image.
        clean: Network input, shape (C, H, W).
        attacked: Network input, shape (C, H, W).
        clean_map: Grad-CAM of the clean image for its class, shape (H, W), in [0, 1].
        attacked_map: That of the flip for its new class.
        before: The class of the clean image.
        after: The class of the flip.
        row: Rows of the pixels changed.
        column: Their columns.
        bands: The C bands.
    """

    name: str
    clean: np.ndarray
    attacked: np.ndarray
    clean_map: np.ndarray
    attacked_map: np.ndarray
    before: str
    after: str
    row: tuple[int, ...]
    column: tuple[int, ...]
    bands: tuple[str, ...]


def draw_flip(picture: FlipPicture) -> Drawing:
    """The clean image, the perturbed image with its pixels ringed, and their difference."""
    low, high = picture_limits(picture.clean)
    rings = _rings(picture.row, picture.column, picture.clean.shape[1:])
    difference = picture.perturbed - picture.clean
    # One value for each pixel: that of the band that changed most.
    band = np.abs(difference).argmax(0)
    strongest = np.take_along_axis(difference, band[None], 0)[0]
    limit = float(np.abs(strongest).max()) or 1.0
    cells = Cells(strongest, "change", -limit, limit, label="network input")
    shown = [to_picture(image, picture.bands, (low, high)) for image in (picture.clean, picture.perturbed)]
    panels = [
        picture_panel(picture.before, shown[0]),
        picture_panel(picture.after, shown[1], rings),
        Panel([cells, rings], "difference (band that changed most)", _HIDDEN, _HIDDEN, equal=True),
    ]
    return Drawing(panels, (8.6, 3.2), 380, 3, legend="none", note=picture.title)


def draw_flips(pictures: Sequence[FlipPicture]) -> Drawing:
    """Flips, a row each: clean, perturbed, difference."""
    if not pictures:
        words = Words(0.5, 0.5, "no image was flipped")
        axis = Axis(span=(0, 1), shown=False)
        return Drawing([Panel([words], x=axis, y=axis)], (4.0, 1.0), 120, legend="none")
    panels = []
    for one in pictures:
        first, *others = draw_flip(one).panels
        panels += [replace(first, title=f"{one.title}\n{first.title}"), *others]
    return Drawing(panels, (8.6, 3.1 * len(pictures)), 60 + 320 * len(pictures), 3, legend="none")


def draw_grad_cams(pictures: Sequence[CamPicture]) -> Drawing:
    """A row for each image: clean, what speaks for its class, attacked, what speaks for the new class."""
    panels = []
    for one in pictures:
        limits, rings = picture_limits(one.clean), _rings(one.row, one.column, one.clean.shape[1:])
        for first, image, cam, said in (
            (True, one.clean, one.clean_map, one.before),
            (False, one.attacked, one.attacked_map, one.after),
        ):
            shown, marks = to_picture(image, one.bands, limits), () if first else (rings,)
            nothing = "" if cam.any() else ": nothing"
            panels.append(picture_panel(f"{one.name}, clean" if first else "one pixel changed", shown, *marks))
            panels.append(picture_panel(f"speaks for {said}{nothing}", _glowing(shown, cam), *marks))
    note = "Grad-CAM, each map between 0 and its highest value; brighter pixels count more for the class."
    return Drawing(panels, (9.0, 2.45 * len(pictures) + 0.4), 60 + 270 * len(pictures), 4, legend="none", note=note)


def composite(image: np.ndarray, bands: Sequence[str]) -> np.ndarray:
    """An image to show, shape (H, W, 3) for three bands and (H, W), their mean, for any other number.

    Args:
        image: Shape (C, H, W), in [0, 1].
        bands: The C bands; filters from blue to red are turned round, others are taken as red, green, blue.
    """
    if len(bands) != 3:
        return image.mean(0)
    known = [_BLUE_TO_RED.index(band) for band in bands if band in _BLUE_TO_RED]
    turned = len(known) == 3 and known == sorted(known)
    return np.moveaxis(image[::-1] if turned else image, 0, -1)


def to_picture(
    image: np.ndarray, bands: Sequence[str], limits: tuple[np.ndarray, np.ndarray] | None = None
) -> np.ndarray:
    """An image to show, shape (H, W, 3), uint8, each band between its own limits.

    Args:
        image: Shape (C, H, W).
        bands: The C bands.
        limits: What is black and what is white in each band, two arrays of shape (C, 1, 1); by default of this image.
    """
    low, high = limits or picture_limits(image)
    shown = composite(np.clip((image - low) / np.maximum(high - low, 1e-12), 0, 1), bands)
    if shown.ndim == 2:
        shown = np.repeat(shown[..., None], 3, axis=2)
    return np.round(255 * shown).astype(np.uint8)


def picture_limits(image: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """What is shown as black and as white in each band of an image (C, H, W), two arrays of shape (C, 1, 1)."""
    low, high = np.percentile(image, (0.5, 99.8), axis=(1, 2))[..., None, None]
    return low, high


def to_stamp(
    image: np.ndarray, bands: Sequence[str], side: int, limits: tuple[np.ndarray, np.ndarray] | None = None
) -> np.ndarray:
    """The same as a small square picture, shape (side, side, 3), uint8.

    Args:
        image: Shape (C, H, W).
        bands: The C bands.
        side: In pixels.
        limits: As in `to_picture`.
    """
    shown = Image.fromarray(to_picture(image, bands, limits))
    return np.asarray(shown.resize((side, side), Image.Resampling.BILINEAR))


def _exhibit(one: Exhibit) -> Panel:
    """Three pictures side by side on one panel: each is as wide as 1."""
    height, width = one.clean.shape[:2]
    tall = height / width
    near = np.full((2 * _NEAR + 1, 2 * _NEAR + 1, 3), 217, dtype=np.uint8)
    padded = np.pad(_rgb(one.perturbed), ((_NEAR, _NEAR), (_NEAR, _NEAR), (0, 0)), constant_values=217)
    near = padded[one.row[0] : one.row[0] + 2 * _NEAR + 1, one.column[0] : one.column[0] + 2 * _NEAR + 1]
    blocks: list[Block] = []
    said = (f"{one.true} {one.before:.2f}", f"{one.new} {one.after:.2f}", f"row {one.row[0]}, col. {one.column[0]}")
    for place, (image, text) in enumerate(zip((_rgb(one.clean), _rgb(one.perturbed), near), said, strict=True)):
        left, side = place * _STEP, tall if place < 2 else 1.0
        blocks.append(Picture(image, (left, left + 1, tall - side, tall)))
        blocks.append(Words(left + 0.5, tall + 0.03, text, size=0.88, above=True))
    rings = _rings(one.row, one.column, one.clean.shape[:2])
    x, y = rings.places.T
    blocks.append(Rings(np.stack([_STEP + (x + 0.5) / width, tall - (y + 0.5) / width], axis=1), rings.radius / width))
    change = one.spoken(_MOST_SPOKEN).replace(" sky σ", "σ")
    lines = f"{one.image_id[:40]} ({one.search}, query {one.queries:,})\n{change}"
    blocks.append(Words(_STEP + 0.5, min(0.0, tall - 1) - 0.16, lines, size=0.7))
    low = min(0.0, tall - 1) - 0.32
    ends = Axis(span=(-0.02, 2 * _STEP + 1.02), shown=False), Axis(span=(low, tall + 0.17), shown=False)
    return Panel(blocks, x=ends[0], y=ends[1], equal=True)


def picture_panel(title: str, image: np.ndarray, *rings: Rings) -> Panel:
    """A picture on axes of its pixels, rows from the top, with rings around some of them."""
    height, width = image.shape[:2]
    x, y = (-0.5, width - 0.5), (height - 0.5, -0.5)
    axes = Axis(span=x, shown=False), Axis(span=y, shown=False)
    return Panel([Picture(image, (*x, *y)), *rings], title, *axes, equal=True)


def _rings(row: Sequence[int], column: Sequence[int], shape: tuple[int, ...]) -> Rings:
    return Rings(np.stack([column, row], axis=1).astype(float), max(3.0, 0.05 * max(shape)))


def _glowing(image: np.ndarray, cam: np.ndarray) -> np.ndarray:
    """A picture in grey beneath a map, which is transparent where nothing speaks for the class."""
    stops = np.array([channels(colour) for colour in SCALES["heat"]], dtype=float)
    at = np.linspace(0, 1, len(stops))
    colours = np.stack([np.interp(cam, at, stops[:, c]) for c in range(3)], axis=-1)
    grey, share = image.mean(-1, keepdims=True), 0.75 * cam[..., None]
    return np.round((1 - share) * grey + share * colours).astype(np.uint8)


def _rgb(image: np.ndarray) -> np.ndarray:
    return image if image.ndim == 3 else np.repeat(image[..., None], 3, axis=2)


def _signed(value: float) -> str:
    return f"{value:+,.0f}" if abs(value) >= 100 else f"{value:+.3g}"
