"""Flips against queries: what a budget finds, and how long images hold out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import plotly.graph_objects as go
from matplotlib.figure import Figure

from robustkit.report.attack_figures import BASELINE, BASELINE_COLOUR, FlipCurve
from robustkit.report.section import COLUMN, Table
from robustkit.report.style import DASHES, LINES, Painted, colour, layout, plain, shade, thin
from robustkit.stats.survival import Survival

MOST_STEPS = 600
THINNED = f"Curves of more than {MOST_STEPS} steps are drawn through {MOST_STEPS} of them, evenly spread."


@dataclass(frozen=True, eq=False)
class FlipCurves(Painted):
    """The rate of images flipped within a number of queries, for each model and search.

    Attributes:
        curves: By model, the curves of its searches.
        name: Of its files.
        title: Its heading.
    """

    curves: Mapping[str, list[FlipCurve]]
    name: str = "flips-by-queries"
    title: str = "Flips against queries"

    @property
    def size(self) -> tuple[float, float]:
        """A column of a journal, with room for the legend."""
        return COLUMN * 1.35, 3.3

    def summary(self) -> str:
        """Where each curve ends."""
        ends = [
            f"{model}, {one.name}: {one.rate[-1]:.3f} of {one.n} images after {one.queries[-1]:,.0f} queries"
            for model, curves in self.curves.items()
            for one in curves
        ]
        many = any(len(one.queries) > MOST_STEPS for curves in self.curves.values() for one in curves)
        return (
            "The rate of images, among those classified correctly, that a search has flipped within a number of "
            f"queries of that image. Bands: 95% (Wilson), each rate by itself.{f' {THINNED}' if many else ''} "
            f"{'; '.join(ends)}."
        )

    def table(self) -> Table:
        """The rate at round numbers of queries."""
        rows = []
        for model, curves in self.curves.items():
            for one in curves:
                for queries in _round_numbers(one.queries[-1]):
                    place = int(np.searchsorted(one.queries, queries, side="right")) - 1
                    values = (one.rate[place], one.low[place], one.high[place])
                    rows.append((model, one.name, f"{queries:.0f}", *(f"{v:.4g}" for v in values), one.n))
        return Table(("model", "search", "queries", "rate flipped", "low", "high", "n"), rows)

    def interactive(self) -> go.Figure:
        """Steps in bands."""
        figure = go.Figure()
        for place, (model, one, shade_of) in enumerate(self._series()):
            at = thin(len(one.queries), MOST_STEPS)
            x = one.queries[at]
            name = f"{model}: {one.name}" if len(self.curves) > 1 else one.name
            figure.add_scatter(
                x=x, y=one.high[at], mode="lines", line={"width": 0, "shape": "hv"}, hoverinfo="skip",
                showlegend=False, legendgroup=str(place),
            )  # fmt: skip
            figure.add_scatter(
                x=x, y=one.low[at], mode="lines", line={"width": 0, "shape": "hv"}, hoverinfo="skip", fill="tonexty",
                fillcolor=shade(shade_of, 0.12), showlegend=False, legendgroup=str(place),
            )  # fmt: skip
            figure.add_scatter(
                x=x, y=one.rate[at], mode="lines", name=plain(name), legendgroup=str(place),
                line={"color": shade_of, "shape": "hv", "dash": self._dash(model, DASHES)},
                hovertemplate="%{y:.3f} within %{x:,.0f} queries",
            )  # fmt: skip
        layout(figure, height=420, xaxis={"title": "queries of an image", "type": "log", "dtick": 1})
        figure.update_yaxes(title="rate of images flipped", rangemode="tozero")
        return figure

    def paint(self, figure: Figure) -> None:
        """The same on paper."""
        ax = figure.subplots()
        for model, one, shade_of in self._series():
            at = thin(len(one.queries), MOST_STEPS)
            name = f"{model}: {one.name}" if len(self.curves) > 1 else one.name
            style = self._dash(model, LINES)
            ax.step(one.queries[at], one.rate[at], where="post", color=shade_of, ls=style, lw=1.4, label=name)
            ax.fill_between(
                one.queries[at], one.low[at], one.high[at], step="post", color=shade_of, alpha=0.1, lw=0
            )  # fmt: skip
        ax.set(xscale="log", xlabel="queries of an image", ylabel="rate of images flipped", ylim=(0, None))
        ax.xaxis.set_minor_formatter("")  # its own writes mathematics, which is off here
        ax.xaxis.set_major_formatter("{x:,.0f}")
        ax.grid(alpha=0.25)
        figure.legend(loc="outside upper center", ncols=2, frameon=False)

    def _series(self) -> list[tuple[str, FlipCurve, str]]:
        names = list(dict.fromkeys(one.name for curves in self.curves.values() for one in curves))
        kept = [name for name in names if name != BASELINE]
        colours = {name: colour(i) for i, name in enumerate(kept)} | {BASELINE: BASELINE_COLOUR}
        return [(model, one, colours[one.name]) for model, curves in self.curves.items() for one in curves]

    def _dash(self, model: str, dashes: tuple[str, ...]) -> str:
        return dashes[list(self.curves).index(model) % len(dashes)]


@dataclass(frozen=True, eq=False)
class SurvivalCurves(Painted):
    """How many images hold out a number of queries of one search; those that never flipped are censored.

    Attributes:
        curves: By model.
        search: The search.
        test: What the comparison of two models says, or nothing.
        name: Of its files.
        title: Its heading.
    """

    curves: Mapping[str, Survival]
    search: str
    test: str = ""
    name: str = "survival"
    title: str = "How long images hold out"

    @property
    def size(self) -> tuple[float, float]:
        """A column of a journal."""
        return COLUMN * 1.25, 3.0

    def summary(self) -> str:
        """Medians and restricted means."""
        found = "; ".join(f"{model}: {one}" for model, one in self.curves.items())
        return (
            f"Kaplan-Meier curves of the queries that the search {self.search} needed, with 95% bands; images that "
            f"never flipped are censored where their search ended, not left out. {found}. {self.test}".strip()
        )

    def table(self) -> Table:
        """A line for each step, thinned."""
        rows = []
        for model, one in self.curves.items():
            for i in thin(len(one.times), 60):
                ends = (f"{float(v):.4g}" for v in (one.surviving[i], one.low[i], one.high[i]))
                rows.append((model, f"{one.times[i]:.0f}", *ends, int(one.at_risk[i]), int(one.flips[i])))
        return Table(("model", "queries", "holding out", "low", "high", "at risk", "flips"), rows)

    def interactive(self) -> go.Figure:
        """Steps in bands."""
        figure = go.Figure()
        for place, (model, one) in enumerate(self.curves.items()):
            x, y, low, high = self._steps(one)
            figure.add_scatter(
                x=x, y=high, mode="lines", line={"width": 0, "shape": "hv"}, hoverinfo="skip", showlegend=False
            )
            figure.add_scatter(
                x=x, y=low, mode="lines", line={"width": 0, "shape": "hv"}, hoverinfo="skip", showlegend=False,
                fill="tonexty", fillcolor=shade(colour(place), 0.15),
            )  # fmt: skip
            figure.add_scatter(
                x=x, y=y, mode="lines", name=plain(model),
                line={"color": colour(place), "shape": "hv", "dash": DASHES[place % 4]},
                hovertemplate="%{y:.3f} hold out %{x:,.0f} queries",
            )  # fmt: skip
        layout(figure, xaxis={"title": f"queries of {plain(self.search)}", "type": "log", "dtick": 1})
        figure.update_yaxes(title="rate of images that hold out", range=[-0.02, 1.02])
        return figure

    def paint(self, figure: Figure) -> None:
        """The same on paper."""
        ax = figure.subplots()
        for place, (model, one) in enumerate(self.curves.items()):
            x, y, low, high = self._steps(one)
            ax.step(x, y, where="post", color=colour(place), ls=LINES[place % 4], lw=1.4, label=model)
            ax.fill_between(x, low, high, step="post", color=colour(place), alpha=0.15, lw=0)
        ax.set(xscale="log", xlabel=f"queries of {self.search}", ylabel="rate that hold out", ylim=(-0.02, 1.02))
        ax.xaxis.set_minor_formatter("")
        ax.xaxis.set_major_formatter("{x:,.0f}")
        ax.grid(alpha=0.25)
        figure.legend(loc="outside upper center", ncols=3, frameon=False)

    def _steps(self, one: Survival) -> tuple[np.ndarray, ...]:
        at = thin(len(one.times), MOST_STEPS)
        first = min(1.0, float(one.times[0]))
        values = (np.nan_to_num(np.asarray(v, dtype=float)[at], nan=1.0) for v in (one.surviving, one.low, one.high))
        return np.append(first, one.times[at]), *(np.append(1.0, v) for v in values)


def _round_numbers(end: float) -> list[float]:
    """1, 2, 5, 10 ... up to the end, and the end."""
    found = [a * 10.0**e for e in range(9) for a in (1, 2, 5)]
    return [*(q for q in found if q < end), float(end)]
