"""Maps of the latent space, flat and in space: clean, noisy and attacked images, with what each map keeps."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import plotly.graph_objects as go
from matplotlib.figure import Figure
from plotly.subplots import make_subplots

from robustkit.report.map_figures import MapPoints, draw_cameras, draw_maps
from robustkit.report.section import Table
from robustkit.report.style import layout, plain, thin

KINDS = ("clean", "noisy", "attacked")
# Of each kind, plotly's markers on the plane and in space, and their size there.
_FLAT = ("circle", "circle-open", "star")
_SPACE = ("circle", "circle-open", "diamond")
MOST_POINTS = 3000
THINNED = f"Of more than {MOST_POINTS:,} points of a map {MOST_POINTS:,}, evenly taken, are drawn on the screen."


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
        return (
            f"{self.said} Colour is the predicted class; filled points are clean images, open ones noisy, stars "
            f"attacked (projected, never fitted). Axes have no unit and no meaning of their own.{_thinned(self.maps)}"
        )

    def table(self) -> Table:
        """What each map keeps."""
        return Table(self.columns, self.rows)

    def interactive(self) -> go.Figure:
        """Maps side by side; the image under the pointer is shown."""
        columns = min(2, len(self.maps))
        rows = -(-len(self.maps) // columns)
        titles = [plain(one.title).replace("\n", "<br>") for one in self.maps]
        figure = make_subplots(
            rows, columns, subplot_titles=titles, horizontal_spacing=0.06,
            vertical_spacing=0.5 / (3 * rows),
        )  # fmt: skip
        for place, one in enumerate(self.maps):
            where: dict[str, Any] = {"row": place // columns + 1, "col": place % columns + 1}
            for a, b in one.bridges:
                figure.add_scatter(
                    x=one.places[[a, b], 0], y=one.places[[a, b], 1], mode="lines", hoverinfo="skip", showlegend=False,
                    line={"dash": "dash", "color": "#888888", "width": 1}, **where,
                )  # fmt: skip
            for trace in _traces(one, self.ids, 2, legend=place == 0):
                figure.add_trace(go.Scatter(**trace), **where)
        layout(figure, height=430 * rows + 60, legend={"orientation": "h", "y": -0.08}, margin={"t": 50, "b": 60})
        figure.update_xaxes(showticklabels=False, zeroline=False)
        figure.update_yaxes(showticklabels=False, zeroline=False)
        for place in range(len(self.maps)):
            where: dict[str, Any] = {"row": place // columns + 1, "col": place % columns + 1}
            anchor = "x" if place == 0 else f"x{place + 1}"
            figure.update_yaxes(scaleanchor=anchor, **where)
        return figure

    def draw(self) -> Figure:
        """The same on paper."""
        return draw_maps(self.maps)


@dataclass(frozen=True, eq=False)
class SpaceMap:
    """An Isomap in three dimensions, to be turned.

    Attributes:
        maps: One for each model; the first is drawn on the screen, all of them on paper.
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
        counts = np.bincount(self.maps[0].kind, minlength=3)
        spoken = ", ".join(f"{n} {kind}" for n, kind in zip(counts, KINDS, strict=True) if n)
        return (
            f"{self.maps[0].title}: {spoken} points. Drag to turn it, or use the buttons; the image under the pointer "
            f"is shown. On paper: four sides, by exposure and by predicted class.{_thinned(self.maps)}"
        )

    def table(self) -> Table:
        """A line for each point."""
        rows = []
        for one in self.maps:
            for p in range(len(one.kind)):
                spoken = (
                    one.title,
                    str(self.ids[one.image[p]]),
                    KINDS[one.kind[p]],
                    one.palette.class_names[one.predicted[p]],
                )
                rows.append((*spoken, *(f"{x:.5g}" for x in one.places[p])))
        return Table(("model", "id", "kind", "predicted", "axis 1", "axis 2", "axis 3"), rows)

    def interactive(self) -> go.Figure:
        """One scene."""
        figure = go.Figure([go.Scatter3d(**trace) for trace in _traces(self.maps[0], self.ids, 3, legend=True)])
        axis = {"showticklabels": False, "title": "", "showbackground": False}
        scene = {"xaxis": axis, "yaxis": axis, "zaxis": axis, "aspectmode": "data"}
        layout(figure, height=560, scene=scene, margin={"l": 0, "r": 0, "t": 30, "b": 0})
        return figure

    def draw(self) -> Figure:
        """Four cameras."""
        return draw_cameras(self.maps)


def _thinned(maps: Sequence[MapPoints]) -> str:
    """The rule by which points are left out, where some are."""
    return f" {THINNED}" if any(len(one.kind) > MOST_POINTS for one in maps) else ""


def _traces(one: MapPoints, ids: np.ndarray, dimensions: int, *, legend: bool) -> list[dict[str, object]]:
    """A trace for each kind and predicted class."""
    shapes, sizes = ((_FLAT, (7, 7, 11)), (_SPACE, (4, 4, 5)))[dimensions - 2]
    there = np.flatnonzero(np.isfinite(one.places[:, 0]))
    kept = there[thin(len(there), MOST_POINTS)]
    traces = []
    for kind, said in enumerate(KINDS):
        for k, name in enumerate(one.palette.class_names):
            mine = kept[(one.kind[kept] == kind) & (one.predicted[kept] == k)]
            if not len(mine):
                continue
            colour = one.palette.colours[k]
            trace = {
                "mode": "markers",
                "name": plain(f"{said}, {name}"),
                "legendgroup": f"{kind} {k}",
                "showlegend": legend,
                "meta": "thumbnails",
                "customdata": one.image[mine].tolist(),
                "text": [plain(f"{ids[one.image[p]]}: {said}, {name}") for p in mine],
                "hovertemplate": "%{text}<extra></extra>",
                "marker": {"color": colour, "symbol": shapes[kind], "size": sizes[kind], "opacity": 0.85},
            }
            trace |= {axis: one.places[mine, d].astype(np.float32) for d, axis in enumerate("xyz"[:dimensions])}
            traces.append(trace)
    return traces
