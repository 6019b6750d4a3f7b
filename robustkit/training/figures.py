"""Pictures of an evaluation: paired bars, ROC curves and confusion matrices; source dashed, target solid."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.metrics import roc_curve

from robustkit.drawings import write_figure
from robustkit.training.evaluate import Predictions, Row

_BARS = ("accuracy", "precision_weighted", "recall_weighted", "f1_weighted", "brier", "auc")
_LABELS = ("accuracy", "precision", "recall", "F1", "Brier", "AUC")
_COLOURS = {
    "source": "#1b2a5e",
    "mmd": "#8a3ffc",
    "dann": "#ff832b",
    "coral": "#007d79",
    "sinkhorn": "#b28600",
    "mcc": "#9f1853",
    "cdan": "#da1e28",
    "adabn": "#0072c3",
    "augment": "#198038",
    "oracle": "#6f6f6f",
}
# Confusion matrices side by side.
_ABREAST = 5
_GRID = np.linspace(0, 1, 201)


@dataclass(frozen=True, eq=False)
class Roc:
    """A ROC curve, the mean over the seeds; with more than two classes also over each class against the rest.

    Attributes:
        false_positives: False positive rate, shape (P,).
        true_positives: True positive rate, shape (P,).
    """

    false_positives: np.ndarray
    true_positives: np.ndarray


def roc(row: Row) -> Roc:
    """The ROC curve of a row."""
    curves = [curve for each in row.predictions for curve in _curves(each)]
    return Roc(_GRID, np.concatenate([[0.0], np.mean(curves, axis=0)[1:]]))


def draw_bars(rows: Sequence[Row], ax: Any) -> Any:
    """Scores as bars, the mean over the seeds with its standard deviation; methods side by side.

    Args:
        rows: Rows of one network.
        ax: Matplotlib axes.
    """
    width = 0.84 / len(rows)
    for k, row in enumerate(rows):
        x = np.arange(len(_BARS)) + (k - (len(rows) - 1) / 2) * width
        values = [row.mean[name] for name in _BARS]
        errors = [row.sd[name] for name in _BARS] if len(row.seeds) > 1 else None
        target = row.domain == "target"
        colour = _COLOURS.get(row.method, "#393939")
        ax.bar(
            x,
            values,
            0.9 * width,
            yerr=errors,
            label=_name(row),
            facecolor=colour if target else "white",
            edgecolor=colour,
            linestyle="-" if target else "--",
            error_kw={"elinewidth": 0.8},
        )
        for position, value, error in zip(x, values, errors or [0.0] * len(values), strict=True):
            ax.text(position, value + error + 0.015, f"{value:.2f}", ha="center", va="bottom", fontsize=6, rotation=90)
    ax.set_xticks(np.arange(len(_BARS)), _LABELS)
    ax.set_ylim(0, 1.15)
    ax.set_ylabel("score on test images")
    ax.legend(
        fontsize=7, ncols=min(5, -(-len(rows) // 2)), frameon=False, loc="upper center", bbox_to_anchor=(0.5, -0.08)
    )
    return ax


def draw_roc(rows: Sequence[Row], ax: Any) -> Any:
    """ROC curves; see `draw_bars`."""
    ax.plot([0, 1], [0, 1], color="0.8", lw=0.8)
    for row in rows:
        curve = roc(row)
        style = "-" if row.domain == "target" else "--"
        label = f"{_name(row)}: AUC {row.mean['auc']:.3f}"
        colour = _COLOURS.get(row.method, "#393939")
        ax.plot(curve.false_positives, curve.true_positives, style, color=colour, lw=1.4, label=label)
    ax.set_xlabel("false positive rate")
    ax.set_ylabel("true positive rate")
    ax.set_aspect("equal")
    ax.legend(fontsize=7, frameon=False, loc="lower right")
    return ax


def draw_confusion(row: Row, ax: Any) -> Any:
    """The confusion matrix, summed over the seeds: share of each true class, with counts."""
    counts = np.sum([scores.confusion for scores in row.scores], axis=0)
    shares = counts / np.maximum(counts.sum(1, keepdims=True), 1)
    names = row.predictions[0].class_names
    ax.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    for i, j in np.ndindex(*counts.shape):
        colour = "white" if shares[i, j] > 0.6 else "black"
        ax.text(j, i, f"{shares[i, j]:.2f}\n{counts[i, j]}", ha="center", va="center", fontsize=7, color=colour)
    ax.set_xticks(range(len(names)), names, fontsize=7)
    ax.set_yticks(range(len(names)), names, fontsize=7)
    ax.set_xlabel("predicted")
    ax.set_ylabel("true")
    ax.set_title(_name(row), fontsize=8)
    return ax


def save_figures(rows: Sequence[Row], folder: Path) -> None:
    """Writes bars.png, roc.png and confusion.png, with a panel or rows of panels per network."""
    from matplotlib.figure import Figure

    networks = list(dict.fromkeys(row.network for row in rows))
    groups = [[row for row in rows if row.network == network] for network in networks]
    most = max(map(len, groups))
    for name, draw, size in (("bars", draw_bars, (max(7.5, 0.8 * most), 4.5)), ("roc", draw_roc, (5.0, 5.0))):
        figure = Figure(figsize=(size[0] * len(groups), size[1]), layout="constrained")
        for ax, network, group in zip(figure.subplots(1, len(groups), squeeze=False)[0], networks, groups, strict=True):
            draw(group, ax).set_title(network)
        write_figure(figure, folder / f"{name}.png", dpi=150)
    lines = [line for group in groups for line in _lines(group)]
    columns = max(map(len, lines))
    figure = Figure(figsize=(2.4 * columns, 2.6 * len(lines)), layout="constrained")
    for line, axes in zip(lines, figure.subplots(len(lines), columns, squeeze=False), strict=True):
        for k, ax in enumerate(axes):
            draw_confusion(line[k], ax) if k < len(line) else ax.set_axis_off()
    write_figure(figure, folder / "confusion.png", dpi=150)


def _name(row: Row) -> str:
    """The label of a row in a legend, where the method `source` must not be mistaken for the domain."""
    method = {"source": "source only", "oracle": "ORACLE"}.get(row.method, row.method)
    return f"{method}, on {row.domain}"


def _lines(group: Sequence[Row]) -> list[list[Row]]:
    """Rows of one network in lines of a few methods, the source above the target."""
    methods = list(dict.fromkeys(row.method for row in group))
    blocks = [methods[k : k + _ABREAST] for k in range(0, len(methods), _ABREAST)]
    lines = [
        [row for row in group if row.domain == domain and row.method in block]
        for block in blocks
        for domain in ("source", "target")
    ]
    return [line for line in lines if line]


def _curves(predictions: Predictions) -> list[np.ndarray]:
    """True positive rates on the common grid: of class 1 of two, or of every class against the rest."""
    classes = [1] if predictions.probabilities.shape[1] == 2 else range(predictions.probabilities.shape[1])
    curves = []
    for k in classes:
        positive = predictions.labels == k
        if positive.any() and not positive.all():
            false, true, _ = roc_curve(positive, predictions.probabilities[:, k])
            curves.append(np.interp(_GRID, false, true))
    return curves
