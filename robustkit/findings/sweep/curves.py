"""What perturbations cost: one of them level by level, all of them at a glance, all of them as curves."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from robustkit.report.blocks import PAGE, Axis, Block, Cells, Drawing, Panel, Picture, Rule, Series
from robustkit.report.palette import Meaning, make_palette
from robustkit.report.section import Table
from robustkit.stats.estimate import Estimate
from robustkit.words import signed


@dataclass(frozen=True, eq=False)
class SweepCurve:
    """One perturbation of a sweep.

    Attributes:
        name: The perturbation.
        unit: Of its levels.
        levels: From mild to severe, shape (L,).
        accuracy: Clean and at each level, shape (L + 1,).
        recall: The same of each class, shape (K, L + 1).
        threshold: What is said of the level that costs accuracy.
        distance: Quartiles of how far the latents moved, shape (3, L + 1).
        margin: Quartiles of the margins, shape (3, L + 1).
        strip: Pictures of one image, clean and at each level, (S, S, 3) each; empty for none.
    """

    name: str
    unit: str
    levels: np.ndarray
    accuracy: Estimate
    recall: Estimate
    threshold: str
    distance: np.ndarray
    margin: np.ndarray
    strip: Sequence[np.ndarray] = ()


def level_text(level: float) -> str:
    """A level beneath an axis.

    Examples:
        >>> level_text(5000.0), level_text(0.0125)
        ('5,000', '0.0125')
    """
    return f"{level:,.0f}" if abs(level) >= 1000 else f"{level:.3g}"


def axis_title(unit: str) -> str:
    """What the axis of a level is called.

    Examples:
        >>> axis_title("of the exposure"), axis_title("pixels")
        ('fraction of the exposure', 'pixels')
    """
    return f"fraction {unit}" if unit.startswith("of ") else unit


@dataclass(frozen=True, eq=False)
class SweepCurves:
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

    def summary(self) -> str:
        """Accuracy of the clean images and at the most severe level."""
        lost = "; ".join(f"{model}: {one.threshold}" for model, one in self.curves.items())
        ends = [
            f"{model}: clean {one.accuracy[0]}, at {one.levels[-1]:.3g} {one.unit} {one.accuracy[-1]}"
            for model, one in self.curves.items()
        ]
        return (
            f"The level ({self.first.unit}) that costs 5 points of accuracy, {lost}. {self.said} Levels stand at equal "
            f"steps; bands are 95% (Wilson). {'; '.join(ends)}."
        )

    def table(self) -> Table:
        """A line for each level."""
        rows = []
        for model, one in self.curves.items():
            for label, accuracy in zip(_levels(one), one.accuracy, strict=True):
                rows.append((model, label, *(f"{float(x):.4g}" for x in _ends(accuracy)), accuracy.n))
        return Table(("model", f"level ({self.first.unit})", "accuracy", "low", "high", "n"), rows)

    def drawing(self) -> Drawing:
        """Curves in bands; levels stand at equal steps and are named."""
        blocks = []
        for model, one in self.curves.items():
            hover = [f"{model}, {label}: {a}" for label, a in zip(_levels(one), one.accuracy, strict=True)]
            blocks.append(_series(one.accuracy, Meaning(model=model), hover=hover))
        x = replace(_level_axis(self.first), turned=False)
        legend = "above" if len(self.curves) > 1 else "none"
        strip, y = _strip(self.first, "accuracy")
        return Drawing([Panel([*blocks, *strip], x=x, y=y)], height=370, legend=legend, narrow=True)


@dataclass(frozen=True, eq=False)
class SweepGrid:
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

    def summary(self) -> str:
        """The three that cost most."""
        found = []
        for model, curves in self.curves.items():
            worst = sorted(curves, key=lambda one: float(np.min(self._change(one))))[:3]
            spoken = [f"{one.name} ({signed(100 * float(np.min(self._change(one))), '.0f')} points)" for one in worst]
            found.append(f"{model}: {', '.join(spoken)}")
        return (
            f"The largest losses, {'; '.join(found)}. Change of accuracy against the clean images in points, levels "
            "from mild (s1) to severe."
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

    def drawing(self) -> Drawing:
        """Changes as colours, red where accuracy is lost."""
        return Drawing(
            [self._drawn(place, model) for place, model in enumerate(self.curves)],
            size=(min(PAGE, 1.8 + 2.7 * len(self.curves)), max(2.0, 1.1 + 0.2 * len(self.rows))),
            height=max(240, 96 + 24 * len(self.rows)),
            columns=len(self.curves),
            shared=True,
            legend="none",
        )

    def _drawn(self, place: int, model: str) -> Panel:
        values, said = self._panel(model, self.curves[model])
        text = [["" if np.isnan(v) else signed(v, ".0f") for v in row] for row in values]
        label = "change of accuracy, points" if place == len(self.curves) - 1 else ""
        levels = [(float(j), f"s{j + 1}") for j in range(values.shape[1])]
        rows = [(float(i), row) for i, row in enumerate(self.rows)]
        cells = Cells(values, "change", -60, 60, text, said, label, gaps=True)
        return Panel([cells], model, Axis(ticks=levels, grid=False), Axis(ticks=rows, grid=False))

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
class SweepSheet:
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

    def summary(self) -> str:
        """How to read it."""
        return (
            f"{self.model}: the level that costs 5 points of accuracy stands above each panel. Accuracy with its 95% "
            "band (Wilson) and the recall of each class, from the clean images to "
            "the most severe level."
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

    def drawing(self) -> Drawing:
        """A panel for each perturbation, four in a row."""
        return replace(
            _sheet([self._panel(one) for one in self.curves], shared=True), palette=make_palette(self.class_names)
        )

    def _panel(self, one: SweepCurve) -> Panel:
        recalls = [
            _series(recall, Meaning(label=k), marked=False, hover=_told(f"recall of {name}", one, recall))
            for k, (name, recall) in enumerate(zip(self.class_names, _rows(one.recall), strict=True))
        ]
        # The model's own curve lies above those of its classes.
        own = _series(
            one.accuracy, Meaning(model=self.model), hover=_told("accuracy", one, one.accuracy), name="accuracy"
        )
        lost = one.threshold.replace(" (", "\n(")  # what is said in brackets has a line of its own
        title = f"{one.name}\n5 points lost at: {lost}"
        strip, y = _strip(one, "accuracy, recall")
        return Panel([*recalls, own, *strip], title, _level_axis(one), y)


@dataclass(frozen=True, eq=False)
class SweepLatents:
    """How far latents move under every perturbation, and what is left of the margins; a panel each.

    Attributes:
        curves: The perturbations.
    """

    curves: Sequence[SweepCurve]

    def drawing(self) -> Drawing:
        """Medians in the band between the quartiles."""
        return _sheet([self._panel(one) for one in self.curves], shared=False)

    def _panel(self, one: SweepCurve) -> Panel:
        place = np.arange(len(one.levels) + 1.0)
        (low, middle, high), (least, margin, most) = one.distance, one.margin
        blocks: list[Block] = [
            Rule(0.0, "y"),
            Series(place, middle, Meaning(search="distance"), low, high, name="latent distance from the clean image"),
            Series(place, margin, Meaning(search="margin"), least, most, name="margin of the true class"),
        ]
        return Panel(blocks, one.name, _level_axis(one), Axis("median and quartiles"))


def _sheet(panels: Sequence[Panel], *, shared: bool) -> Drawing:
    columns = min(4, len(panels))
    rows = math.ceil(len(panels) / columns)
    return Drawing(
        panels,
        size=(PAGE * 1.35 * max(columns, 2) / 4, 2.3 * rows + 0.4),
        height=60 + 290 * rows,
        columns=columns,
        shared=shared,
        legend="below",
    )


def _strip(one: SweepCurve, title: str) -> tuple[list[Picture], Axis]:
    """One image above each level, and the axis of a rate with room for it."""
    if not one.strip:
        return [], Axis(title, (-0.02, 1.02))
    pictures = [
        Picture(shown, (place - 0.48, place + 0.48, 1.05, 1.05 + _STRIP), whole=True)
        for place, shown in enumerate(one.strip)
    ]
    ticks = [(at / 5, f"{at / 5:g}") for at in range(6)]
    return pictures, Axis(title, (-0.02, 1.05 + _STRIP), ticks=ticks)


_STRIP = 0.3  # height of a strip, where the axis of a rate is 1 high


def _series(values: Estimate, of: Meaning, *, marked: bool = True, hover: Sequence[str] = (), name: str = "") -> Series:
    value, low, high = (np.asarray(end, dtype=float) for end in _ends(values))
    return Series(np.arange(len(value), dtype=float), value, of, low, high, marked=marked, hover=hover, name=name)


def _level_axis(one: SweepCurve) -> Axis:
    span = (-0.5, len(one.levels) + 0.5) if one.strip else None
    return Axis(axis_title(one.unit), span, ticks=list(enumerate(_levels(one))), turned=True)


def _told(what: str, one: SweepCurve, values: Estimate) -> list[str]:
    return [f"{what}, {label}: {estimate}" for label, estimate in zip(_levels(one), values, strict=True)]


def _rows(values: Estimate) -> list[Estimate]:
    """One estimate for each class of a table of them."""
    return [values[k] for k in range(len(np.asarray(values.value)))]


def _levels(one: SweepCurve) -> list[str]:
    return ["clean", *map(level_text, one.levels)]


def _ends(estimate: Estimate) -> tuple[Any, Any, Any]:
    return estimate.value, estimate.low, estimate.high
