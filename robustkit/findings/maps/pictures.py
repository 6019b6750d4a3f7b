"""Maps as they are drawn, flat and in space: pictures can be made again from a run folder alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from robustkit.findings.maps.record import ATTACKED, CLEAN, NOISY, LatentMap
from robustkit.report.blocks import Axis, Block, Drawing, Lines, Panel, Points, Words, thin
from robustkit.report.palette import KINDS, Meaning, Palette
from robustkit.report.section import Table

MOST_POINTS = 3000
THINNED = f"Of more than {MOST_POINTS:,} points of a map {MOST_POINTS:,}, evenly taken, are drawn."


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


@dataclass(frozen=True, eq=False)
class FlatMaps:
    """Isomaps in two dimensions beside their control.

    Attributes:
        maps: What is drawn.
        ids: Image ids, shape (N,).
        rows: What each map keeps, for the table.
        columns: Their headings.
        said: What there is to know of the maps.
        name: Of its files.
        title: Its heading.
    """

    maps: Sequence[MapPoints]
    ids: np.ndarray
    rows: Sequence[Sequence[object]]
    columns: Sequence[str]
    said: str
    name: str = "isomap"
    title: str = "Isomap, flat"

    def summary(self) -> str:
        """How to read them."""
        marked = " Numbers mark examples." if any(len(one.examples) for one in self.maps) else ""
        return (
            f"{self.said} Colour is the predicted class; crosses are clean images, stars noisy ones, triangles "
            f"attacked ones (projected, never fitted), each joined to its clean image.{marked} Axes have no unit and "
            f"no meaning of their own.{_thinned(self.maps)}"
        )

    def table(self) -> Table:
        """What each map keeps."""
        return Table(self.columns, self.rows)

    def drawing(self) -> Drawing:
        """Maps side by side, two in a row."""
        return draw_maps(self.maps, self.ids)


@dataclass(frozen=True, eq=False)
class SpaceMap:
    """Isomaps in three dimensions, to be turned.

    Attributes:
        maps: One for each model.
        ids: Image ids, shape (N,).
        name: Of its files.
        title: Its heading.
    """

    maps: Sequence[MapPoints]
    ids: np.ndarray
    name: str = "isomap-3d"
    title: str = "Isomap, in space"

    def summary(self) -> str:
        """How to use it."""
        found = []
        for one in self.maps:
            counts = np.bincount(one.kind, minlength=3)
            found.append(
                f"{one.title}: {', '.join(f'{n} {k}' for n, k in zip(counts, KINDS, strict=True) if n)} points"
            )
        return (
            f"Drag to turn {'both maps together' if len(self.maps) > 1 else 'it'}, or use the buttons. "
            f"{'; '.join(found)}. Crosses are clean images, stars noisy ones, triangles attacked ones; colour is the "
            f"predicted class.{_thinned(self.maps)}"
        )

    def table(self) -> Table:
        """A line for each point."""
        rows = []
        for one in self.maps:
            for p in range(len(one.kind)):
                kind, predicted = KINDS[one.kind[p]], one.palette.class_names[one.predicted[p]]
                rows.append(
                    (one.title, str(self.ids[one.image[p]]), kind, predicted, *(f"{x:.5g}" for x in one.places[p]))
                )
        return Table(("model", "id", "kind", "predicted", "axis 1", "axis 2", "axis 3"), rows)

    def drawing(self) -> Drawing:
        """A space for each model; on paper each from four sides, by kind and by predicted class."""
        return draw_spaces(self.maps, self.ids)


def flat_maps(one: LatentMap, palette: Palette) -> list[MapPoints]:
    """What is drawn of a model on paper: the Isomap, its control, and what else was asked for."""
    laid = f"\nlaid onto the other with disparity {one.disparity['flat']:.2f}" if one.disparity else ""
    neighbours = one.settings["neighbours"]
    maps = [
        _drawn(one, palette, f"{one.model}: Isomap, {neighbours} neighbours{laid}", one.flat, "axis", one.bridges),
        _drawn(one, palette, f"{one.model}: principal components (control)", one.pca[:, :2], "component"),
    ]
    maps += [_drawn(one, palette, f"{one.model}: t-SNE", one.tsne, "axis")] if len(one.tsne) else []
    return maps + ([_drawn(one, palette, f"{one.model}: UMAP", one.umap, "axis")] if len(one.umap) else [])


def space_map(one: LatentMap, palette: Palette) -> MapPoints:
    """What is drawn of a model in space."""
    return _drawn(one, palette, f"{one.model}", one.solid, "axis", one.bridges)


def _drawn(
    one: LatentMap, palette: Palette, title: str, places: np.ndarray, axes: str, bridges: np.ndarray | None = None
) -> MapPoints:
    joined = np.empty((0, 2), dtype=np.int64) if bridges is None else bridges
    return MapPoints(title, places, one.image, one.kind, one.predicted, one.examples, joined, palette, axes)


def draw_maps(maps: Sequence[MapPoints], ids: np.ndarray | None = None) -> Drawing:
    """Flat maps side by side, at most two in a row."""
    columns = min(2, len(maps))
    rows = -(-len(maps) // columns)
    # Distances are what a map shows, so both axes have one scale; the panels are as flat as the tallest map allows.
    spans = [np.ptp(points.places[np.isfinite(points.places[:, 0])], axis=0) for points in maps]
    flat = float(np.clip(max(y / max(x, 1e-12) for x, y in spans), 0.6, 1.0))
    size = (7.1 if columns > 1 else 4.6, (3.2 * flat + 0.55) * rows + 0.5)
    panels = [_flat_panel(one, ids) for one in maps]
    return Drawing(panels, size, int(80 + (340 * flat + 60) * rows), columns, legend="below", palette=maps[0].palette)


def draw_spaces(maps: Sequence[MapPoints], ids: np.ndarray | None = None) -> Drawing:
    """Maps in space: of each one panel by predicted class and, on paper, one by kind."""
    panels = []
    for one in maps:
        if (one.kind == NOISY).any():
            blocks = [_bridges(one), *(_points(one, kind, -1, ids) for kind in (CLEAN, NOISY))]
            panels.append(Panel(blocks, f"{one.title}: clean and noisy", space=True, screen=False))
        blocks = [_bridges(one), *_clouds(one, ids)]
        panels.append(Panel(blocks, f"{one.title}: predicted class", space=True))
    size = (10.0, 2.1 * len(panels) + 0.5)
    return Drawing(panels, size, 430, len(maps), legend="below", palette=maps[0].palette)


def space_panel(one: MapPoints) -> Panel:
    """A map in space by predicted class and kind."""
    return Panel([_bridges(one), *_clouds(one, None)], one.title, space=True)


def _flat_panel(one: MapPoints, ids: np.ndarray | None) -> Panel:
    clean = np.flatnonzero(one.kind == CLEAN)  # in the order of the images
    flips = np.flatnonzero(one.kind == ATTACKED)
    steps = np.stack([one.places[clean[one.image[flips]], :2], one.places[flips, :2]], axis=1)
    joined = [Lines(steps, "grey", width=0.5, name="to each flip")] if len(steps) else []
    blocks = [_bridges(one), *joined, *_clouds(one, ids), *_marked(one)]
    x, y = (Axis(f"{one.axes} {d}", ticks=()) for d in (1, 2))
    return Panel(blocks, one.title, x, y, equal=True)


def _clouds(one: MapPoints, ids: np.ndarray | None) -> list[Points]:
    """The points of each kind and predicted class, the clean ones above the noisy, the attacked above all."""
    classes = range(len(one.palette.class_names))
    found = [_points(one, kind, k, ids) for kind in (NOISY, CLEAN, ATTACKED) for k in classes]
    return [points for points in found if len(points.places)]


def _points(one: MapPoints, kind: int, label: int, ids: np.ndarray | None) -> Points:
    there = np.flatnonzero(np.isfinite(one.places[:, 0]))
    kept = there[thin(len(there), MOST_POINTS)]
    mine = kept[(one.kind[kept] == kind) & ((one.predicted[kept] == label) | (label < 0))]
    hover = [] if ids is None else [
        f"{ids[one.image[p]]}: {KINDS[kind]}, {one.palette.class_names[one.predicted[p]]}" for p in mine
    ]  # fmt: skip
    of, size = Meaning(label=label, kind=KINDS[kind]), (4.2, 3.8, 4.4)[kind]
    return Points(one.places[mine], of, size=size, images=one.image[mine], hover=hover)


def _bridges(one: MapPoints) -> Lines:
    name = "joins two pieces" if len(one.bridges) else ""
    return Lines(one.places[one.bridges.astype(int)], "grey", dashed=True, name=name)


def _marked(one: MapPoints) -> list[Block]:
    """Examples with their number, joined to their twins."""
    blocks: list[Block] = []
    for number, i in enumerate(one.examples, start=1):
        rows = [np.flatnonzero((one.image == i) & (one.kind == kind)) for kind in range(3)]
        placed = [r[0] for r in rows if len(r) and np.isfinite(one.places[r[0]]).all()]
        if not placed:
            continue
        first = one.places[placed[0], :2]
        others = [np.stack([first, one.places[p, :2]]) for p in placed[1:]]
        blocks += [Lines(np.stack(others), "ink", width=0.9)] if others else []
        for p in placed:
            of = Meaning(label=int(one.predicted[p]), kind=KINDS[one.kind[p]])
            blocks.append(Points(one.places[p : p + 1, :2], of, size=8.0, edged=True))
        blocks.append(
            Words(float(first[0]), float(first[1]), f" {number}", size=1.15, align="left", bold=True, above=True)
        )
    return blocks


def _thinned(maps: Sequence[MapPoints]) -> str:
    """The rule by which points are left out, where some are."""
    return f" {THINNED}" if any(len(one.kind) > MOST_POINTS for one in maps) else ""
