"""Estimates with their intervals side by side: recalls, rates, paired differences."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import plotly.graph_objects as go
from matplotlib.figure import Figure

from robustkit.report.section import PAGE, Table
from robustkit.report.style import Painted, colour, layout, listed, marker, plain, symbol, wrapped
from robustkit.stats.estimate import Estimate


@dataclass(frozen=True, eq=False)
class Forest(Painted):
    """Rows of estimates, a series for each model or domain.

    Attributes:
        name: Of its files.
        title: Its heading.
        axis: What is measured.
        rows: Label, series and estimate; a label may come once for each series.
        said: The first sentences of the caption.
        reference: Where a line is drawn, such as 0 for a difference.
        span: Ends of the axis, or `None` for those of the data.
        series_name: What a series is, for the table.
    """

    name: str
    title: str
    axis: str
    rows: Sequence[tuple[str, str, Estimate]]
    said: str = ""
    reference: float | None = None
    span: tuple[float, float] | None = (0.0, 1.0)
    series_name: str = "model"

    @property
    def labels(self) -> list[str]:
        """The rows, each once."""
        return list(dict.fromkeys(label for label, _, _ in self.rows))

    @property
    def series(self) -> list[str]:
        """The series, each once."""
        return list(dict.fromkeys(series for _, series, _ in self.rows))

    @property
    def size(self) -> tuple[float, float]:
        """Higher for more rows."""
        return PAGE * 0.75, 0.9 + 0.16 * len(self.labels) * (0.6 + len(self.series))

    def summary(self) -> str:
        """Every number, up to eight."""
        if len(self.rows) > 8:
            return self.said
        spoken = [f"{label}{f' ({series})' if series else ''} {one}" for label, series, one in self.rows]
        return f"{self.said} {'; '.join(spoken)}.".strip()

    def table(self) -> Table:
        """A line for each estimate."""
        rows = [
            (label, series, _digits(one.value), _digits(one.low), _digits(one.high), one.n, one.method)
            for label, series, one in self.rows
        ]
        return Table(("what", self.series_name, self.axis, "low", "high", "n", "interval"), rows)

    def interactive(self) -> go.Figure:
        """Points with error bars."""
        figure = go.Figure()
        for place, series in enumerate(self.series):
            chosen = [(label, one) for label, of, one in self.rows if of == series]
            values = [float(one.value) for _, one in chosen]
            figure.add_scatter(
                x=values,
                y=[self._height(label, place) for label, _ in chosen],
                error_x={
                    "type": "data",
                    "symmetric": False,
                    "array": [_gap(float(one.high), v) for (_, one), v in zip(chosen, values, strict=True)],
                    "arrayminus": [_gap(v, float(one.low)) for (_, one), v in zip(chosen, values, strict=True)],
                },
                mode="markers",
                name=plain(series),
                showlegend=bool(series) and len(self.series) > 1,
                text=[plain(f"{label}: {one}") for label, one in chosen],
                hovertemplate="%{text}<extra></extra>",
                marker={"color": colour(place), "symbol": symbol(place), "size": 9},
            )
        layout(figure, height=120 + 26 * len(self.labels) * len(self.series), xaxis={"title": plain(self.axis)})
        figure.update_xaxes(range=None if self.span is None else [self.span[0] - 0.02, self.span[1] + 0.02])
        figure.update_yaxes(
            tickvals=list(range(len(self.labels))),
            ticktext=[plain(wrapped(label, _LABEL)).replace("\n", "<br>") for label in self.labels],
            range=[len(self.labels) - 0.5, -0.5],
            automargin=True,
        )
        if self.reference is not None:
            figure.add_vline(self.reference, line_dash="dot", line_color="#888888")
        return figure

    def paint(self, figure: Figure) -> None:
        """The same on paper."""
        ax = figure.subplots()
        for place, series in enumerate(self.series):
            chosen = [(label, one) for label, of, one in self.rows if of == series]
            value, low, high = (np.array([float(getattr(one, end)) for _, one in chosen]) for end in _ENDS)
            ends = np.nan_to_num(np.stack([value - low, high - value]).clip(0))
            heights = [self._height(label, place) for label, _ in chosen]
            ax.errorbar(
                value, heights, xerr=ends, fmt=marker(place), color=colour(place), ms=4, lw=1.2, capsize=2,
                label=series if len(self.series) > 1 else None,
            )  # fmt: skip
        ax.set_yticks(range(len(self.labels)), [wrapped(label, _LABEL) for label in self.labels])
        ax.set_ylim(len(self.labels) - 0.5, -0.5)
        if self.span is not None:
            ax.set_xlim(self.span[0] - 0.02, self.span[1] + 0.02)
        if self.reference is not None:
            ax.axvline(self.reference, color="0.5", ls=":", lw=1)
        ax.set_xlabel(self.axis)
        ax.grid(axis="x", alpha=0.25)
        if len(self.series) > 1:
            figure.legend(loc="outside upper center", ncols=len(self.series), frameon=False)

    def _height(self, label: str, place: int) -> float:
        return self.labels.index(label) + 0.22 * (place - (len(self.series) - 1) / 2)


_ENDS = ("value", "low", "high")
_LABEL = 40  # letters of a label on one line


def _gap(high: float, low: float) -> float:
    return float(np.nan_to_num(max(high - low, 0.0)))


def _digits(value: object) -> str:
    number = float(value)  # type: ignore[arg-type]
    return f"{number:.4g}" if np.isfinite(number) else ""


def said_of(names: Sequence[str]) -> str:
    """Who is shown, in a sentence.

    Examples:
        >>> said_of(["mmd", "source"])
        'Models: mmd and source.'
    """
    return f"{'Model' if len(names) == 1 else 'Models'}: {listed(names)}."
