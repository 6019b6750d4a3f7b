"""Does what the classifier claims come true? Confidence against accuracy."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import plotly.graph_objects as go
from matplotlib.figure import Figure

from robustkit.report.section import COLUMN, Table
from robustkit.report.style import DASHES, LINES, Painted, colour, layout, marker, plain, symbol
from robustkit.stats.calibration import Reliability


@dataclass(frozen=True, eq=False)
class ReliabilityCurves(Painted):
    """Reliability of one or more models or domains.

    Attributes:
        curves: By name.
        name: Of its files.
        title: Its heading.
    """

    curves: Mapping[str, Reliability]
    name: str = "calibration"
    title: str = "Calibration"

    @property
    def size(self) -> tuple[float, float]:
        """A column of a journal."""
        return COLUMN * 1.25, 3.2

    def summary(self) -> str:
        """Calibration errors beside what chance makes of them."""
        found = "; ".join(f"{name}: {curve}" for name, curve in self.curves.items())
        return (
            "Accuracy of the images in each bin of confidence with its 95% interval (Wilson), larger markers for more "
            "images; a calibrated classifier lies on the diagonal. The expected calibration error (ECE) is above 0 "
            f"even then. {found}."
        )

    def table(self) -> Table:
        """A line for each bin that holds images."""
        rows = []
        for name, one in self.curves.items():
            for b in np.flatnonzero(one.counts):
                accuracy = one.accuracy[int(b)]
                ends = (one.confidence[b], accuracy.value, accuracy.low, accuracy.high)
                rows.append((name, int(one.counts[b]), *(f"{float(value):.4g}" for value in ends)))
        return Table(("series", "images", "mean confidence", "accuracy", "low", "high"), rows)

    def interactive(self) -> go.Figure:
        """Curves with error bars."""
        figure = go.Figure()
        figure.add_scatter(
            x=[0, 1], y=[0, 1], mode="lines", line={"dash": "dot", "color": "#888888"}, name="calibrated",
            hoverinfo="skip",
        )  # fmt: skip
        for place, (name, one) in enumerate(self.curves.items()):
            x, y, low, high, counts = self._points(one)
            figure.add_scatter(
                x=x, y=y, mode="lines+markers", name=plain(name),
                error_y={"type": "data", "symmetric": False, "array": high - y, "arrayminus": y - low, "thickness": 1},
                line={"color": colour(place), "dash": DASHES[place % 4], "width": 1},
                marker={"symbol": symbol(place), "size": _sizes(counts, 5, 14), "color": colour(place)},
                customdata=counts,
                hovertemplate="confidence %{x:.3f}, accuracy %{y:.3f}<br>%{customdata} images",
            )  # fmt: skip
        lowest = min((float(self._points(one)[0].min()) for one in self.curves.values()), default=0.0)
        layout(figure, xaxis={"title": "mean confidence", "range": [lowest - 0.03, 1.02]})
        figure.update_yaxes(title="accuracy", range=[-0.03, 1.03])
        return figure

    def paint(self, figure: Figure) -> None:
        """The same on paper."""
        ax = figure.subplots()
        ax.plot([0, 1], [0, 1], ":", color="0.5", lw=1, label="calibrated")
        for place, (name, one) in enumerate(self.curves.items()):
            x, y, low, high, counts = self._points(one)
            ends = np.stack([y - low, high - y]).clip(0)
            ax.errorbar(x, y, yerr=ends, fmt="none", ecolor=colour(place), elinewidth=0.7, alpha=0.7)
            ax.plot(x, y, marker(place) + LINES[place % 4], color=colour(place), ms=0, lw=0.8)
            ax.scatter(x, y, s=_sizes(counts, 2, 7) ** 2, marker=marker(place), color=colour(place), zorder=3)
            ax.plot([], [], marker(place) + LINES[place % 4], color=colour(place), ms=4, lw=0.8, label=name)
        lowest = min((float(self._points(one)[0].min()) for one in self.curves.values()), default=0.0)
        ax.set(xlabel="mean confidence", ylabel="accuracy", xlim=(lowest - 0.03, 1.02), ylim=(-0.03, 1.03))
        ax.grid(alpha=0.25)
        figure.legend(loc="outside upper center", ncols=3, frameon=False)

    def _points(self, one: Reliability) -> tuple[np.ndarray, ...]:
        held = one.counts > 0
        accuracy = (np.asarray(getattr(one.accuracy, end))[held] for end in ("value", "low", "high"))
        return (one.confidence[held], *accuracy, one.counts[held])


def _sizes(counts: np.ndarray, least: float, most: float) -> np.ndarray:
    """Diameters of markers whose area grows with the images of a bin."""
    return least + (most - least) * np.sqrt(counts / max(counts.max(initial=1), 1))
