"""Drawings of church windows, from numbers alone."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch, PathPatch
from matplotlib.path import Path
from matplotlib.patheffects import withStroke

from robustkit.report.palette import Palette

# As in the published figures: the clean image, its noisy twin, the image with one pixel changed.
CLEAN, NOISY, ATTACKED = "X", "*", "^"
_SIZES = {CLEAN: 8.0, NOISY: 12.0, ATTACKED: 8.5}
_FONT = 8.0


@dataclass(frozen=True, eq=False)
class WindowPicture:
    """A church window to be drawn.

    Attributes:
        title: Above it, such as `spiral -> merger`.
        notes: Lines of small print below the title; in a gallery the first alone.
        extent: Half the side of the window.
        polygons: Class and corners (V, 2) of each convex piece.
        boundaries: Ends of the pieces of boundaries, shape (2, 2) each.
        grid: Classes of the cells of a sampled window, rows along y, shape (R, R); `None` for an exact one.
        marks: What lies in the window: a marker of `CLEAN`, `NOISY`, `ATTACKED` or any other, its name, x and y.
        labels: Of the axes x and y.
        true: The true class, for the variant that leaves it white.
    """

    title: str
    notes: Sequence[str]
    extent: float
    polygons: Sequence[tuple[int, np.ndarray]]
    boundaries: Sequence[np.ndarray]
    grid: np.ndarray | None
    marks: Sequence[tuple[str, str, float, float]]
    labels: tuple[str, str]
    true: int


# Letters of a note that stand above one window of a gallery.
_NOTE = 36


def draw_window(
    picture: WindowPicture, ax: Axes, palette: Palette, *, white: bool = False, names: bool = True, notes: int = 1
) -> Axes:
    """Draws a window.

    Args:
        picture: What to draw.
        ax: Where.
        palette: The colours of the classes.
        white: Whether the true class is left white, as in the traditional windows.
        names: Whether each class that has room carries its name.
        notes: How many lines of small print.

    Returns:
        The axes.
    """
    e = picture.extent
    colours = ["white" if white and k == picture.true else colour for k, colour in enumerate(palette.colours)]
    line = "black" if white else "white"
    if picture.grid is not None:
        _draw_grid(picture.grid, e, ax, colours)
    for k in sorted({label for label, _ in picture.polygons}):
        pieces = [Path(np.vstack([v, v[:1]]), closed=True) for label, v in picture.polygons if label == k]
        # One path, so that no seams show between pieces of a class.
        ax.add_patch(PathPatch(Path.make_compound_path(*pieces), fc=colours[k], ec="none", lw=0))
    for ends in picture.boundaries:
        ax.plot(*ends.T, color=line, lw=1.0, solid_capstyle="round")
    ax.axhline(0, color=line, lw=0.5, alpha=0.6)
    ax.axvline(0, color=line, lw=0.5, alpha=0.6)
    if names:
        _write_names(picture, ax, palette, colours)
    for marker, _, x, y in picture.marks:
        ax.plot(x, y, marker, ms=_SIZES.get(marker, 8.0), mfc="white", mec="black", mew=1.0, ls="", clip_on=False)
    ax.set(xlim=(-e, e), ylim=(-e, e), aspect="equal", xticks=(-1, 0, 1), yticks=(-1, 0, 1))
    ax.set_xlabel(picture.labels[0], fontsize=_FONT)
    ax.set_ylabel(picture.labels[1], fontsize=_FONT)
    ax.tick_params(labelsize=_FONT - 1, length=2.5)
    # A long name must not widen the column, or the window shrinks.
    small = [line for note in picture.notes[:notes] for line in textwrap.wrap(note, _NOTE)]
    ax.set_title(picture.title, fontsize=_FONT + 1, parse_math=False, pad=5 + 9.5 * len(small))
    ax.annotate(
        "\n".join(small), (0.5, 1), (0, 3), "axes fraction", "offset points",
        ha="center", va="bottom", fontsize=_FONT - 1.5, parse_math=False,
    )  # fmt: skip
    return ax


def draw_single(picture: WindowPicture, palette: Palette, *, white: bool = False) -> Figure:
    """A window as a figure of one column of a journal."""
    figure = Figure(figsize=(3.3, 4.1), layout="constrained")
    draw_window(picture, figure.subplots(), palette, white=white, notes=len(picture.notes))
    _legend(figure, [picture], palette, white=white, where="outside lower center")
    return figure


def draw_gallery(
    pictures: Sequence[WindowPicture], palette: Palette, *, rule: str, columns: int = 3, white: bool = False
) -> Figure:
    """Windows side by side, with one legend and the rule by which they were chosen.

    Args:
        pictures: At least one.
        palette: The colours of the classes.
        rule: How the windows were chosen; it is printed below them.
        columns: How many stand side by side.
        white: Whether the true class is left white.
    """
    columns = min(columns, len(pictures))
    rows = -(-len(pictures) // columns)
    figure = Figure(figsize=(max(2.25 * columns, 3.3), 2.6 * rows + (1.1 if white else 0.75)), layout="constrained")
    grid = figure.subplots(rows, columns, squeeze=False)
    for ax, picture in zip(grid.flat, pictures, strict=False):
        draw_window(picture, ax, palette, white=white, names=False)
    for ax in grid.flat[len(pictures) :]:
        ax.set_axis_off()
    _legend(figure, pictures, palette, white=white, where="outside upper center")
    figure.supxlabel(_wrapped(rule, figure), fontsize=_FONT - 1.5, color="0.3")
    return figure


def _draw_grid(grid: np.ndarray, extent: float, ax: Axes, colours: Sequence[str]) -> None:
    ax.imshow(
        grid,
        origin="lower",
        extent=(-extent, extent, -extent, extent),
        cmap=ListedColormap(list(colours)),
        vmin=-0.5,
        vmax=len(colours) - 0.5,
        interpolation="nearest",
    )


def _write_names(picture: WindowPicture, ax: Axes, palette: Palette, colours: Sequence[str]) -> None:
    """Each class's name at the middle of its largest piece, where that has room and no marker stands there."""
    for k, name in enumerate(palette.class_names):
        middle = _roomy_place(picture, k, 0.026 * len(name) * picture.extent, 0.045 * picture.extent)
        if middle is None:
            continue
        ink = "black" if colours[k] == "white" else palette.ink(k)
        halo = [withStroke(linewidth=2, foreground=colours[k])]
        ax.text(
            middle[0], middle[1], name, ha="center", va="center", fontsize=_FONT, color=ink, path_effects=halo,
            parse_math=False,
        )  # fmt: skip


def _roomy_place(picture: WindowPicture, label: int, half_width: float, half_height: float) -> np.ndarray | None:
    """The place of the class that is furthest from everything else, where a name of this size fits."""
    ticks = np.linspace(-picture.extent, picture.extent, 45)
    points = np.stack(np.meshgrid(ticks, ticks), axis=-1)  # (45, 45, 2)
    inside = _labels_at(picture, points) == label
    others = [points[~inside]] + [np.array([[x, y]]) for _, _, x, y in picture.marks]
    others += [np.stack([ticks, np.full_like(ticks, side)], axis=1)[:, ::step]
               for side in (-picture.extent, picture.extent) for step in (1, -1)]  # fmt: skip
    avoid = np.concatenate(others) / (half_width, half_height)
    candidates = points[inside]
    if not len(candidates):
        return None
    room = np.abs(candidates[:, None] / (half_width, half_height) - avoid).max(axis=2).min(axis=1)
    best = int(room.argmax())
    return candidates[best] if room[best] >= 1.15 else None


def _labels_at(picture: WindowPicture, points: np.ndarray) -> np.ndarray:
    if picture.grid is not None:
        size = len(picture.grid)
        place = np.clip(((points / picture.extent + 1) / 2 * size).astype(int), 0, size - 1)
        return picture.grid[place[..., 1], place[..., 0]]
    labels = np.full(points.shape[:-1], -1)
    flat = points.reshape(-1, 2)
    for label, vertices in picture.polygons:
        edge = np.roll(vertices, -1, axis=0) - vertices
        away = flat[:, None] - vertices
        inside = (edge[:, 0] * away[..., 1] - edge[:, 1] * away[..., 0] >= -1e-12).all(axis=1)
        labels.reshape(-1)[inside] = label
    return labels


def _legend(figure: Figure, pictures: Sequence[WindowPicture], palette: Palette, *, white: bool, where: Any) -> None:
    shades = dict(zip(palette.class_names, palette.colours, strict=True))
    if white:
        shades = {"true class": "white"} | {f"{name}, where wrong": colour for name, colour in shades.items()}
    handles: list[Line2D | Patch] = [Patch(fc=c, ec="0.3", lw=0.5, label=n) for n, c in shades.items()]
    marks = dict.fromkeys((marker, name) for picture in pictures for marker, name, _, _ in picture.marks)
    handles += [
        Line2D([], [], marker=m, ms=0.8 * _SIZES.get(m, 8.0), mfc="white", mec="black", mew=1.0, ls="", label=name)
        for m, name in marks
    ]
    columns = 2 if white else 3
    legend = figure.legend(
        handles=_by_rows(handles, columns), loc=where, ncols=columns, fontsize=_FONT - 1, frameon=False,
        handletextpad=0.4, columnspacing=1.2,
    )  # fmt: skip
    for text in legend.get_texts():
        text.set_parse_math(False)  # names are text, whatever is in them


def _by_rows(handles: list[Line2D | Patch], columns: int) -> list[Line2D | Patch]:
    """Legends are filled column by column; this order makes them read row by row."""
    return [handle for column in range(columns) for handle in handles[column::columns]]


def _wrapped(text: str, figure: Figure) -> str:
    return "\n".join(textwrap.wrap(text, int(figure.get_figwidth() * 17)))
