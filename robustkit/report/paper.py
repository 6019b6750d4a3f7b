"""Blocks painted for print: figures of matplotlib, at the widths of the journals."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, assert_never

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap, to_hex
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.lines import Line2D
from matplotlib.patches import Circle, Patch, PathPatch
from matplotlib.path import Path as Outline
from matplotlib.patheffects import withStroke

from robustkit.report.blocks import (
    Axis,
    Bars,
    Block,
    Cells,
    Drawing,
    Key,
    Lines,
    Panel,
    Picture,
    Points,
    Regions,
    Rings,
    Rule,
    Series,
    Words,
    axes_of,
    legend_of,
)
from robustkit.report.palette import BEHIND, BRIGHT, EDGE, GREY, INK, RING, SCALES, Looks, lightness, tint

CAMERAS = (-60, 30, 120, 210)
_TONES = {"ink": INK, "grey": "#8A8A8A", "edge": EDGE, "paper": "white", "bright": BRIGHT}
_MOST_ROWS = 6  # of a legend; a hundred classes would leave no room for the drawing
_MANY = 5000  # markers; more make a PDF that few programs open
FONT = 8


def paint(drawing: Drawing, looks: Looks, figure: Figure | None = None) -> Figure:
    """A drawing as a figure of matplotlib. To be used within `printing`.

    Args:
        drawing: What to paint.
        looks: How what it shows is drawn; names that it lacks are added.
        figure: An empty one, or a part of one; by default a new one.
    """
    looks = looks.including(drawing.meanings(), drawing.palette)
    if any(panel.space for panel in drawing.panels):
        return _turned(drawing, looks)
    figure = Figure(figsize=drawing.size, layout="constrained") if figure is None else figure
    columns = min(drawing.columns, len(drawing.panels))
    rows = -(-len(drawing.panels) // columns)
    heights = drawing.heights if len(drawing.heights) == rows else None
    axes = figure.subplots(rows, columns, squeeze=False, sharey=drawing.shared, height_ratios=heights).ravel()
    for place, (panel, ax) in enumerate(zip(drawing.panels, axes, strict=False)):
        hidden = drawing.shared and place % columns > 0
        title = "\n".join(wrapped(line, int(16 * drawing.size[0] / columns)) for line in panel.title.splitlines())
        y = replace(panel.y, title="") if hidden else panel.y
        _flat(replace(panel, title=title, y=y), ax, looks)
    for ax in axes[len(drawing.panels) :]:
        ax.set_axis_off()
    paint_legend(figure, drawing, looks)
    if drawing.note:
        figure.supxlabel(wrapped(drawing.note, int(drawing.size[0] * 19)), fontsize=6.5, color="0.3")
    return figure


def wrapped(text: str, width: int) -> str:
    """Text broken into lines at spaces."""
    return "\n".join(textwrap.wrap(text, width)) or text


def _flat(panel: Panel, ax: Axes, looks: Looks) -> None:
    if panel.equal:
        ax.set_aspect("equal", adjustable="box" if axes_of(panel)[0].span else "datalim")
    for depth, block in enumerate(panel.blocks):
        _block(block, ax, looks, depth)
    if panel.title:
        ax.set_title(panel.title)
    for axis, name in zip(axes_of(panel), "xy", strict=True):
        _axis(axis, ax, name)
    if any(isinstance(block, Cells | Picture) for block in panel.blocks):
        ax.spines[:].set_visible(False)
        ax.tick_params(length=0)


def _axis(axis: Axis, ax: Axes, name: str) -> None:
    one: Any = ax.xaxis if name == "x" else ax.yaxis
    one.set_label_text(axis.title)
    if axis.log:
        getattr(ax, f"set_{name}scale")("log")
        one.set_minor_formatter("")  # its own writes mathematics, which is off here
        one.set_major_formatter("{x:,.0f}" if axis.span is None or min(axis.span) >= 1 else "{x:g}")
    if axis.span is not None:
        getattr(ax, f"set_{name}lim")(axis.span)
    if axis.ticks is not None:
        turned = {"rotation": 30, "ha": "right"} if axis.turned else {}
        one.set_ticks([at for at, _ in axis.ticks], [text for _, text in axis.ticks], **turned)
    if not axis.shown:
        one.set_ticks([])
        ax.spines[["bottom", "top"] if name == "x" else ["left", "right"]].set_visible(False)
    elif axis.grid:
        ax.grid(axis=name, alpha=0.25)  # pyright: ignore[reportArgumentType]


def _block(block: Block, ax: Axes, looks: Looks, depth: int) -> None:
    order = 2 + 0.1 * depth
    match block:
        case Series():
            _series(block, ax, looks, order)
        case Points():
            _points(block, ax, looks, order)
        case Lines():
            _lines(block, ax, order)
        case Rule():
            look = looks(block.of)
            style: Any = {"color": GREY if look.colour == INK else look.colour, "lw": block.width, "zorder": order}
            style["ls"] = ":" if block.dashed else look.line
            (ax.axvline if block.axis == "x" else ax.axhline)(block.at, **style)
        case Regions():
            for k in sorted({label for label, _ in block.pieces}):
                colour = looks.palette.colours[k] if k >= 0 else "#ffffff"
                pieces = [Outline(np.vstack([v, v[:1]]), closed=True) for label, v in block.pieces if label == k]
                # One path, so that no seams show between pieces of a class.
                face = colour if block.strong else tint(colour, 0.3)
                ax.add_patch(PathPatch(Outline.make_compound_path(*pieces), fc=face, ec="none", lw=0, zorder=order))
        case Cells():
            _cells(block, ax)
        case Picture(whole=True):
            left, right, low, high = block.box
            inside = ax.inset_axes((left, low, right - left, high - low), transform=ax.transData, zorder=order)
            inside.imshow(block.values, interpolation="nearest")
            inside.set_axis_off()
        case Picture():
            ax.imshow(block.values, extent=block.box, interpolation="nearest", aspect=ax.get_aspect())
        case Rings():
            for x, y in block.places.tolist():
                # Two rings, dark beneath bright, so that one of them stands out from any image.
                for colour, width in (("black", 2.4), (RING, 1.2)):
                    ax.add_patch(Circle((x, y), block.radius, fill=False, ec=colour, lw=width, zorder=order))
        case Bars():
            look = looks(block.of)
            ax.bar(
                block.x, block.y, block.width, yerr=block.errors, facecolor=look.colour if look.filled else "white",
                edgecolor=look.colour, linestyle="-" if look.filled else "--", error_kw={"elinewidth": 0.8},
                zorder=order,
            )  # fmt: skip
        case Words():
            _words(block, ax, looks, order)
        case _:
            assert_never(block)


def _series(block: Series, ax: Axes, looks: Looks, order: float) -> None:
    look = looks(block.of)
    style: Any = {"color": look.colour, "zorder": order}
    if block.low is not None and block.high is not None:
        if block.bars:
            ends = np.nan_to_num(np.stack([block.y - block.low, block.high - block.y])).clip(0)
            ax.errorbar(block.x, block.y, yerr=ends, fmt="none", ecolor=look.colour, elinewidth=0.8, zorder=order)
        else:
            step = "post" if block.step else None
            ax.fill_between(block.x, block.low, block.high, step=step, alpha=0.14, lw=0, **style)
    if block.filled:
        ax.fill_between(block.x, block.y, 0, step="post" if block.step else None, alpha=0.2, lw=0, **style)
    drawstyle = "steps-post" if block.step else "default"
    many = {"lw": block.width, "ls": look.line if block.width else "", "drawstyle": drawstyle}
    ax.plot(block.x, block.y, **many, **style)
    if block.marked:
        sizes = np.full(len(block.x), 3.8) if block.sizes is None else block.sizes
        face = look.colour if look.filled else "white"
        ax.scatter(
            block.x, block.y, s=np.square(sizes), marker=look.marker, facecolors=face, edgecolors=look.colour,
            linewidths=0.8, zorder=order,
        )  # fmt: skip


def _points(block: Points, ax: Any, looks: Looks, order: float) -> None:
    look = looks(block.of)
    hollow = block.hollow or not look.filled
    style: Any = {
        "marker": look.marker, "ls": "", "ms": block.size * (1.35 if look.marker == "*" else 1.0), "zorder": order,
        "color": look.colour, "mec": "white" if block.edged else look.colour,
        "mew": 0.7 if hollow else 0.4 * block.edged,
        "rasterized": len(block.places) > _MANY,
    }  # fmt: skip
    if hollow:
        style["mfc"] = "white"
    if block.ends is not None:
        value, (low, high) = block.places[:, 0], block.ends
        ends = np.nan_to_num(np.stack([value - low, high - value]).clip(0))
        ax.errorbar(*block.places.T, xerr=ends, elinewidth=1.2, capsize=2, **style)
    else:
        ax.plot(*block.places.T, **style)


def _lines(block: Lines, ax: Any, order: float) -> None:
    colour = _TONES[block.tone]
    if block.arrow:
        start, move = block.ends[:, 0], block.ends[:, 1] - block.ends[:, 0]
        ax.quiver(
            *start.T, *move.T, angles="xy", scale_units="xy", scale=1, color=colour, units="inches", alpha=0.75,
            width=block.width / 130, headwidth=8, headlength=9, headaxislength=7.5, minlength=0, zorder=order,
        )  # fmt: skip
        return
    for ends in block.ends:
        ax.plot(
            *ends.T, color=colour, lw=block.width, ls="--" if block.dashed else "-", solid_capstyle="round",
            zorder=order,
        )  # fmt: skip


def _cells(block: Cells, ax: Axes) -> None:
    colours = LinearSegmentedColormap.from_list(block.scale, SCALES[block.scale])
    shown = ax.imshow(
        block.values, cmap=colours, vmin=block.low, vmax=block.high, interpolation="nearest", aspect=ax.get_aspect()
    )
    small = min(FONT, 40 / max(block.values.shape[1], 5))
    for i, row in enumerate(block.text):
        for j, text in enumerate(row):
            value = (float(block.values[i, j]) - block.low) / ((block.high - block.low) or 1.0)
            behind = to_hex(colours(value)) if np.isfinite(value) else "#ffffff"
            ink = "black" if lightness(behind) > 0.5 else "white"
            ax.text(j, i, text, ha="center", va="center", color=ink, fontsize=small)
    if block.label and ax.figure is not None:
        ax.figure.colorbar(shown, ax=ax, label=block.label, fraction=0.046, pad=0.03)


def _words(block: Words, ax: Axes, looks: Looks, order: float) -> None:
    style: Any = {"color": looks(block.of).colour if block.of.search else _TONES[block.tone]}
    if block.of.label >= 0:
        halo = [withStroke(linewidth=2, foreground=looks(block.of).colour)]
        style = {"color": looks.palette.ink(block.of.label), "path_effects": halo}
    ax.text(
        block.x, block.y, block.text, ha=block.align, va="bottom" if block.above else "center",
        fontsize=FONT * block.size, fontweight="bold" if block.bold else "normal",
        rotation=90 if block.upright else 0, zorder=order + 1, **style,
    )  # fmt: skip


def _turned(drawing: Drawing, looks: Looks) -> Figure:
    """Panels in space, a row each, from four sides."""
    rows = len(drawing.panels)
    figure = Figure(figsize=drawing.size)
    for row, panel in enumerate(drawing.panels):
        for c, azimuth in enumerate(CAMERAS):
            ax: Any = figure.add_subplot(rows, 4, row * 4 + c + 1, projection="3d")
            paint_space(panel, ax, looks, azimuth=azimuth)
            if c == 0:
                ax.text2D(0.0, 1.04, panel.title, transform=ax.transAxes)
    beneath = 0.36 / drawing.size[1]
    figure.subplots_adjust(left=0.01, right=0.985, bottom=beneath + 0.02, top=1 - beneath, wspace=0.02, hspace=0.16)
    paint_legend(figure, drawing, looks)
    return figure


def paint_space(panel: Panel, ax: Any, looks: Looks, *, azimuth: float, zoom: float = 1.3) -> None:
    """Paints a panel in space as one camera sees it.

    Args:
        panel: What to paint.
        ax: Axes with the projection `3d`.
        looks: How what it shows is drawn.
        azimuth: Of the camera, degrees.
        zoom: Larger is nearer.
    """
    places = [block.places for block in panel.blocks if isinstance(block, Points)]
    for block in panel.blocks:
        if isinstance(block, Lines):
            for ends in block.ends:
                ax.plot(*ends.T, color=_TONES[block.tone], ls="--" if block.dashed else "-", lw=block.width)
        elif isinstance(block, Points):
            _points(replace(block, size=0.7 * block.size), ax, looks, 3)
    every = np.concatenate(places)
    spans = np.ptp(every[np.isfinite(every).all(axis=1)], axis=0)
    ax.set_box_aspect(np.maximum(spans, 0.6 * spans.max() or 1.0), zoom=zoom)
    ax.view_init(elev=18, azim=azimuth)
    ax.tick_params(labelbottom=False, labelleft=False, labelright=False, labeltop=False)
    for axis, number in ((ax.xaxis, 1), (ax.yaxis, 2), (ax.zaxis, 3)):
        axis.set_label_text(str(number))
        axis.labelpad = -12
        axis.label.set_size("small")
        axis.set_ticklabels([])
        axis.set_pane_color((1, 1, 1, 0))
        axis._axinfo["grid"].update(linewidth=0.4, color="#dddddd")


def paint_legend(figure: Figure, drawing: Drawing, looks: Looks) -> None:
    """Paints what the marks of a drawing stand for, in as many columns as there is room for."""
    keys = legend_of(drawing, looks) if drawing.legend != "none" else []
    if not keys:
        return
    room = drawing.size[0] / (0.058 * (max(len(key.name) for key in keys) + 6))
    keys, more = shortened_legend(keys, int(max(room, 1)) * _MOST_ROWS)
    columns = int(np.clip(room, 1, len(keys) + bool(more)))
    rows = -(-(len(keys) + bool(more)) // columns)
    columns = -(-(len(keys) + bool(more)) // rows)
    handles = [_handle(key, looks) for key in keys]
    if more:
        handles.append(Line2D([], [], ls="", label=f"and {more} more classes"))
    # Legends are filled column by column; this order makes them read row by row.
    handles = [handle for column in range(columns) for handle in handles[column::columns]]
    side = "upper center" if drawing.legend == "above" else "lower center"
    outside = isinstance(figure.get_layout_engine(), ConstrainedLayoutEngine)
    where: Any = f"outside {side}" if outside else side
    figure.legend(
        handles=handles, loc=where, ncols=columns, frameon=False, handletextpad=0.5, columnspacing=1.2,
    )  # fmt: skip


def shortened_legend(keys: Sequence[Key], most: int) -> tuple[list[Key], int]:
    """The keys of a legend that leaves room for its drawing, and how many classes it omits.

    Args:
        keys: All of them, those of classes first.
        most: How many there is room for.
    """
    classes = [key for key in keys if key.of.label >= 0]
    omitted = len(keys) + 1 - most
    if len(keys) <= most or omitted > len(classes):
        return list(keys), 0
    return [*classes[: len(classes) - omitted], *keys[len(classes) :]], omitted


def _handle(key: Key, looks: Looks) -> Line2D | Patch:
    look, block = looks(key.of), key.block
    face = look.colour if look.filled else "white"
    style: Any = {"color": look.colour, "mfc": face, "ms": 4.5, "mew": 0.8, "label": key.name}
    if isinstance(block, Lines):
        dashes = "--" if block.dashed else "-"
        marker = ">" if block.arrow else ""
        return Line2D([], [], color=_TONES[block.tone], lw=block.width, ls=dashes, marker=marker, ms=4, label=key.name)
    if isinstance(block, Series):
        marker = look.marker if block.marked else ""
        return Line2D([], [], ls=look.line if block.width else "", lw=1.4, marker=marker, **style)
    if isinstance(block, Regions | Bars) or (block is None and key.of.label >= 0):
        return Patch(fc=face, ec=look.colour, lw=1.0, ls="-" if look.filled else "--", label=key.name)
    if block is None:
        style |= {"color": BEHIND, "mfc": BEHIND}
    if isinstance(block, Points) and block.hollow:
        style |= {"color": BEHIND, "mfc": "white"}
    return Line2D([], [], ls="", marker=look.marker, **style)
