"""Pictures of an evaluation: paired bars, ROC curves and confusion matrices; source dashed and open, target solid."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from sklearn.metrics import roc_curve

from robustkit.report.blocks import Axis, Bars, Block, Cells, Drawing, Lines, Panel, Series, Words
from robustkit.report.palette import Looks, Meaning
from robustkit.report.saving import save_drawing
from robustkit.training.evaluate import Predictions, Row

# The target, which is what adaptation is for, is filled and solid.
LOOKS = Looks(domains=("target", "source"))
_BARS = ("accuracy", "precision_weighted", "recall_weighted", "f1_weighted", "brier", "auc")
_LABELS = ("accuracy", "precision", "recall", "F1", "Brier", "AUC")
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


def bars_panel(rows: Sequence[Row], title: str = "") -> Panel:
    """Scores as bars, the mean over the seeds with its standard deviation; methods side by side."""
    width, blocks = 0.84 / len(rows), list[Block]()
    for k, row in enumerate(rows):
        x = np.arange(len(_BARS)) + (k - (len(rows) - 1) / 2) * width
        values = np.array([row.mean[name] for name in _BARS])
        errors = np.array([row.sd[name] for name in _BARS]) if len(row.seeds) > 1 else None
        blocks.append(Bars(x, values, _meaning(row), errors, 0.9 * width))
        tops = values + (0 if errors is None else errors) + 0.015
        blocks += [
            Words(float(at), float(top), f"{value:.2f}", size=0.75, upright=True, above=True)
            for at, top, value in zip(x, tops, values, strict=True)
        ]
    ticks = [(float(i), label) for i, label in enumerate(_LABELS)]
    return Panel(blocks, title, Axis(ticks=ticks, grid=False), Axis("score on test images", (0, 1.15), grid=False))


def roc_panel(rows: Sequence[Row], title: str = "", *, areas: bool = True) -> Panel:
    """ROC curves, with the area under each in the legend unless it stands elsewhere."""
    blocks: list[Block] = [Lines(np.array([[[0.0, 0.0], [1.0, 1.0]]]), "grey")]
    for row in rows:
        curve = roc(row)
        name = f"{LOOKS.name(_meaning(row))}: AUC {row.mean['auc']:.3f}" if areas else ""
        blocks.append(Series(curve.false_positives, curve.true_positives, _meaning(row), name=name))
    axes = (Axis(name, (-0.02, 1.02)) for name in ("false positive rate", "true positive rate"))
    return Panel(blocks, title, *axes, equal=True)


def confusion_panel(row: Row) -> Panel:
    """The confusion matrix, summed over the seeds: share of each true class, with counts."""
    counts = np.sum([scores.confusion for scores in row.scores], axis=0)
    shares = counts / np.maximum(counts.sum(1, keepdims=True), 1)
    text = [[f"{shares[i, j]:.2f}\n{counts[i, j]}" for j in range(len(counts))] for i in range(len(counts))]
    ticks = [(float(i), name) for i, name in enumerate(row.predictions[0].class_names)]
    x, y = Axis("predicted", ticks=ticks, turned=True, grid=False), Axis("true", ticks=ticks, grid=False)
    return Panel([Cells(shares, text=text)], LOOKS.name(_meaning(row)), x, y, equal=True)


def save_figures(rows: Sequence[Row], folder: Path) -> None:
    """Writes bars.png, roc.png and confusion.png, with a panel or rows of panels per network."""
    networks = list(dict.fromkeys(row.network for row in rows))
    groups = [[row for row in rows if row.network == network] for network in networks]
    most = max(map(len, groups))
    for name, panel, size in (("bars", bars_panel, (max(7.1, 0.8 * most), 4.2)), ("roc", roc_panel, (4.6, 5.2))):
        panels = [panel(group, network) for network, group in zip(networks, groups, strict=True)]
        drawing = Drawing(panels, (size[0] * len(groups), size[1]), columns=len(groups), legend="below")
        save_drawing(drawing, folder, name, looks=LOOKS, kinds=("png",))
    lines = [line for group in groups for line in _lines(group)]
    columns = max(map(len, lines))
    nothing = Panel([], x=Axis(shown=False), y=Axis(shown=False))
    panels = [
        panel for line in lines for panel in [*map(confusion_panel, line), *[nothing] * (columns - len(line))]
    ]  # fmt: skip
    drawing = Drawing(panels, (2.3 * columns, 2.6 * len(lines)), columns=columns, legend="none")
    save_drawing(drawing, folder, "confusion", looks=LOOKS, kinds=("png",))


def _meaning(row: Row) -> Meaning:
    """A row in a legend, where the method `source` must not be mistaken for the domain."""
    method = {"source": "source only", "oracle": "ORACLE"}.get(row.method, row.method)
    return Meaning(model=method, domain=row.domain)


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
