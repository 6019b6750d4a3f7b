"""Drawings of latent maps: flat ones side by side, and one in space from four sides or turning."""

from __future__ import annotations

import math
import os
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib import patheffects
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from PIL import Image

from robustkit.files import atomic_write
from robustkit.progress import progress
from robustkit.report.palette import Palette

CLEAN, NOISY, ATTACKED = range(3)
# A class has a shape as well as a colour, so that it is told in grey too.
SHAPES = ("o", "s", "D", "P", "v", "h")
# Clean, noisy and attacked of a marked image, as in the paper: x, star, triangle.
MARKS = ("x", "*", "^")
MARK_SIZES = (45, 95, 48)
CAMERAS = (-60, 30, 120, 210)
_KIND_COLOURS = ("#222222", "#009E73")
_INK = "#111111"


@dataclass(frozen=True, eq=False)
class MapPoints:
    """A map to be drawn.

    Attributes:
        title: What is said above it.
        places: Shape (P, 2) or (P, 3); nan for points that the map has no place for.
        image: Which image each point shows, shape (P,).
        kind: Shape (P,): 0 clean, 1 noisy, 2 attacked.
        predicted: Predicted class of each point, shape (P,).
        examples: Images to mark, shape (E,).
        bridges: Pairs of points that were joined to make the graph one piece, shape (B, 2).
        palette: Colours and names of the K classes.
        axes: What the axes are called.
    """

    title: str
    places: np.ndarray
    image: np.ndarray
    kind: np.ndarray
    predicted: np.ndarray
    examples: np.ndarray
    bridges: np.ndarray
    palette: Palette
    axes: str = "axis"


def draw_maps(maps: Sequence[MapPoints], *, width: float = 4.7) -> Figure:
    """Draws flat maps side by side, at most two in a row, with one legend beneath."""
    columns = min(2, len(maps))
    rows = math.ceil(len(maps) / columns)
    # Distances are what a map shows, so both axes have one scale; the panels are as flat as the tallest map allows.
    spans = [np.ptp(points.places[np.isfinite(points.places[:, 0])], axis=0) for points in maps]
    height = width * float(np.clip(max(y / max(x, 1e-12) for x, y in spans), 0.6, 1.0))
    figure = Figure(figsize=(max(width * columns, 5.0), (height + 0.35) * rows + 0.7), layout="constrained")
    axes = figure.subplots(rows, columns, squeeze=False).ravel()
    for points, ax in zip(maps, axes, strict=False):
        draw_map(points, ax)
    for ax in axes[len(maps) :]:
        ax.set_axis_off()
    _legend(figure, maps)
    return figure


def draw_map(points: MapPoints, ax: Axes) -> Axes:
    """Draws a flat map: colour and shape by predicted class, clean filled, noisy empty, some triplets marked."""
    for a, b in points.bridges:
        ax.plot(*points.places[[a, b], :2].T, color="#888888", ls="--", lw=0.8, zorder=1)
    clean = np.flatnonzero(points.kind == CLEAN)  # in the order of the images
    flips = np.flatnonzero(points.kind == ATTACKED)
    steps = np.stack([points.places[clean[points.image[flips]], :2], points.places[flips, :2]], axis=1)
    ax.add_collection(LineCollection(list(steps), colors=_INK, linewidths=0.5, alpha=0.45, zorder=1.5))
    _scatter(points, ax)
    _mark(points, ax)
    ax.set_title(points.title, fontsize="medium", parse_math=False)
    ax.set(xlabel=f"{points.axes} 1", ylabel=f"{points.axes} 2")
    ax.set_aspect("equal", adjustable="datalim")
    ax.tick_params(labelsize="small")
    ax.margins(0.06)
    return ax


def draw_cameras(maps: Sequence[MapPoints], *, width: float = 2.5) -> Figure:
    """Draws maps in space from four sides: of each, a row by exposure and a row by predicted class."""
    rows = 2 * len(maps)
    figure = Figure(figsize=(4 * width, 0.84 * width * rows + 0.5))
    for m, points in enumerate(maps):
        noisy = (points.kind == NOISY).any()
        for by in range(2):
            for c, azimuth in enumerate(CAMERAS):
                ax = figure.add_subplot(rows, 4, (2 * m + by) * 4 + c + 1, projection="3d")
                draw_space(points, ax, azimuth=azimuth, by_class=bool(by) or not noisy)
                if c == 0:
                    what = "predicted class" if by or not noisy else "clean and noisy"
                    ax.text2D(0.0, 1.04, f"{points.title}: {what}", transform=ax.transAxes, fontsize="medium")
    for ax in figure.axes:
        for text in ax.texts:
            text.set_parse_math(False)
    beneath = 0.42 / figure.get_size_inches()[1]
    figure.subplots_adjust(left=0.01, right=0.985, bottom=beneath + 0.02, top=1 - beneath, wspace=0.02, hspace=0.16)
    _legend(figure, maps, domains=True)
    return figure


def draw_space(
    points: MapPoints, ax: Any, *, azimuth: float, by_class: bool, height: float = 18, zoom: float = 1.3
) -> Any:
    """Draws a map in space as one camera sees it.

    Args:
        points: Of three dimensions.
        ax: Axes with the projection `3d`.
        azimuth: Of the camera, degrees.
        by_class: Colour by predicted class; otherwise by clean and noisy.
        height: Of the camera, degrees.
        zoom: Larger is nearer.
    """
    for a, b in points.bridges:
        ax.plot(*points.places[[a, b]].T, color="#888888", ls="--", lw=0.7)
    if by_class:
        _scatter(points, ax, size=9)
        _mark(replace(points, examples=points.examples[:1]), ax, labels=False)
    else:
        for kind, colour in enumerate(_KIND_COLOURS):
            some = points.places[points.kind == kind]
            face = colour if kind == CLEAN else "none"
            many = len(points.kind) > 5000
            ax.scatter(*some.T, s=10, marker="o", facecolors=face, edgecolors=colour, linewidths=0.7, rasterized=many)
    spans = np.ptp(points.places, axis=0)
    ax.set_box_aspect(np.maximum(spans, 0.6 * spans.max()), zoom=zoom)
    ax.view_init(elev=height, azim=azimuth)
    ax.tick_params(labelbottom=False, labelleft=False, labelright=False, labeltop=False)
    for axis, number in ((ax.xaxis, 1), (ax.yaxis, 2), (ax.zaxis, 3)):
        axis.set_label_text(str(number))
        axis.labelpad = -12
        axis.label.set_size("small")
        axis.set_ticklabels([])
        axis.set_pane_color((1, 1, 1, 0))
        axis._axinfo["grid"].update(linewidth=0.4, color="#dddddd")
    return ax


def frames(points: MapPoints, *, count: int = 36, pixels: int = 480) -> Iterator[Image.Image]:
    """A map in space as a camera sees it that goes round it once."""
    figure = Figure(figsize=(pixels / 100, pixels / 100), dpi=100)
    canvas = FigureCanvasAgg(figure)
    ax = figure.add_subplot(projection="3d")
    figure.subplots_adjust(left=0.02, right=0.98, bottom=0.15, top=0.95)
    draw_space(points, ax, azimuth=0, by_class=True, zoom=1.15)
    figure.suptitle(points.title, fontsize="medium", parse_math=False)
    _legend(figure, [points], columns=3)
    for i in progress(range(count), label="turning map", unit="frame"):
        ax.view_init(elev=18, azim=CAMERAS[0] + 360 * i / count)
        canvas.draw()
        yield Image.fromarray(np.asarray(canvas.buffer_rgba())[..., :3].copy())


def save_gif(pictures: Sequence[Image.Image], path: Path, *, seconds: float = 7.2) -> Path:
    """Writes frames as an endless GIF."""
    palette = pictures[0].quantize(128)
    small = [picture.quantize(palette=palette, dither=Image.Dither.NONE) for picture in pictures]
    with atomic_write(path) as file:
        duration = round(1000 * seconds / len(small))
        small[0].save(file, format="GIF", save_all=True, append_images=small[1:], duration=duration, loop=0)
    return path


def save_mp4(pictures: Sequence[Image.Image], path: Path, *, seconds: float = 7.2) -> Path | None:
    """Writes frames as a film, if ffmpeg is here; `None` if not."""
    import subprocess

    program = shutil.which("ffmpeg")
    if program is None:
        return None
    width, height = pictures[0].size
    handle, temporary = tempfile.mkstemp(suffix=".mp4", dir=path.parent)
    os.close(handle)
    command = [program, "-y", "-loglevel", "error", "-f", "rawvideo", "-pix_fmt", "rgb24", "-s", f"{width}x{height}"]
    command += ["-r", f"{len(pictures) / seconds:g}", "-i", "-", "-pix_fmt", "yuv420p", "-vf"]
    command += ["pad=ceil(iw/2)*2:ceil(ih/2)*2", temporary]
    try:
        done = subprocess.run(command, input=b"".join(p.tobytes() for p in pictures), capture_output=True, check=False)
        if done.returncode == 0:
            os.replace(temporary, path)
        return path if done.returncode == 0 else None
    finally:
        Path(temporary).unlink(missing_ok=True)


def _scatter(points: MapPoints, ax: Axes, *, size: float = 20) -> None:
    for k, colour in enumerate(points.palette.colours):
        shape = SHAPES[k % len(SHAPES)]
        for kind in (NOISY, CLEAN):
            some = points.places[(points.kind == kind) & (points.predicted == k)]
            face = colour if kind == CLEAN else "none"
            style = {"facecolors": face, "edgecolors": colour, "linewidths": 0.8, "alpha": 0.85}
            # Thousands of markers make a PDF that few programs open.
            ax.scatter(*some.T, s=size, marker=shape, rasterized=len(points.kind) > 5000, **style)


def _mark(points: MapPoints, ax: Axes, *, labels: bool = True) -> None:
    halo = [patheffects.withStroke(linewidth=3.2, foreground="white")]
    for number, i in enumerate(points.examples, start=1):
        rows = [np.flatnonzero((points.image == i) & (points.kind == kind)) for kind in range(3)]
        placed = [r[0] for r in rows if len(r) and np.isfinite(points.places[r[0]]).all()]
        if not placed:
            continue
        for other in placed[1:]:
            ax.plot(*points.places[[placed[0], other]].T, color=_INK, lw=0.9, path_effects=halo, zorder=5)
        for p in placed:
            kind = int(points.kind[p])
            colour = points.palette.colours[int(points.predicted[p])]
            style = {"color": _INK} if kind == CLEAN else {"facecolors": colour, "edgecolors": _INK}
            ax.scatter(
                *points.places[p][:, None], s=MARK_SIZES[kind], marker=MARKS[kind], path_effects=halo,
                linewidths=1.8 if kind == CLEAN else 1, zorder=6 + kind, **style,
            )  # fmt: skip
        if labels:
            ax.annotate(
                str(number), tuple(points.places[placed[0], :2].tolist()), xytext=(5, 5), textcoords="offset points",
                color=_INK, fontsize="medium", fontweight="bold", path_effects=halo, zorder=10,
            )  # fmt: skip


def _legend(figure: Figure, maps: Sequence[MapPoints], *, domains: bool = False, columns: int = 9) -> None:
    points = maps[0]
    handles = [
        Line2D([], [], ls="", marker=SHAPES[k % len(SHAPES)], color=colour, label=name)
        for k, (name, colour) in enumerate(zip(points.palette.class_names, points.palette.colours, strict=True))
    ]
    noisy = any((one.kind == NOISY).any() for one in maps)
    if noisy:
        filled, empty = _KIND_COLOURS if domains else ("#555555", "#555555")
        handles.append(Line2D([], [], ls="", marker="o", color=filled, label="clean"))
        handles.append(Line2D([], [], ls="", marker="o", mfc="none", color=empty, label="noisy"))
    if any(len(one.examples) for one in maps):
        marked = zip(MARKS, ("one image", "its noisy twin", "with one pixel changed"), strict=True)
        handles += [
            Line2D([], [], ls="", marker=mark, color=_INK, ms=7, mfc="none" if mark != "x" else _INK, label=label)
            for mark, label in marked
            if noisy or mark != "*"
        ]
    if any((one.kind == ATTACKED).any() for one in maps) and not domains and columns > 3:
        handles.append(Line2D([], [], color=_INK, lw=0.7, alpha=0.6, label="to each flip"))
    if any(len(one.bridges) for one in maps):
        handles.append(Line2D([], [], color="#888888", ls="--", lw=0.9, label="joins two pieces"))
    place = "outside lower center" if figure.get_layout_engine() is not None else "lower center"
    legend = figure.legend(handles=handles, loc=place, ncols=min(columns, len(handles)), frameon=False,
                           fontsize="small", handletextpad=0.2, columnspacing=1.2)  # fmt: skip
    for text in legend.get_texts():
        text.set_parse_math(False)  # names are text, whatever is in them
