"""What church windows are asked for, and what they hold: the numbers of every image, and some drawings."""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from robustkit.findings.latents.record import PairRequest
from robustkit.options import option
from robustkit.records import Record

RECORD, STAMPS, BASE_STAMPS = "windows.npz", "stamps.npz", "stamps-base.npz"
# Images that two networks are compared on at most, and the side of their pictures, pixels.
COMPARED, SIDE = 150, 64
ONE_PIXEL, NOISE, RANDOM = "one-pixel", "noise", "random"


@dataclass(frozen=True, kw_only=True)
class WindowRequest(PairRequest):
    """What windows are asked for; with a base, the same images are drawn under both networks too.

    Attributes:
        x: The first axis; see `robustkit.findings.windows.axes.make_axes`. By default the pixel that flips an image, or
            random directions if none was flipped.
        y: The second axis; by default the noise, or random directions if no image has a noisy twin.
        orthogonal: Whether to turn y at a right angle to x: the traditional window.
        white: Whether to leave the true class white, as there.
        colours: `safe` or `paper`.
        extent: Half the side of a window, in lengths of the directions.
        resolution: Cells along an axis of a sampled window; by default windows are exact, or sampled with
            `measure.RESOLUTION` cells if the head's regions have no formula.
        shown: Ids of images to draw; by default a rule chooses.
        certificates: The folder of `robustkit certify` on the same model and images: of an image that no pixel flips,
            the pixel that comes nearest to it is drawn beside the base.
        base_certificates: The same of the base.
    """

    x: str | None = option(
        None, "one-pixel, noise, random, or such as psf:s2.", shown="one-pixel, random without a flip"
    )
    y: str | None = option(None, "The same.", shown="noise, random without noisy twins")
    orthogonal: bool = option(False, "Turn y at a right angle to x: the traditional window.")
    white: bool = option(False, "Leave the true class white, as there.")
    colours: str = option("safe", "safe, or paper: the published ones.", flag="--colours --colors")
    extent: float = option(1.1, "Half the side, in lengths of the directions.")
    resolution: int | None = option(
        None,
        "Sample a grid of so many cells along an axis, such as 221.",
        shown="exact, or 151 cells where the head's regions have no formula",
        click={"type": int},
    )
    shown: Sequence[str] = option(
        (), "Id of an image to draw; give more for more.", flag="--image", shown="a rule", click={"multiple": True}
    )
    certificates: str | os.PathLike[str] | None = option(
        None, "A folder of `robustkit certify`: with --base, shows images that no pixel flips too."
    )
    base_certificates: str | os.PathLike[str] | None = option(None, "The same of the other checkpoint.")


@dataclass(frozen=True, eq=False)
class Windows(Record):
    """Church windows of N images, G of them with their drawing; K classes.

    Numbers are nan, and classes -1, where an image has no window; `why_not` says why. See `Window` for their meaning.

    Attributes:
        ids: Image ids, shape (N,), str.
        true: True classes, shape (N,), int64.
        start: Class at the origin, shape (N,).
        x_end: Class at the end of x, shape (N,).
        y_end: Class at the end of y, shape (N,).
        why_not: Why an image has no window, shape (N,), str; empty where it has one.
        areas: Shape (N, K).
        disc: Shape (N, K).
        crossing: Along x and y, shape (N, 2).
        crossing_to: Shape (N, 2).
        cosine: Of the angle between the two perturbations, shape (N,), also where y was turned.
        lengths: Of x and y, shape (N, 2).
        plane_margin: Shape (N,).
        true_margin: Shape (N,); nan if the head is not affine.
        y_mark: Where the second perturbation itself lies in the window, shape (N, 2): (0, 1) unless y was turned.
        shown: Which images have a drawing, shape (G,), int64.
        polygon_window: Which of the drawings each polygon belongs to, shape (P,), int64.
        polygon_class: Its class, shape (P,), int64.
        polygon_size: How many corners it has, shape (P,), int64.
        vertices: The corners of all polygons in turn, x and y, shape (V, 2).
        segment_window: Which of the drawings each piece of a boundary belongs to, shape (S,), int64.
        segment_classes: The classes on its sides, shape (S, 2), int64.
        segments: Its ends, shape (S, 2, 2).
        grids: Classes of the cells of sampled windows, rows along y, shape (G, R, R), int16; R is 0 for exact ones.
        extent: Half the side of the windows.
        axes: Names of the directions x and y.
        marked: Whether an image lies at the end of x and of y.
        method: How the windows were made, in words.
        class_names: The K classes.
        settings: What else made the record, JSON values.
    """

    axis_letters: ClassVar[Mapping[str, str]] = {
        **dict.fromkeys(
            ("ids", "true", "start", "x_end", "y_end", "why_not", "cosine", "plane_margin", "true_margin"), "N"
        ),
        **dict.fromkeys(("areas", "disc"), "NK"),
        **dict.fromkeys(("crossing", "crossing_to", "lengths", "y_mark"), "N2"),
        **dict.fromkeys(("polygon_window", "polygon_class", "polygon_size"), "P"),
        "shown": "G", "grids": "GRR", "vertices": "V2", "segment_window": "S", "segment_classes": "S2",
        "segments": "S22", "axes": "2", "marked": "2", "class_names": "K",
    }  # fmt: skip
    position_letters: ClassVar[Mapping[str, str]] = {
        **dict.fromkeys(
            ("true", "start", "x_end", "y_end", "crossing_to", "polygon_class", "segment_classes", "grids"), "K"
        ),
        "shown": "N", "polygon_window": "G", "segment_window": "G",
    }  # fmt: skip
    texts: ClassVar[Collection[str]] = ("ids", "why_not")

    ids: np.ndarray
    true: np.ndarray
    start: np.ndarray
    x_end: np.ndarray
    y_end: np.ndarray
    why_not: np.ndarray
    areas: np.ndarray
    disc: np.ndarray
    crossing: np.ndarray
    crossing_to: np.ndarray
    cosine: np.ndarray
    lengths: np.ndarray
    plane_margin: np.ndarray
    true_margin: np.ndarray
    y_mark: np.ndarray
    shown: np.ndarray
    polygon_window: np.ndarray
    polygon_class: np.ndarray
    polygon_size: np.ndarray
    vertices: np.ndarray
    segment_window: np.ndarray
    segment_classes: np.ndarray
    segments: np.ndarray
    grids: np.ndarray
    extent: float
    axes: list[str]
    marked: list[bool]
    method: str
    class_names: list[str]
    settings: dict[str, Any]

    @property
    def made(self) -> np.ndarray:
        """Which images have a window, shape (N,), bool."""
        return self.why_not == ""

    @property
    def angle(self) -> np.ndarray:
        """Degrees between the two perturbations, shape (N,)."""
        return np.degrees(np.arccos(np.clip(self.cosine, -1, 1)))

    def drawing(self, g: int) -> tuple[list[tuple[int, np.ndarray]], list[np.ndarray], np.ndarray | None]:
        """What is drawn of the g-th window shown: polygons with their classes, boundaries, and the grid if sampled."""
        ends = np.cumsum(self.polygon_size)
        polygons = [
            (int(self.polygon_class[p]), self.vertices[ends[p] - self.polygon_size[p] : ends[p]])
            for p in np.flatnonzero(self.polygon_window == g).tolist()
        ]
        segments = list(self.segments[self.segment_window == g])
        return polygons, segments, self.grids[g] if self.grids.shape[-1] else None


@dataclass(frozen=True, eq=False)
class Stamps(Record):
    """The first P images of a sample, clean, noisy and with one pixel changed, to be shown beside another network's.

    The pixel is the one that flips the image or, where every cell was tried and none does, the one that comes nearest.

    Attributes:
        ids: Image ids in the order of the draw, shape (P,), str.
        clean: Pictures, shape (P, SIDE, SIDE, 3), uint8; likewise the others, each in the limits of its clean image.
        noisy: Of the noisy twins; black where they are missing.
        attacked: With the pixel; black where no such pixel exists.
        spot: Where the pixel is, as shares of width and height from the upper left, shape (P, 2); nan for none.
        touched: Latents with the pixel, shape (P, D), float32; nan for none.
        end: Predicted classes with the pixel, shape (P,), int64; -1 for none.
        class_names: The K classes.
    """

    axis_letters: ClassVar[Mapping[str, str]] = {
        **dict.fromkeys(("ids", "end"), "P"),
        **dict.fromkeys(("clean", "noisy", "attacked"), "PSS3"),
        "spot": "P2", "touched": "PD", "class_names": "K",
    }  # fmt: skip
    position_letters: ClassVar[Mapping[str, str]] = {"end": "K"}

    ids: np.ndarray
    clean: np.ndarray
    noisy: np.ndarray
    attacked: np.ndarray
    spot: np.ndarray
    touched: np.ndarray
    end: np.ndarray
    class_names: list[str]
