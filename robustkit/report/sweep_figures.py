"""Drawings of a sweep, a panel for each perturbation: accuracy and recalls, or distances and margins, by level."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
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
        distance: Quartiles of how far the latents moved, shape (3, L + 1).
        margin: Quartiles of the margins, shape (3, L + 1).
    """

    name: str
    unit: str
    levels: np.ndarray
    accuracy: Estimate
    recall: Estimate
    threshold: str
    distance: np.ndarray
    margin: np.ndarray


def level_text(level: float) -> str:
    """A level beneath an axis.

    Example:
        >>> level_text(5000.0), level_text(0.0125)
        ('5,000', '0.0125')
    """
    return f"{level:,.0f}" if abs(level) >= 1000 else f"{level:.3g}"


def draw_sweep(curves: Sequence[SweepCurve], class_names: Sequence[str], *, width: float = 3.6) -> Figure:
    """Draws accuracy and recalls of all perturbations on one page, at most four panels in a row, one legend beneath."""
    return _page(
        curves, lambda curve, ax: draw_curve(curve, class_names, ax), "rate of right answers", width, share=True
    )


def draw_latents(curves: Sequence[SweepCurve], *, width: float = 3.6) -> Figure:
    """Draws distances of the latents and margins of all perturbations on one page."""
    return _page(curves, draw_latent, "distance, margin", width, share=False)


def draw_curve(curve: SweepCurve, class_names: Sequence[str], ax: Axes) -> Axes:
    """Draws accuracy and recalls with their 95% bands (Wilson); levels stand at equal steps and are named."""
    place = np.arange(len(curve.levels) + 1)
    recall = curve.recall
    for k, name in enumerate(class_names):
        colour = COLOURS[k % len(COLOURS)]
        ax.fill_between(place, np.asarray(recall.low)[k], np.asarray(recall.high)[k], color=colour, alpha=0.08, lw=0)
        ax.plot(place, np.asarray(recall.value)[k], color=colour, lw=1, alpha=0.9, label=f"recall of {name}")
    ax.fill_between(place, curve.accuracy.low, curve.accuracy.high, color=_ACCURACY, alpha=0.15, lw=0)
    ax.plot(place, curve.accuracy.value, color=_ACCURACY, marker="o", ms=4, lw=2, label="accuracy; bands 95% (Wilson)")
    lost = curve.threshold.replace(" (", "\n(")  # what is said in brackets has a line of its own
    _name_axes(curve, ax, f"{curve.name}\n5 points lost at: {lost}")
    ax.set_ylim(-0.02, 1.02)
    return ax


def draw_latent(curve: SweepCurve, ax: Axes) -> Axes:
    """Draws the medians of distance and margin with the band between their quartiles."""
    place = np.arange(len(curve.levels) + 1)
    for values, colour, label in (
        (curve.distance, COLOURS[0], "latent distance from the clean image"),
        (curve.margin, COLOURS[1], "margin of the true class (median, quartiles)"),
    ):
        low, middle, high = values
        ax.fill_between(place, low, high, color=colour, alpha=0.15, lw=0)
        ax.plot(place, middle, color=colour, marker="o", ms=4, label=label)
    ax.axhline(0, color=_ACCURACY, lw=0.8)
    _name_axes(curve, ax, curve.name)
    return ax


def _page(
    curves: Sequence[SweepCurve], draw: Callable[[SweepCurve, Axes], Axes], label: str, width: float, *, share: bool
) -> Figure:
    columns = min(4, len(curves))
    rows = math.ceil(len(curves) / columns)
    figure = Figure(figsize=(max(width * columns, 5.0), 2.9 * rows + 0.6), layout="constrained")
    axes = figure.subplots(rows, columns, squeeze=False, sharey=share).ravel()
    for curve, ax in zip(curves, axes, strict=False):
        draw(curve, ax)
    for ax in axes[len(curves) :]:
        ax.set_axis_off()
    for ax in axes[::columns]:
        ax.set_ylabel(label)
    handles, labels = axes[0].get_legend_handles_labels()
    legend = figure.legend(handles, labels, loc="outside lower center", ncols=len(labels), frameon=False)
    for text in legend.get_texts():
        text.set_parse_math(False)  # names are text, whatever is in them
    return figure


def _name_axes(curve: SweepCurve, ax: Axes, title: str) -> None:
    ax.set_xticks(range(len(curve.levels) + 1), ["clean", *map(level_text, curve.levels)])
    ax.set_xlabel(curve.unit, parse_math=False)
    ax.set_title(title, fontsize="small", parse_math=False)
    ax.tick_params(labelsize="small")
    ax.grid(alpha=0.25)
