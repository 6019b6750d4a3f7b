"""Counts of images by two classes: confusion before the attack, flips after it; a panel for each model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import plotly.graph_objects as go
from matplotlib.figure import Figure
from plotly.subplots import make_subplots

from robustkit.report.section import PAGE, Table
from robustkit.report.style import Painted, layout, plain


@dataclass(frozen=True, eq=False)
class Matrix(Painted):
    """Images by true class (rows) and another class (columns).

    Attributes:
        name: Of its files.
        title: Its heading.
        counts: Panels by name, each (K, K) integers; -1 where a cell means nothing.
        totals: Images of each true class in each panel, (K,): what the shares are of.
        class_names: The K classes.
        column: What the columns are.
        said: The first sentences of the caption.
    """

    name: str
    title: str
    counts: Mapping[str, np.ndarray]
    totals: Mapping[str, np.ndarray]
    class_names: Sequence[str]
    column: str
    said: str

    @property
    def size(self) -> tuple[float, float]:
        """A panel for each model."""
        width = min(PAGE, 0.9 + 2.6 * len(self.counts))
        return width, (width - 0.9) / len(self.counts) + 0.85  # square panels, with room for names beneath

    def summary(self) -> str:
        """The largest cells off the diagonal."""
        found = []
        for panel, counts in self.counts.items():
            cells = [(int(counts[i, j]), i, j) for i in range(len(counts)) for j in range(len(counts)) if i != j]
            n, i, j = max(cells)
            total = int(self.totals[panel][i])
            if n > 0:
                names = self.class_names
                found.append(f"{panel}: most often {names[i]} becomes {names[j]}, {n} of {total} images")
            else:
                found.append(f"{panel}: no image off the diagonal")
        return f"{self.said} {'; '.join(found)}."

    def table(self) -> Table:
        """A line for each cell."""
        rows = [
            (panel, true, other, int(counts[i, j]), int(self.totals[panel][i]), self._share(panel, i, j))
            for panel, counts in self.counts.items()
            for i, true in enumerate(self.class_names)
            for j, other in enumerate(self.class_names)
            if counts[i, j] >= 0
        ]
        return Table(("panel", "true class", self.column, "images", "of", "share"), rows)

    def interactive(self) -> go.Figure:
        """Heat maps of shares, counts in the cells."""
        figure = make_subplots(
            1, len(self.counts), subplot_titles=[plain(name) for name in self.counts], horizontal_spacing=0.16
        )
        names = [plain(name) for name in self.class_names]
        for place, (panel, counts) in enumerate(self.counts.items()):
            shares = self._shares(panel)
            said = [[f"{true} to {other}: {self._cell(panel, i, j)}" for j, other in enumerate(names)]
                    for i, true in enumerate(names)]  # fmt: skip
            figure.add_heatmap(
                z=shares, x=list(range(len(names))), y=list(range(len(names))), zmin=0, zmax=1, colorscale="Blues",
                hovertext=said, hoverinfo="text", xgap=2, ygap=2, row=1, col=place + 1, showscale=False,
            )  # fmt: skip
            for i in range(len(names)):
                for j in range(len(names)):
                    if counts[i, j] >= 0:
                        figure.add_annotation(
                            x=j, y=i, text=str(int(counts[i, j])), showarrow=False, row=1, col=place + 1,
                            font={"color": "white" if shares[i, j] > 0.55 else "black"}, name="cell",
                        )  # fmt: skip
        layout(figure, height=360, margin={"l": 90, "r": 20, "t": 40, "b": 80})
        ticks: dict[str, Any] = {"tickvals": list(range(len(names))), "ticktext": names}
        ticks |= {"showgrid": False, "zeroline": False}
        figure.update_xaxes(title=plain(self.column), **ticks)
        figure.update_yaxes(autorange="reversed", automargin=True, **ticks)
        figure.update_yaxes(title="true class", col=1)
        return figure

    def paint(self, figure: Figure) -> None:
        """The same on paper."""
        axes = figure.subplots(1, len(self.counts), squeeze=False)[0]
        for ax, (panel, counts) in zip(axes, self.counts.items(), strict=True):
            shares = self._shares(panel)
            ax.imshow(shares, cmap="Blues", vmin=0, vmax=1)
            for (i, j), n in np.ndenumerate(counts):
                if n >= 0:
                    ax.text(j, i, str(int(n)), ha="center", va="center", color="w" if shares[i, j] > 0.55 else "k")
            ticks = range(len(self.class_names))
            ax.set_xticks(ticks, self.class_names, rotation=30, ha="right")
            ax.set_yticks(ticks, self.class_names if ax is axes[0] else [""] * len(self.class_names))
            ax.set(title=panel, xlabel=self.column)
            ax.spines[:].set_visible(False)
            ax.tick_params(length=0)
        axes[0].set_ylabel("true class")

    def _shares(self, panel: str) -> np.ndarray:
        counts, totals = self.counts[panel], self.totals[panel]
        shares = counts / np.maximum(totals, 1)[:, None]
        return np.where(counts < 0, np.nan, shares)

    def _share(self, panel: str, i: int, j: int) -> str:
        total = int(self.totals[panel][i])
        return f"{self.counts[panel][i, j] / total:.4g}" if total else ""

    def _cell(self, panel: str, i: int, j: int) -> str:
        n = int(self.counts[panel][i, j])
        return "means nothing" if n < 0 else f"{n} of {int(self.totals[panel][i])} images"
