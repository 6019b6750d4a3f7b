"""Drawings of a sweep: accuracy and recalls against the level, a panel for each perturbation."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from robustkit.report.attack_figures import COLOURS
from robustkit.stats.estimate import Estimate

_ACCURACY = "#222222"


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
    """

    name: str
    unit: str
    levels: np.ndarray
    accuracy: Estimate
    recall: np.ndarray
    threshold: str


def draw_sweep(curves: Sequence[SweepCurve], class_names: Sequence[str], *, width: float = 3.6) -> Figure:
    """Draws all perturbations on one page, at most four panels in a row, one legend beneath."""
    columns = min(4, len(curves))
    rows = math.ceil(len(curves) / columns)
    figure = Figure(figsize=(max(width * columns, 5.0), 2.9 * rows + 0.6), layout="constrained")
    axes = figure.subplots(rows, columns, squeeze=False, sharey=True).ravel()
    for curve, ax in zip(curves, axes, strict=False):
        draw_curve(curve, class_names, ax)
    for ax in axes[len(curves) :]:
        ax.set_axis_off()
    for ax in axes[::columns]:
        ax.set_ylabel("rate of right answers")
    handles, labels = axes[0].get_legend_handles_labels()
    legend = figure.legend(handles, labels, loc="outside lower center", ncols=len(labels), frameon=False)
    for text in legend.get_texts():
        text.set_parse_math(False)  # names are text, whatever is in them
    return figure


def draw_curve(curve: SweepCurve, class_names: Sequence[str], ax: Axes) -> Axes:
    """Draws accuracy with its 95% band (Wilson), and recalls; levels stand at equal steps and are named."""
    place = np.arange(len(curve.levels) + 1)
    for k, name in enumerate(class_names):
        ax.plot(place, curve.recall[k], color=COLOURS[k % len(COLOURS)], lw=1, alpha=0.9, label=f"recall of {name}")
    ax.fill_between(place, curve.accuracy.low, curve.accuracy.high, color=_ACCURACY, alpha=0.15, lw=0)
    ax.plot(place, curve.accuracy.value, color=_ACCURACY, marker="o", ms=4, lw=2, label="accuracy, 95% (Wilson)")
    ax.set_xticks(place, ["clean", *(f"{level:.3g}" for level in curve.levels)])
    ax.set_xlabel(curve.unit, parse_math=False)
    lost = curve.threshold.replace(" (", "\n(")  # what is said in brackets has a line of its own
    ax.set_title(f"{curve.name}\n5 points lost at: {lost}", fontsize="small", parse_math=False)
    ax.set_ylim(-0.02, 1.02)
    ax.tick_params(labelsize="small")
    ax.grid(alpha=0.25)
    return ax
