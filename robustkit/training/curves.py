"""The learning curves of a run: what was minimised, and what the choice of the epoch rested on."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from robustkit.report.blocks import Axis, Drawing, Panel, Rule, Series
from robustkit.report.palette import Looks, Meaning
from robustkit.report.saving import save_drawing

# Columns of the log by panel, and what a reader calls them.
_LOSSES = {
    "task": "task, training", "target_task": "task, known target", "valid_loss": "task, validation",
    "penalty": "penalty", "fisher": "Fisher", "information_loss": "information loss",
}  # fmt: skip
_SCORES = {
    "valid_balanced_accuracy": "balanced accuracy, source", "oracle_balanced_accuracy": "balanced accuracy, ORACLE",
    "information": "information, target (nats)", "class_shift": "shift of classes",
}  # fmt: skip


def curves_drawing(history: Sequence[dict[str, Any]], chosen: int) -> Drawing:
    """Losses and scores of every epoch, with the epoch that was kept.

    Args:
        history: The rows of the log.
        chosen: The epoch that was kept, counted from 0.
    """
    panels = [
        _panel(history, chosen, _LOSSES, "loss", "What is minimised"),
        _panel(history, chosen, _SCORES, "score on validation images", f"What is kept: epoch {chosen + 1}"),
    ]
    return Drawing(panels, (9.4, 3.6), columns=2, legend="below")


def save_curves(out: Path, history: Sequence[dict[str, Any]], chosen: int) -> Path:
    """Writes `NAME.curves.png` beside the checkpoint `out`; see `curves_drawing`."""
    name = f"{out.stem}.curves"
    drawing = curves_drawing(history, chosen)
    looks = Looks(models=tuple(dict.fromkeys(meaning.model for meaning in drawing.meanings() if meaning.model)))
    save_drawing(drawing, out.parent, name, looks=looks, kinds=("png",))
    return out.parent / f"{name}.png"


def _panel(history: Sequence[dict[str, Any]], chosen: int, columns: dict[str, str], what: str, title: str) -> Panel:
    epochs = np.array([row["epoch"] for row in history], dtype=np.float64)
    series = list[Series | Rule]([Rule(chosen + 1.0, "x")])
    for column, name in columns.items():
        values = np.array([row.get(column, math.nan) for row in history], dtype=np.float64)
        if np.isfinite(values).any():
            series.append(Series(epochs, values, Meaning(model=name), marked=len(epochs) < 30))
    shown = range(1, len(history) + 1, max(1, len(history) // 8))
    return Panel(series, title, Axis("epoch", ticks=[(float(one), str(one)) for one in shown]), Axis(what))
