"""The plane that a head of three classes decides on, and church windows: slices through the latent space."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import matplotlib
import numpy as np
import plotly.graph_objects as go
from matplotlib.figure import Figure
from plotly.subplots import make_subplots

from robustkit.report.canonical_figure import CanonicalPicture, draw_canonical_sheet
from robustkit.report.palette import Palette
from robustkit.report.section import Table
from robustkit.report.style import layout, plain, shade, symbol, thin
from robustkit.report.window_figures import WindowPicture, draw_gallery

MOST_POINTS = 2000
THINNED = f"Of more than {MOST_POINTS:,} points {MOST_POINTS:,}, evenly taken, are drawn on the screen."


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
            f"images coloured by their true class, joined to where a perturbation moves them. {found}. The median "
            f"distance of an image to its nearest boundary is {float(np.median(self.margins)):.3g} in latent units."
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

    def interactive(self) -> go.Figure:
        """Regions, images and moves; the image under the pointer is shown."""
        figure = make_subplots(
            1, len(self.pictures), subplot_titles=[plain(picture.title) for picture in self.pictures],
            shared_yaxes=True, horizontal_spacing=0.03,
        )  # fmt: skip
        for place, picture in enumerate(self.pictures, start=1):
            for label, corners in picture.polygons:
                closed = np.vstack([corners, corners[:1]])
                figure.add_scatter(
                    x=closed[:, 0], y=closed[:, 1], fill="toself", mode="lines", hoverinfo="skip", showlegend=False,
                    fillcolor=shade(self.palette.colours[label], 0.22), line={"width": 0.6, "color": "#888888"},
                    row=1, col=place,
                )  # fmt: skip
            kept = np.array(thin(len(picture.true), MOST_POINTS))
            self._moves(figure, picture, kept, place)
            for k, name in enumerate(self.palette.class_names):
                mine = kept[picture.true[kept] == k]
                figure.add_scatter(
                    x=picture.clean[mine, 0], y=picture.clean[mine, 1], mode="markers", name=plain(name),
                    legendgroup=name, showlegend=place == 1, meta="thumbnails", customdata=mine.tolist(),
                    text=[plain(f"{self.ids[i]}, {name}, distance {self.margins[i]:.3g}") for i in mine],
                    hovertemplate="%{text}<extra></extra>",
                    marker={"color": self.palette.colours[k], "symbol": symbol(k), "size": 7,
                            "line": {"width": 0.7, "color": "#ffffff"}},
                    row=1, col=place,
                )  # fmt: skip
        first = self.pictures[0]
        layout(
            figure,
            height=520,
            margin={"l": 60, "r": 20, "t": 60, "b": 100},
            legend={"orientation": "h", "yanchor": "top", "y": -0.14},
        )
        figure.update_xaxes(range=[first.low[0], first.high[0]], title="decision axis 1", zeroline=False)
        figure.update_yaxes(range=[first.low[1], first.high[1]], zeroline=False)
        figure.update_yaxes(title="decision axis 2", col=1)
        return figure

    def draw(self) -> Figure:
        """The same on paper, to scale."""
        return draw_canonical_sheet(self.pictures, self.palette)

    def _moves(self, figure: go.Figure, picture: CanonicalPicture, kept: np.ndarray, place: int) -> None:
        there = np.isfinite(picture.perturbed).all(axis=1)
        for changed, colour, width in ((False, "#999999", 0.6), (True, "#777777", 1.3)):
            some = kept[(there & (picture.changed == changed))[kept]]
            if not len(some):
                continue
            ends = np.full((len(some), 3, 2), np.nan)  # start, end, gap
            ends[:, 0], ends[:, 1] = picture.clean[some], picture.perturbed[some]
            line = ends.reshape(-1, 2)
            figure.add_scatter(
                x=line[:, 0], y=line[:, 1], mode="lines", line={"color": colour, "width": width}, hoverinfo="skip",
                showlegend=False, row=1, col=place,
            )  # fmt: skip


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

    def interactive(self) -> None:
        """The printed sheet serves."""
        return None

    def draw(self) -> Figure:
        """Windows side by side."""
        with matplotlib.rc_context({"text.parse_math": True}):  # of its own; names are text there too
            return draw_gallery(self.pictures, self.palette, rule=self.rule)
