"""What perturbations cost: one of them level by level, all of them at a glance, all of them as curves."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import plotly.graph_objects as go
from matplotlib.figure import Figure
from plotly.subplots import make_subplots

from robustkit.report.section import COLUMN, PAGE, Table
from robustkit.report.style import DASHES, LINES, Painted, colour, layout, marker, plain, shade, symbol
from robustkit.report.sweep_figures import SweepCurve, draw_curve, level_text


@dataclass(frozen=True, eq=False)
class SweepCurves(Painted):
    """One perturbation, a curve of accuracy for each model.

    Attributes:
        curves: By model; all with the same levels.
        said: What the perturbation is and does.
        name: Of its files.
    """

    curves: Mapping[str, SweepCurve]
    said: str
    name: str = "sweep"

    @property
    def first(self) -> SweepCurve:
        """The curve whose levels all share."""
        return next(iter(self.curves.values()))

    @property
    def title(self) -> str:
        """The perturbation."""
        return f"Accuracy against {self.first.name}"

    @property
    def size(self) -> tuple[float, float]:
        """A column of a journal."""
        return COLUMN * 1.25, 3.0

    def summary(self) -> str:
        """Accuracy of the clean images and at the most severe level."""
        ends = [
            f"{model}: clean {one.accuracy[0]}, at {one.levels[-1]:.3g} {one.unit} {one.accuracy[-1]}; "
            f"5 points are lost at: {one.threshold}"
            for model, one in self.curves.items()
        ]
        return f"{self.said} Bands: 95% (Wilson). {'. '.join(ends)}."

    def table(self) -> Table:
        """A line for each level."""
        rows = []
        for model, one in self.curves.items():
            for label, accuracy in zip(_levels(one), one.accuracy, strict=True):
                rows.append((model, label, *(f"{float(x):.4g}" for x in _ends(accuracy)), accuracy.n))
        return Table(("model", f"level ({self.first.unit})", "accuracy", "low", "high", "n"), rows)

    def interactive(self) -> go.Figure:
        """Curves in bands."""
        figure = go.Figure()
        places = list(range(len(self.first.levels) + 1))
        for place, (model, one) in enumerate(self.curves.items()):
            low, high = np.asarray(one.accuracy.low), np.asarray(one.accuracy.high)
            figure.add_scatter(
                x=[*places, *places[::-1]], y=[*high, *low[::-1]], fill="toself", hoverinfo="skip", mode="lines",
                fillcolor=shade(colour(place), 0.15), line={"width": 0}, showlegend=False,
            )  # fmt: skip
            figure.add_scatter(
                x=places, y=one.accuracy.value, mode="lines+markers", name=plain(model),
                line={"color": colour(place), "dash": DASHES[place % 4]},
                marker={"symbol": symbol(place), "size": 8},
                text=[plain(f"{label}: {a}") for label, a in zip(_levels(one), one.accuracy, strict=True)],
                hovertemplate="%{text}<extra>%{fullData.name}</extra>",
            )  # fmt: skip
        ticks = {"tickvals": places, "ticktext": _levels(self.first)}
        layout(figure, xaxis={"title": plain(f"level ({self.first.unit})"), **ticks})
        figure.update_yaxes(title="accuracy", range=[-0.02, 1.02])
        return figure

    def paint(self, figure: Figure) -> None:
        """The same on paper."""
        ax = figure.subplots()
        places = np.arange(len(self.first.levels) + 1)
        for place, (model, one) in enumerate(self.curves.items()):
            ax.fill_between(places, one.accuracy.low, one.accuracy.high, color=colour(place), alpha=0.15, lw=0)
            style = marker(place) + LINES[place % 4]
            ax.plot(places, one.accuracy.value, style, color=colour(place), ms=3.5, lw=1.4, label=model)
        ax.set_xticks(places, _levels(self.first))
        ax.set(xlabel=f"level ({self.first.unit})", ylabel="accuracy", ylim=(-0.02, 1.02))
        ax.grid(alpha=0.25)
        if len(self.curves) > 1:
            figure.legend(loc="outside upper center", ncols=3, frameon=False)


@dataclass(frozen=True, eq=False)
class SweepGrid(Painted):
    """Change of accuracy by perturbation and level, a panel for each model.

    Attributes:
        curves: By model, the perturbations in one order.
        name: Of its files.
        title: Its heading.
    """

    curves: Mapping[str, Sequence[SweepCurve]]
    name: str = "perturbations"
    title: str = "All perturbations at a glance"

    @property
    def rows(self) -> list[str]:
        """The perturbations, those that cost the first model most on top."""
        first = next(iter(self.curves.values()))
        return [one.name for one in sorted(first, key=lambda one: float(np.min(self._change(one))))]

    @property
    def size(self) -> tuple[float, float]:
        """A row for each perturbation."""
        return min(PAGE, 1.6 + 2.7 * len(self.curves)), 1.1 + 0.2 * len(self.rows)

    def summary(self) -> str:
        """The three that cost most."""
        found = []
        for model, curves in self.curves.items():
            worst = sorted(curves, key=lambda one: float(np.min(self._change(one))))[:3]
            spoken = [f"{one.name} ({100 * float(np.min(self._change(one))):+.0f} points)" for one in worst]
            found.append(f"{model}: {', '.join(spoken)}")
        return (
            "Change of accuracy against the clean images in points, levels from mild (s1) to severe. The largest "
            f"losses: {'; '.join(found)}."
        )

    def table(self) -> Table:
        """A line for each perturbation and level."""
        rows = []
        for model, curves in self.curves.items():
            for one in curves:
                for place, (level, change) in enumerate(zip(one.levels, self._change(one), strict=True)):
                    accuracy = one.accuracy[place + 1]
                    ends = (f"{float(x):.4g}" for x in _ends(accuracy))
                    rows.append((model, one.name, f"{level:.4g}", one.unit, *ends, accuracy.n, f"{change:+.4g}"))
        return Table(("model", "perturbation", "level", "unit", "accuracy", "low", "high", "n", "change"), rows)

    def interactive(self) -> go.Figure:
        """Heat maps."""
        figure = make_subplots(
            1, len(self.curves), subplot_titles=[plain(model) for model in self.curves], horizontal_spacing=0.04,
            shared_yaxes=True,
        )  # fmt: skip
        for place, (model, curves) in enumerate(self.curves.items()):
            values, said = self._panel(model, curves)
            figure.add_heatmap(
                z=values, x=list(range(values.shape[1])), y=list(range(len(self.rows))), zmin=-60, zmax=60,
                colorscale="RdBu", hovertext=[[plain(cell) for cell in row] for row in said], hoverinfo="text",
                text=[["" if np.isnan(v) else _points(v) for v in row] for row in values], texttemplate="%{text}",
                textfont={"size": 11}, showscale=False, xgap=1, ygap=1,
                row=1, col=place + 1,
            )  # fmt: skip
        layout(figure, height=130 + 24 * len(self.rows), margin={"l": 110, "r": 20, "t": 40, "b": 40})
        most = max(len(one.levels) for curves in self.curves.values() for one in curves)
        figure.update_xaxes(tickvals=list(range(most)), ticktext=[f"s{i + 1}" for i in range(most)], showgrid=False)
        figure.update_yaxes(
            tickvals=list(range(len(self.rows))), ticktext=[plain(row) for row in self.rows], autorange="reversed",
            showgrid=False,
        )  # fmt: skip
        return figure

    def paint(self, figure: Figure) -> None:
        """The same on paper."""
        axes = figure.subplots(1, len(self.curves), squeeze=False, sharey=True)[0]
        shown = None
        for ax, (model, curves) in zip(axes, self.curves.items(), strict=True):
            values, _ = self._panel(model, curves)
            shown = ax.imshow(values, cmap="RdBu", vmin=-60, vmax=60, aspect="auto")
            for (i, j), value in np.ndenumerate(values):
                if np.isfinite(value):
                    dark = abs(value) > 40
                    ax.text(j, i, _points(value), ha="center", va="center", fontsize=6, color="w" if dark else "k")
            ax.set_xticks(range(values.shape[1]), [f"s{i + 1}" for i in range(values.shape[1])])
            ax.set_title(model)
            ax.tick_params(length=0)
            ax.spines[:].set_visible(False)
        axes[0].set_yticks(range(len(self.rows)), self.rows)
        figure.colorbar(shown, ax=list(axes), label="change of accuracy, points", shrink=0.8)  # pyright: ignore[reportArgumentType]

    def _change(self, one: SweepCurve) -> np.ndarray:
        accuracy = np.asarray(one.accuracy.value)
        return accuracy[1:] - accuracy[0]

    def _panel(self, model: str, curves: Sequence[SweepCurve]) -> tuple[np.ndarray, list[list[str]]]:
        by_name = {one.name: one for one in curves}
        most = max(len(one.levels) for one in curves)
        values = np.full((len(self.rows), most), np.nan)
        said = [[""] * most for _ in self.rows]
        for i, row in enumerate(self.rows):
            if row in by_name:
                one = by_name[row]
                values[i, : len(one.levels)] = 100 * self._change(one)
                for j, level in enumerate(one.levels):
                    said[i][j] = f"{model}: {row} {level:.3g} {one.unit}: accuracy {one.accuracy[j + 1]}"
        return values, said


@dataclass(frozen=True, eq=False)
class SweepSheet(Painted):
    """Accuracy and recalls of one model under every perturbation, a panel each.

    Attributes:
        curves: The perturbations.
        class_names: The K classes.
        model: The model.
        name: Of its files.
    """

    curves: Sequence[SweepCurve]
    class_names: Sequence[str]
    model: str
    name: str = "sweep-sheet"

    @property
    def title(self) -> str:
        """Whose curves."""
        return f"Every perturbation, class by class: {self.model}"

    @property
    def size(self) -> tuple[float, float]:
        """Four panels in a row."""
        return PAGE * 1.35, 2.3 * math.ceil(len(self.curves) / 4) + 0.4

    def summary(self) -> str:
        """How to read it."""
        return (
            f"{self.model}: accuracy with its 95% band (Wilson) and the recall of each class, from the clean images to "
            "the most severe level; above each panel the level that costs 5 points of accuracy, with its interval."
        )

    def table(self) -> Table:
        """A line for each panel, level and class."""
        rows = []
        for one in self.curves:
            for place, label in enumerate(_levels(one)):
                for k, name in enumerate(self.class_names):
                    ends = (f"{np.asarray(end)[k, place]:.4g}" for end in _ends(one.recall))
                    rows.append((one.name, label, one.unit, name, *ends))
        return Table(("perturbation", "level", "unit", "class", "recall", "low", "high"), rows)

    def interactive(self) -> None:
        """The printed sheet serves."""
        return None

    def paint(self, figure: Figure) -> None:
        """Panels with one legend beneath."""
        columns = min(4, len(self.curves))
        axes = figure.subplots(math.ceil(len(self.curves) / columns), columns, squeeze=False, sharey=True).ravel()
        for curve, ax in zip(self.curves, axes, strict=False):
            draw_curve(curve, self.class_names, ax)
            ax.tick_params(labelsize=6)
        for ax in axes[len(self.curves) :]:
            ax.set_axis_off()
        for ax in axes[::columns]:
            ax.set_ylabel("rate of right answers")
        handles, labels = axes[0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside lower center", ncols=len(labels), frameon=False)


def _points(change: float) -> str:
    """A change in points, 0 without a sign."""
    return f"{change:+.0f}" if abs(change) >= 0.5 else "0"


def _levels(one: SweepCurve) -> list[str]:
    return ["clean", *map(level_text, one.levels)]


def _ends(estimate: object) -> tuple[float, float, float]:
    return estimate.value, estimate.low, estimate.high  # type: ignore[attr-defined]
