"""The plane that a head of three classes decides on, and church windows: slices through the latent space."""

from __future__ import annotations

import itertools
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from robustkit.report.blocks import (
    COLUMN,
    NOTHING,
    PAGE,
    Axis,
    Block,
    Drawing,
    Lines,
    Panel,
    Points,
    Regions,
    Tone,
    Words,
    thin,
)
from robustkit.report.palette import Meaning, Palette
from robustkit.report.section import Table

MOST_POINTS = 2000
THINNED = f"Of more than {MOST_POINTS:,} points {MOST_POINTS:,}, evenly taken, are drawn."


@dataclass(frozen=True, eq=False)
class CanonicalPicture:
    """The plane, and one kind of perturbation on it.

    Attributes:
        title: Above it.
        clean: Where the clean images lie, shape (N, 2).
        perturbed: Where their perturbed twins lie, shape (N, 2); nan rows where one is missing.
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
class Canonical:
    """The canonical window: every image and every boundary on one plane, distances to boundaries as they are.

    Attributes:
        pictures: One for each kind of perturbation, on the same plane.
        palette: Colours of the classes.
        ids: Image ids, shape (N,).
        model: The model.
        margins: Distance of each clean image to its nearest boundary, shape (N,).
        name: Of its files.
    """

    pictures: Sequence[CanonicalPicture]
    palette: Palette
    ids: np.ndarray
    model: str
    margins: np.ndarray
    name: str = "canonical-window"

    @property
    def title(self) -> str:
        """Whose plane."""
        return f"The plane that decides: {self.model}"

    def summary(self) -> str:
        """What lies where."""
        found = "; ".join(picture.title for picture in self.pictures)
        return (
            f"{self.model}: the class depends on these two coordinates of the latent alone, so nothing is hidden, and "
            "distances to boundaries are those of the whole latent space. Regions are tinted by the class given, "
            f"images coloured by their true class, with an arrow to where a perturbation moves them. {found}. The "
            f"median distance of an image to its nearest boundary is {float(np.median(self.margins)):.3g} in latent "
            f"units."
            f"{f' {THINNED}' if len(self.margins) > MOST_POINTS else ''}"
        )

    def table(self) -> Table:
        """A line for each image."""
        first = self.pictures[0]
        names = self.palette.class_names
        columns = ["id", "true", "axis 1", "axis 2", "distance to the boundary"]
        for picture in self.pictures:
            kind = picture.title.partition(":")[0]
            columns += [f"{kind}: axis 1", f"{kind}: axis 2", f"{kind}: class changed"]
        rows = []
        for i, image_id in enumerate(self.ids):
            line = [
                str(image_id),
                names[first.true[i]],
                *(f"{x:.5g}" for x in first.clean[i]),
                f"{self.margins[i]:.5g}",
            ]
            for picture in self.pictures:
                there = bool(np.isfinite(picture.perturbed[i]).all())
                line += [f"{x:.5g}" if there else "" for x in picture.perturbed[i]]
                line.append(str(int(picture.changed[i])) if there else "")
            rows.append(line)
        return Table(columns, rows)

    def drawing(self) -> Drawing:
        """Regions, images and where they move, to scale."""
        return draw_canonical(self.pictures, self.palette, self.ids, self.margins)


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


def draw_canonical(
    pictures: Sequence[CanonicalPicture],
    palette: Palette,
    ids: np.ndarray | None = None,
    margins: np.ndarray | None = None,
) -> Drawing:
    """The plane that decides, a panel for each kind of perturbation: distances are those of the latent space.

    Regions are tinted by the class that the head gives, images are coloured by their true class, and hollow where
    they have no perturbed twin.

    Args:
        pictures: At least one.
        palette: The colours of the classes.
        ids: Image ids, shape (N,), for the screen.
        margins: Distance of each image to its nearest boundary, shape (N,), for the screen.
    """
    # Side by side where the plane is tall, one below the other where it is wide.
    wide, tall = pictures[0].high - pictures[0].low
    columns = len(pictures) if tall > 0.6 * wide else 1
    rows = -(-len(pictures) // columns)
    width = PAGE if columns > 1 else COLUMN * 1.3
    height = float(np.clip((width / columns - 0.5) * tall / wide, 1.2, 6.0)) + 0.6
    panels = [_plane(one, palette, ids, margins, y=place % columns == 0) for place, one in enumerate(pictures)]
    shape = float(np.clip(tall / wide, 0.25, 1.1))
    screen = int(110 + rows * (60 + (430 if columns > 1 else 780) * shape))
    return Drawing(panels, (width, height * rows + 0.5), screen, columns, legend="below", palette=palette)


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
    panels = [_window(one, palette, white=white, names=False, notes=1) for one in pictures]
    size = (max(2.3 * columns, 3.3), 2.75 * rows + 0.75)
    return Drawing(panels, size, 60 + 380 * rows, columns, note=rule, palette=palette)


def draw_window(picture: WindowPicture, palette: Palette, *, white: bool = False) -> Drawing:
    """A window by itself, for one column of a journal; each class that has room carries its name."""
    panel = _window(picture, palette, white=white, names=True, notes=len(picture.notes))
    return Drawing([panel], (3.3, 4.2), 520, legend="below", palette=palette)


def _plane(
    one: CanonicalPicture, palette: Palette, ids: np.ndarray | None, margins: np.ndarray | None, *, y: bool
) -> Panel:
    kept = np.array(thin(len(one.true), MOST_POINTS), dtype=int)
    there = np.isfinite(one.perturbed).all(axis=1)
    blocks: list[Block] = [Regions(one.polygons)]
    if len(one.boundaries):
        blocks.append(Lines(np.stack(list(one.boundaries)), "edge", width=0.9))
    moves: tuple[tuple[bool, Tone, str], ...] = (
        (False, "grey", "within its class"),
        (True, "ink", "perturbed, to another class"),
    )
    for changed, tone, name in moves:
        some = kept[(there & (one.changed == changed))[kept]]
        if len(some):
            ends = np.stack([one.clean[some], one.perturbed[some]], axis=1)
            blocks.append(Lines(ends, tone, arrow=True, width=0.7, name=name))
    for twin in (False, True):
        for k, label in enumerate(palette.class_names):
            mine = kept[((one.true == k) & (there == twin))[kept]]
            if not len(mine):
                continue
            hover = []
            if ids is not None and margins is not None:
                hover = [f"{ids[i]}, {label}, distance {margins[i]:.3g}" for i in mine]
            size, hollow = (4.6, False) if twin else (3.2, True)
            of = Meaning(label=k)
            blocks.append(
                Points(one.clean[mine], of, size=size, edged=twin, hollow=hollow, images=mine, hover=hover,
                       name="" if twin else "not perturbed")
            )  # fmt: skip
    spans = zip(one.low.tolist(), one.high.tolist(), strict=True)
    across, up = (Axis(title, span, grid=False) for title, span in zip(one.labels, spans, strict=True))
    return Panel(blocks, one.title, across, up if y else replace(up, title=""), equal=True)


def _window(picture: WindowPicture, palette: Palette, *, white: bool, names: bool, notes: int) -> Panel:
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


_NOTE = 38  # letters of a note on one line
_TICKS = ((-1.0, "-1"), (0.0, "0"), (1.0, "1"))
