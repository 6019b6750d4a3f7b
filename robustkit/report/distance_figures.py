"""Histograms of how far perturbations move latents, of one model or of two."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator

from robustkit.report.attack_figures import COLOURS

_DASHES = ("--", "-")  # of the first and the second model, as in the paper


@dataclass(frozen=True, eq=False)
class Histogram:
    """One quantity under one perturbation.

    Attributes:
        title: What is said above it.
        axis: What the horizontal axis is called.
        names: Of the S samples, such as two models.
        values: Of each sample, shape (N_s,).
        note: What is said of the difference, such as the JS distance with its null; empty for one sample.
    """

    title: str
    axis: str
    names: Sequence[str]
    values: Sequence[np.ndarray]
    note: str = ""


def bin_edges(histogram: Histogram, *, most: int = 24) -> np.ndarray:
    """Edges over the pooled range, by Freedman and Diaconis' rule for the narrower sample; 5 bins to so many."""
    widths = [2 * np.subtract(*np.percentile(values, [75, 25])) / len(values) ** (1 / 3) for values in histogram.values]
    pooled, width = np.concatenate(list(histogram.values)), min(widths)
    count = most if width <= 0 else int(np.clip(np.ceil(np.ptp(pooled) / width), 5, most))
    return np.histogram_bin_edges(pooled, count)


def draw_histograms(rows: Sequence[Sequence[Histogram]], *, width: float = 4.0) -> Figure:
    """Draws rows of histograms: a row for each quantity, a column for each perturbation."""
    columns = max(len(row) for row in rows)
    figure = Figure(figsize=(max(width * columns, 5.0), 2.75 * len(rows) + 0.5), layout="constrained")
    axes = figure.subplots(len(rows), columns, squeeze=False)
    for row, panels in zip(rows, axes, strict=True):
        for histogram, ax in zip(row, panels, strict=False):
            draw_histogram(histogram, ax)
        for ax in panels[len(row) :]:
            ax.set_axis_off()
    names = rows[0][0].names
    handles: list[Patch | Line2D] = [
        Patch(facecolor=_face(s, len(names)), edgecolor=COLOURS[s], label=name, linewidth=1.6)
        for s, name in enumerate(names)
    ]
    handles.append(Line2D([], [], color="#333333", lw=2.2, label="median"))
    handles.append(Line2D([], [], color="#333333", lw=1.0, label="mean"))
    legend = figure.legend(handles=handles, loc="outside lower center", ncols=len(handles), frameon=False)
    for text in legend.get_texts():
        text.set_parse_math(False)
    return figure


def draw_histogram(histogram: Histogram, ax: Axes) -> Axes:
    """Draws the samples of a histogram over each other, each with its median (thick) and mean (thin)."""
    edges = bin_edges(histogram)
    for s, values in enumerate(histogram.values):
        counts, _ = np.histogram(values, edges)
        colour, dash = COLOURS[s], _DASHES[min(s, 1)] if len(histogram.values) > 1 else "-"
        # The first is filled, the second an outline: told apart in grey too.
        ax.stairs(counts, edges, fill=True, facecolor=_face(s, len(histogram.values)), edgecolor="none")
        ax.stairs(counts, edges, color=colour, lw=1.6)
        for centre, thick in ((float(np.median(values)), 2.2), (float(np.mean(values)), 1.0)):
            ax.axvline(centre, color=colour, ls=dash, lw=thick, alpha=0.9)
    ax.set_title(histogram.title, fontsize="medium", parse_math=False)
    ax.set_xlabel(histogram.axis, parse_math=False)
    ax.set_ylabel("images")
    ax.yaxis.set_major_locator(MaxNLocator("auto", steps=[1, 2, 2.5, 5, 10], integer=True))
    if histogram.note:
        ax.set_title(f"{histogram.title}\n{histogram.note}", fontsize="medium", parse_math=False)
    return ax


def _face(sample: int, samples: int) -> tuple[float, float, float, float]:
    from matplotlib.colors import to_rgba

    red, green, blue, _ = to_rgba(COLOURS[sample])
    return red, green, blue, 0.35 if sample == 0 or samples == 1 else 0.08
