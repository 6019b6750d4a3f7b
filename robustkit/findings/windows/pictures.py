"""Church windows as they are drawn: pictures can be made again from a run folder alone."""

from __future__ import annotations

import itertools
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from robustkit.findings.windows.record import Windows
from robustkit.report.blocks import NOTHING, Axis, Block, Drawing, Lines, Panel, Points, Regions, Tone, Words
from robustkit.report.palette import Meaning, Palette
from robustkit.report.section import Table

_MARKS = {"one-pixel": "attacked", "noise": "noisy"}
_NOTE = 38  # letters of a note on one line
_TICKS = ((-1.0, "-1"), (0.0, "0"), (1.0, "1"))


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
        marks: What lies in the window: one of `KINDS` or nothing, its name, x and y.
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


@dataclass(frozen=True, eq=False)
class ChurchWindows:
    """Church windows of some images, chosen by a rule.

    Attributes:
        pictures: At least one.
        palette: Colours of the classes.
        rule: How they were chosen.
        said: What their axes are and how they were made.
        rows: The numbers of each, for the table.
        columns: Their headings.
        model: The model.
        name: Of its files.
    """

    pictures: Sequence[WindowPicture]
    palette: Palette
    rule: str
    said: str
    rows: Sequence[Sequence[object]]
    columns: Sequence[str]
    model: str
    name: str = "church-windows"

    @property
    def title(self) -> str:
        """Whose windows."""
        return f"Church windows: {self.model}"

    def summary(self) -> str:
        """How to read them."""
        return (
            f"{self.said} Each window is a slice through the latent space at one image, so it may show more room than "
            f"there is: the margin in the plane stands beside the one in the whole space. Shown: {self.rule}."
        )

    def table(self) -> Table:
        """A line for each image that has a window."""
        return Table(self.columns, self.rows)

    def drawing(self) -> Drawing:
        """Windows side by side."""
        return draw_windows(self.pictures, self.palette, rule=self.rule)


def window_pictures(windows: Windows) -> list[WindowPicture]:
    """The pictures of all windows that the record has a drawing of."""
    pictures = []
    for g, i in enumerate(windows.shown.tolist()):
        polygons, boundaries, grid = windows.drawing(g)
        names = windows.class_names
        marks = [("clean", "clean", 0.0, 0.0)]
        places = ((1.0, 0.0), (float(windows.y_mark[i, 0]), float(windows.y_mark[i, 1])))
        for axis, (x, y) in zip(windows.axes, places, strict=True):
            kind = _MARKS.get(axis, "")
            inside = max(abs(x), abs(y)) <= windows.extent
            if axis != "random" and inside:
                marks.append((kind, kind or axis, x, y))
        turned = windows.settings["orthogonal"]
        pictures.append(
            WindowPicture(
                title=f"{names[windows.start[i]]} → {names[windows.x_end[i]]}",
                notes=_notes(windows, i),
                extent=windows.extent,
                polygons=polygons,
                boundaries=boundaries,
                grid=grid,
                marks=marks,
                labels=(
                    f"{_axis(windows.axes[0])}, {_crossing(windows.crossing[i, 0])}",
                    f"{_axis(windows.axes[1], turned)}, {_crossing(windows.crossing[i, 1])}",
                ),
                true=int(windows.true[i]),
            )
        )
    return pictures


def _notes(windows: Windows, i: int) -> list[str]:
    margin = f"margin in this plane {_number(windows.plane_margin[i])}"
    if np.isfinite(windows.true_margin[i]):
        margin += f", in the whole space {_number(windows.true_margin[i])}"
    about = f"{windows.ids[i]}, angle {windows.angle[i]:.0f}°"
    if not windows.method.startswith("exact"):
        about += f", {windows.method}"
    wrong = windows.start[i] != windows.true[i]
    return [about, margin, *([f"true class: {windows.class_names[windows.true[i]]}"] if wrong else [])]


def _axis(name: str, turned: bool = False) -> str:
    if turned:
        return f"{name}, turned"
    return f"{name} direction" if name in _MARKS else name


def _crossing(t: float) -> str:
    return f"t* = {t:.3g}" if np.isfinite(t) else "never leaves"


def _number(value: float) -> str:
    return f"{value:.3g}" if np.isfinite(value) else "none"


def draw_windows(
    pictures: Sequence[WindowPicture], palette: Palette, *, rule: str, columns: int = 3, white: bool = False
) -> Drawing:
    """Windows side by side, with one legend and the rule by which they were chosen.

    Args:
        pictures: At least one.
        palette: The colours of the classes.
        rule: How the windows were chosen; it is printed below them.
        columns: How many stand side by side.
        white: Whether the true class is left white, as in the traditional windows.
    """
    columns = min(columns, len(pictures))
    rows = -(-len(pictures) // columns)
    panels = [window_panel(one, palette, white=white, names=False, notes=1) for one in pictures]
    size = (max(2.3 * columns, 3.3), 2.75 * rows + 0.75)
    return Drawing(panels, size, 60 + 380 * rows, columns, note=rule, palette=palette)


def draw_window(picture: WindowPicture, palette: Palette, *, white: bool = False) -> Drawing:
    """A window by itself, for one column of a journal; each class that has room carries its name."""
    panel = window_panel(picture, palette, white=white, names=True, notes=len(picture.notes))
    return Drawing([panel], (3.3, 4.2), 520, legend="below", palette=palette)


def window_panel(picture: WindowPicture, palette: Palette, *, white: bool, names: bool, notes: int) -> Panel:
    """A window as a panel.

    Args:
        picture: The window.
        palette: The colours of the classes.
        white: Whether the true class is left white.
        names: Whether each class that has room carries its name.
        notes: How many of the notes stand below the title.
    """
    e = picture.extent
    pieces = list(picture.polygons) + ([] if picture.grid is None else _grid_pieces(picture.grid, e))
    shown = [(-1 if white and label == picture.true else label, corners) for label, corners in pieces]
    tone: Tone = "ink" if white else "paper"
    axes = np.array([[[-e, 0.0], [e, 0.0]], [[0.0, -e], [0.0, e]]])
    blocks: list[Block] = [Regions(shown, strong=True), Lines(axes, tone, width=0.4)]
    if len(picture.boundaries):
        blocks.append(Lines(np.stack(list(picture.boundaries)), tone, width=1.0))
    if names:
        blocks += _names(picture, palette, white=white)
    for kind, name, x, y in picture.marks:
        of = Meaning(kind=kind)
        blocks.append(Points(np.array([[x, y]]), of, size=7.5, edged=True, name="" if kind else name, hover=[name]))
    small = [line for note in picture.notes[:notes] for line in textwrap.wrap(note, _NOTE)]
    x, y = (Axis(title, (-e, e), ticks=_TICKS, grid=False) for title in picture.labels)
    return Panel(blocks, "\n".join([picture.title, *small]), x, y, equal=True)


def _grid_pieces(grid: np.ndarray, extent: float) -> list[tuple[int, np.ndarray]]:
    """The runs of one class in each row of a sampled window, as rectangles."""
    ticks = np.linspace(-extent, extent, len(grid) + 1)
    pieces = []
    for i, row in enumerate(grid):
        starts = [0, *(np.flatnonzero(np.diff(row)) + 1), len(row)]
        for a, b in itertools.pairwise(starts):
            left, right, low, high = ticks[a], ticks[b], ticks[i], ticks[i + 1]
            pieces.append((int(row[a]), np.array([[left, low], [right, low], [right, high], [left, high]])))
    return pieces


def _names(picture: WindowPicture, palette: Palette, *, white: bool) -> list[Words]:
    """Each class's name at the middle of its largest piece, where that has room and no marker stands there."""
    found = []
    for k, name in enumerate(palette.class_names):
        middle = _roomy_place(picture, k, 0.026 * len(name) * picture.extent, 0.045 * picture.extent)
        if middle is not None:
            of = NOTHING if white and k == picture.true else Meaning(label=k)
            found.append(Words(float(middle[0]), float(middle[1]), name, of))
    return found


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
