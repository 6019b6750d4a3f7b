"""What drawings are made of: blocks of numbers with what they stand for, put on panels, put on a drawing.

A block has no colour and no marker; `robustkit.report.palette` gives its meaning one. `robustkit.report.screen` paints
every block once for the page, `robustkit.report.paper` once for print.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

import numpy as np

from robustkit.report.palette import Looks, Meaning, Palette, parts_of

# Widths of a column and of a page in the astronomical journals, inches (88 and 180 mm).
COLUMN, PAGE = 3.5, 7.1
NOTHING = Meaning()
Tone = Literal["ink", "grey", "edge", "paper", "bright"]
# Of cells: a share from 0 to 1, a change to both sides of 0, or heat from dark to bright.
Scale = Literal["share", "change", "heat"]


@dataclass(frozen=True, eq=False)
class Series:
    """A line through points, in a band of its interval.

    Attributes:
        x: Shape (P,).
        y: Shape (P,).
        of: What it stands for.
        low: Lower ends of the intervals, shape (P,); `None` for no band.
        high: Upper ends, shape (P,).
        step: Whether it goes in steps.
        marked: Whether its points have markers.
        bars: Whether intervals are bars at the points instead of a band.
        filled: Whether the room between it and 0 is tinted.
        sizes: Of the markers, shape (P,), points; by default all alike.
        width: Of the line, points; 0 for none.
        hover: What is said of each point under the pointer, P of them; by default its numbers.
        name: In the legend, instead of that of its meaning.
    """

    x: np.ndarray
    y: np.ndarray
    of: Meaning = NOTHING
    low: np.ndarray | None = None
    high: np.ndarray | None = None
    step: bool = False
    marked: bool = False
    bars: bool = False
    filled: bool = False
    sizes: np.ndarray | None = None
    width: float = 1.4
    hover: Sequence[str] = ()
    name: str = ""


@dataclass(frozen=True, eq=False)
class Points:
    """Points on a plane or in space.

    Attributes:
        places: Shape (P, 2) or (P, 3); those with nan are not drawn.
        of: What they stand for.
        ends: Lower and upper ends of x, shape (2, P); `None` for no bars.
        size: Of the markers, points.
        edged: Whether they stand out by an edge.
        hollow: Whether they are empty inside.
        images: The image that each shows, shape (P,), for its picture under the pointer.
        hover: What is said of each under the pointer, P of them.
        name: In the legend, instead of that of their meaning.
    """

    places: np.ndarray
    of: Meaning = NOTHING
    ends: np.ndarray | None = None
    size: float = 4.5
    edged: bool = False
    hollow: bool = False
    images: np.ndarray | None = None
    hover: Sequence[str] = ()
    name: str = ""


@dataclass(frozen=True, eq=False)
class Lines:
    """Pieces of straight lines: boundaries, moves, bridges, references.

    Attributes:
        ends: Shape (L, 2, 2) or (L, 2, 3).
        tone: How they stand out.
        arrow: Whether each has a head at its end.
        dashed: Whether they are dashed.
        width: Points.
        name: In the legend; empty for none.
    """

    ends: np.ndarray
    tone: Tone = "grey"
    arrow: bool = False
    dashed: bool = False
    width: float = 0.8
    name: str = ""


@dataclass(frozen=True)
class Rule:
    """A line across the whole panel.

    Attributes:
        at: Where it crosses its axis.
        axis: That axis.
        of: What it stands for, if anything.
        width: Points.
        dashed: Whether it is dotted.
    """

    at: float
    axis: Literal["x", "y"] = "x"
    of: Meaning = NOTHING
    width: float = 1.0
    dashed: bool = True


@dataclass(frozen=True, eq=False)
class Regions:
    """Convex polygons of classes.

    Attributes:
        pieces: Class and corners (V, 2) of each; a class of -1 is left white.
        strong: Whether in full colour; otherwise tinted.
    """

    pieces: Sequence[tuple[int, np.ndarray]]
    strong: bool = False


@dataclass(frozen=True, eq=False)
class Cells:
    """A table of values as colours.

    Attributes:
        values: Shape (R, C); nan where a value is missing.
        scale: What the colours are of.
        low: The value of the first colour.
        high: That of the last.
        text: What is written into each cell, R times C; empty for nothing.
        hover: What is said of each under the pointer, R times C; empty for its value.
        label: Of the bar of colours; empty for no bar.
        gaps: Whether cells stand apart.
    """

    values: np.ndarray
    scale: Scale = "share"
    low: float = 0.0
    high: float = 1.0
    text: Sequence[Sequence[str]] = ()
    hover: Sequence[Sequence[str]] = ()
    label: str = ""
    gaps: bool = False


@dataclass(frozen=True, eq=False)
class Picture:
    """An image.

    Attributes:
        values: Shape (H, W, 3), uint8.
        box: Where it lies: left, right, bottom and top of the panel.
        whole: Whether it keeps its proportions in the middle of the box, instead of filling it.
    """

    values: np.ndarray
    box: tuple[float, float, float, float]
    whole: bool = False


@dataclass(frozen=True, eq=False)
class Rings:
    """Rings around changed pixels.

    Attributes:
        places: Centres, shape (P, 2), x and y.
        radius: Of all.
    """

    places: np.ndarray
    radius: float


@dataclass(frozen=True, eq=False)
class Bars:
    """Bars that stand on 0.

    Attributes:
        x: Shape (P,).
        y: Heights, shape (P,).
        of: What they stand for.
        errors: Half the length of an error bar on each, shape (P,); `None` for none.
        width: Of each.
    """

    x: np.ndarray
    y: np.ndarray
    of: Meaning = NOTHING
    errors: np.ndarray | None = None
    width: float = 0.8


@dataclass(frozen=True)
class Words:
    """Text on a panel.

    Attributes:
        x: Where.
        y: Where.
        text: What.
        of: The region that it is written on, for the colour; in ink by default.
        size: Times that of other text.
        align: Which of its sides lies at x.
        bold: Whether it is bold.
        upright: Whether it is turned by a right angle.
        above: Whether it stands above the place and not on it.
        tone: How it stands out where it is written on no region: `bright` on pictures, which are dark everywhere.
    """

    x: float
    y: float
    text: str
    of: Meaning = NOTHING
    size: float = 1.0
    align: Literal["left", "center", "right"] = "center"
    bold: bool = False
    upright: bool = False
    above: bool = False
    tone: Tone = "ink"


Block = Series | Points | Lines | Rule | Regions | Cells | Picture | Rings | Bars | Words


@dataclass(frozen=True)
class Axis:
    """An axis of a panel.

    Attributes:
        title: What it is called.
        span: Its ends; the first may be the greater one. By default those of the numbers.
        log: Whether it is logarithmic.
        ticks: Places and names; `None` for those of the painter, empty for none.
        turned: Whether the names of its ticks stand aslant.
        grid: Whether lines stand at its ticks.
        shown: Whether there is anything of it to see.
    """

    title: str = ""
    span: tuple[float, float] | None = None
    log: bool = False
    ticks: Sequence[tuple[float, str]] | None = None
    turned: bool = False
    grid: bool = True
    shown: bool = True


@dataclass(frozen=True, eq=False)
class Panel:
    """Blocks on one pair of axes, or in one space.

    Attributes:
        blocks: From the lowest to the uppermost.
        title: Above it.
        x: The horizontal axis.
        y: The vertical axis.
        equal: Whether both axes have one scale.
        space: Whether it is in space: turned on the screen, seen from four sides on paper.
        screen: Whether it is drawn on the screen too.
    """

    blocks: Sequence[Block]
    title: str = ""
    x: Axis = field(default_factory=Axis)
    y: Axis = field(default_factory=Axis)
    equal: bool = False
    space: bool = False
    screen: bool = True


@dataclass(frozen=True, eq=False)
class Drawing:
    """Panels side by side, row by row.

    Attributes:
        panels: At least one.
        size: Width and height on paper, inches.
        height: On the screen, pixels.
        columns: How many stand side by side.
        shared: Whether all panels share the vertical axis.
        legend: Where its legend stands.
        keys: What the legend says beside the names of the blocks.
        note: Small print below, on paper alone: the screen has a caption.
        palette: Of the classes that it shows.
        heights: Of the rows, in proportion to each other; empty for rows of one height.
        rows: Whether the panels of a row belong together.
        narrow: Whether it can be read at half the width of the page, beside another one.
        least: Its least width on the screen, pixels; 0 for one by the number of panels that stand side by side.
    """

    panels: Sequence[Panel]
    size: tuple[float, float] = (COLUMN * 1.25, 3.0)
    height: int = 380
    columns: int = 1
    shared: bool = False
    legend: Literal["above", "below", "none"] = "above"
    keys: Sequence[Meaning] = ()
    note: str = ""
    palette: Palette | None = None
    heights: Sequence[float] = ()
    least: int = 0
    narrow: bool = False
    rows: bool = False

    def meanings(self) -> Iterator[Meaning]:
        """What its blocks stand for, in their order."""
        yield from self.keys
        for panel in self.panels:
            for block in panel.blocks:
                if isinstance(block, Regions):
                    yield from (Meaning(label=label) for label, _ in block.pieces if label >= 0)
                elif not isinstance(block, Lines | Cells | Picture | Rings):
                    yield block.of


@dataclass(frozen=True)
class Key:
    """An entry of a legend.

    Attributes:
        name: What is said.
        of: What it stands for.
        block: The block that it is of; `None` for a part of a meaning.
    """

    name: str
    of: Meaning
    block: Block | None


def thin(count: int, most: int) -> list[int]:
    """At most so many positions of a series, evenly spread, the first and the last among them.

    Examples:
        >>> thin(5, 3)
        [0, 2, 4]
    """
    if count <= most:
        return list(range(count))
    return sorted({round(i * (count - 1) / (most - 1)) for i in range(most)})


def legend_of(drawing: Drawing, looks: Looks) -> list[Key]:
    """What a legend says, each thing once: whole meanings of lines, meanings part by part of points."""
    found: dict[str, Key] = {looks.name(of): Key(looks.name(of), of, None) for of in drawing.keys}
    for panel in drawing.panels:
        for block in panel.blocks:
            if isinstance(block, Lines):
                keys = [Key(block.name, NOTHING, block)] if block.name else []
            elif isinstance(block, Regions):
                labels = sorted({label for label, _ in block.pieces if label >= 0})
                keys = [Key(looks.name(Meaning(label=k)), Meaning(label=k), block) for k in labels]
            elif isinstance(block, Series | Bars | Points):
                named = getattr(block, "name", "") or looks.name(block.of)
                if isinstance(block, Points) and block.of.label >= 0 and block.of.kind and not block.name:
                    keys = [Key(looks.name(part), part, None) for part in parts_of(block.of)]
                else:
                    keys = [Key(named, block.of, block)] if named else []
            else:
                keys = []
            for key in keys:
                # The marker of a class says more than the colour of its region.
                if key.name not in found or (isinstance(found[key.name].block, Regions) and isinstance(block, Points)):
                    found[key.name] = key
    return sorted(found.values(), key=_order)


def _order(key: Key) -> int:
    """Classes first, then models and searches, then kinds, then lines."""
    return 0 if key.of.label >= 0 else 2 if key.of.kind and not key.of.model else 3 if key.of == NOTHING else 1


def axes_of(panel: Panel) -> tuple[Axis, Axis]:
    """Both axes of a panel; those of cells end where the cells do, the first row on top."""
    for block in panel.blocks:
        if isinstance(block, Cells):
            rows, columns = block.values.shape
            ends = (-0.5, columns - 0.5), (rows - 0.5, -0.5)
            return replace(panel.x, span=panel.x.span or ends[0]), replace(panel.y, span=panel.y.span or ends[1])
    return panel.x, panel.y
