"""Drawing of the plane that a head decides on, with every image and every boundary."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Polygon

from robustkit.report.palette import Palette

# A marker for each class, beside its colour.
_MARKERS = ("o", "s", "D", "v", "P", "h")
_FONT = 8.0


@dataclass(frozen=True, eq=False)
class CanonicalPicture:
    """The plane, and one kind of perturbation on it.

    Attributes:
        title: Above it.
        clean: Where the clean images lie, shape (N, 2).
        perturbed: Where their perturbed twins lie, shape (N, 2); nan rows where there is none.
        changed: Whose class is another there, shape (N,), bool.
        true: True classes, shape (N,).
        polygons: Class and corners (V, 2) of each region.
        boundaries: Ends of the boundaries, shape (2, 2) each.
        low: Lower corner, shape (2,).
        high: Upper corner, shape (2,).
        labels: Of both axes.
    """

    title: str
    clean: np.ndarray
    perturbed: np.ndarray
    changed: np.ndarray
    true: np.ndarray
    polygons: Sequence[tuple[int, np.ndarray]]
    boundaries: Sequence[np.ndarray]
    low: np.ndarray
    high: np.ndarray
    labels: tuple[str, str]


def draw_canonical(picture: CanonicalPicture, ax: Axes, palette: Palette) -> Axes:
    """Draws the plane to scale: distances to boundaries are those of the latent space.

    Regions are tinted by the class that the head gives, images are coloured by their true class, and hollow where
    they have no perturbed twin.

    Returns:
        The axes.
    """
    for label, vertices in picture.polygons:
        ax.add_patch(Polygon(vertices, fc=_tint(palette.colours[label]), ec="none", lw=0))
    for ends in picture.boundaries:
        ax.plot(*ends.T, color="0.25", lw=0.9)
    there = np.isfinite(picture.perturbed).all(axis=1)
    for rows, colour, order in ((there & ~picture.changed, "0.45", 3), (there & picture.changed, "black", 5)):
        start, move = picture.clean[rows], (picture.perturbed - picture.clean)[rows]
        ax.quiver(
            *start.T, *move.T, angles="xy", scale_units="xy", scale=1, color=colour, alpha=0.7, units="inches",
            width=0.005, headwidth=8, headlength=9, headaxislength=7.5, minlength=0, zorder=order,
        )  # fmt: skip
    for k in range(len(palette.class_names)):
        style: dict[str, Any] = {"marker": _MARKERS[k % len(_MARKERS)], "ls": "", "zorder": 4}
        colour, mine = palette.colours[k], picture.true == k
        ax.plot(*picture.clean[mine & ~there].T, ms=2.2, mfc="white", mec=colour, mew=0.6, **style)
        ax.plot(*picture.clean[mine & there].T, ms=3.2, mfc=colour, mec="white", mew=0.3, **style)
    ax.set(xlim=(picture.low[0], picture.high[0]), ylim=(picture.low[1], picture.high[1]), aspect="equal")
    ax.set_xlabel(picture.labels[0], fontsize=_FONT)
    ax.set_ylabel(picture.labels[1], fontsize=_FONT)
    ax.set_title(picture.title, fontsize=_FONT, parse_math=False)
    ax.tick_params(labelsize=_FONT - 1, length=2.5)
    return ax


def draw_canonical_sheet(pictures: Sequence[CanonicalPicture], palette: Palette) -> Figure:
    """One panel for each kind of perturbation, on the same plane, with one legend."""
    # Side by side where the plane is tall, one below the other where it is wide.
    wide, tall = pictures[0].high - pictures[0].low
    beside = len(pictures) > 1 and tall > 0.6 * wide
    width = 6.8 if beside else 3.3
    panel = width / (len(pictures) if beside else 1) - 0.5
    height = np.clip(panel * tall / wide, 1.2, 6.0) + 0.55
    size = (width, height + 0.5 if beside else height * len(pictures) + 0.5)
    figure = Figure(figsize=size, layout="constrained")
    axes = figure.subplots(1, len(pictures)) if beside else figure.subplots(len(pictures), 1)
    for picture, ax in zip(pictures, np.atleast_1d(axes), strict=True):
        draw_canonical(picture, ax, palette)
    hollow = any(np.isnan(picture.perturbed).any() for picture in pictures)
    legend = figure.legend(
        handles=_handles(palette, hollow), loc="outside lower center", ncols=2, fontsize=_FONT - 1, frameon=False,
        handletextpad=0.4, columnspacing=1.2,
    )  # fmt: skip
    for text in legend.get_texts():
        text.set_parse_math(False)  # names are text, whatever is in them
    return figure


def _handles(palette: Palette, hollow: bool) -> list[Line2D]:
    handles = [
        Line2D([], [], marker=_MARKERS[k % len(_MARKERS)], ms=4.5, mfc=palette.colours[k], mec="black", mew=0.5, ls="",
               label=name)
        for k, name in enumerate(palette.class_names)
    ]  # fmt: skip
    arrows = (("black", "perturbed, to another class"), ("0.45", "within its class"))
    if hollow:
        style: dict[str, Any] = {"marker": "o", "ms": 4.5, "mfc": "white", "mec": "0.4", "ls": ""}
        handles.append(Line2D([], [], label="no perturbed twin", **style))
    return handles + [Line2D([], [], marker=">", ms=4, lw=1, color=colour, label=name) for colour, name in arrows]


def _tint(colour: str, share: float = 0.3) -> tuple[float, float, float]:
    """A colour mixed with white."""
    red, green, blue = (share * value + 1 - share for value in to_rgb(colour))
    return red, green, blue
