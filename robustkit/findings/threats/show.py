"""A fault as a threat, drawn: images before and after the worst that was found, and what it is in its own units."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from robustkit.findings.threats.record import RECORD, ThreatRecord
from robustkit.findings.threats.summary import describe, spoken, summary, table
from robustkit.findings.writing import write_finding
from robustkit.report.blocks import PAGE, Axis, Drawing, Panel, Picture
from robustkit.report.saving import draw_on

TABLE, FIGURE = "threat.csv", "worst-cases"
_SHOWN = 6


def write_threat(folder: Path, record: ThreatRecord, about: dict[str, Any]) -> list[str]:
    """Writes everything about a threat; `summary.json` comes last, so where it is the rest is whole.

    Args:
        folder: An existing folder.
        record: What was found.
        about: What else the summary says, as JSON values.

    Returns:
        Lines for the terminal.
    """
    where = write_finding(
        folder,
        records={RECORD: record},
        texts={TABLE: table(record)},
        summary={**summary(record), **about},
        drawings={FIGURE: drawing(record)} if len(record.shown) else {},
        kinds=("png", "svg"),
    )
    return [describe(record), where]


def plot(record: ThreatRecord, on: Any = None) -> Any:
    """Draws images before and after the worst fault.

    Args:
        record: The record.
        on: A Matplotlib axes or figure; by default a new figure.

    Returns:
        The figure.
    """
    return draw_on(drawing(record), on)


def drawing(record: ThreatRecord) -> Drawing:
    """Images before and after the worst fault that was found, with the fault in its own units."""
    shown = range(min(_SHOWN, len(record.shown)))
    panels: list[Panel] = []
    for p in shown:
        mine = np.flatnonzero((record.image == record.shown[p]) & record.flipped)
        best = int(mine[record.margin[mine].argmax()])
        low, high = np.percentile(record.before[p], [1, 99.7])
        both = [_coloured(image, low, high) for image in (record.before[p], record.after[p])]
        old = record.class_names[record.true[record.image[best]]]
        said = spoken(record, best)
        for image, title in zip(both, (old, f"{record.class_names[record.new_class[best]]}\n{said}"), strict=True):
            tall, wide = image.shape[:2]
            axes = [Axis(shown=False, grid=False, span=span) for span in ((0, wide), (0, tall))]
            panels.append(Panel([Picture(image, (0, wide, 0, tall))], title, *axes, equal=True))
    rows = -(-len(panels) // 4)
    return Drawing(panels, size=(PAGE, 2.1 * rows), height=240 * rows, columns=min(4, len(panels)), legend="none")


def _coloured(image: np.ndarray, low: float, high: float) -> np.ndarray:
    """Bands from red to blue as the last to the first, upside up, shape (H, W, 3), uint8."""
    scaled = np.clip((np.nan_to_num(image) - low) / max(high - low, 1e-12), 0, 1)
    three = scaled[[2, 1, 0]] if len(scaled) >= 3 else np.repeat(scaled[:1], 3, 0)
    return np.round(255 * three.transpose(1, 2, 0)).astype(np.uint8)
