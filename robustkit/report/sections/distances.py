"""How far perturbations move latents: histograms of d_E and of its twins that two models can be compared by."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import plotly.graph_objects as go
from matplotlib.figure import Figure
from plotly.subplots import make_subplots

from robustkit.report.distance_figures import Histogram, bin_edges, draw_histograms
from robustkit.report.section import Table
from robustkit.report.style import colour, layout, plain, shade


@dataclass(frozen=True, eq=False)
class DistanceHistograms:
    """Histograms, a row for each quantity and a column for each perturbation.

    Attributes:
        rows: The histograms.
        said: What they say.
        numbers: Of each quantity, perturbation and model, for the table.
        columns: Their headings.
        name: Of its files.
        title: Its heading.
    """

    rows: Sequence[Sequence[Histogram]]
    said: str
    numbers: Sequence[Sequence[object]]
    columns: Sequence[str]
    name: str = "distance-histograms"
    title: str = "How far latents move"

    def summary(self) -> str:
        """How to read them."""
        return (
            "d_E, the plain Euclidean distance, belongs to one model: another set of coordinates of the latent space "
            "changes it and no prediction. 1 / t* (above 1 where the class changes) can be compared between models; "
            "the whitened distance only where its covariance was not shrunk, which the table says (comparable). "
            f"Images that were never flipped have no distance to a flip. {self.said}"
        )

    def table(self) -> Table:
        """Medians and means."""
        return Table(self.columns, self.numbers)

    def interactive(self) -> go.Figure:
        """Steps over each other."""
        columns = max(len(row) for row in self.rows)
        titles = [plain(one.title) for row in self.rows for one in [*row, *[None] * (columns - len(row))] if one]
        figure = make_subplots(
            len(self.rows), columns, subplot_titles=titles, vertical_spacing=0.3 / len(self.rows),
            horizontal_spacing=0.08,
        )  # fmt: skip
        for i, row in enumerate(self.rows):
            for j, one in enumerate(row):
                edges = bin_edges(one)
                for s, (name, values) in enumerate(zip(one.names, one.values, strict=True)):
                    counts, _ = np.histogram(values, edges)
                    figure.add_scatter(
                        x=edges, y=np.append(counts, counts[-1]), mode="lines", fill="tozeroy", name=plain(name),
                        legendgroup=name, showlegend=i == j == 0, fillcolor=shade(colour(s), 0.2),
                        line={"color": colour(s), "shape": "hv", "dash": "dash" if s == 0 and len(one.names) > 1 else
                              "solid"},
                        hovertemplate="from %{x:.3g}: %{y} images", row=i + 1, col=j + 1,
                    )  # fmt: skip
                figure.update_xaxes(title=plain(one.axis), row=i + 1, col=j + 1)
                figure.update_yaxes(title="images" if j == 0 else "", rangemode="tozero", row=i + 1, col=j + 1)
        layout(figure, height=300 * len(self.rows) + 60, margin={"t": 60, "b": 60})
        return figure

    def draw(self) -> Figure:
        """The same on paper."""
        return draw_histograms(self.rows)
