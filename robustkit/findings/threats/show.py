"""A fault as a threat, drawn: images before and after the worst that was found, and what it is in its own units."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from robustkit.findings.attack.gallery import picture_limits, picture_panel, to_picture
from robustkit.findings.threats.record import RECORD, ThreatRecord
from robustkit.findings.threats.summary import describe, spoken, summary, table
from robustkit.findings.writing import write_finding
from robustkit.report.blocks import PAGE, Drawing, Panel
from robustkit.report.saving import draw_on

TABLE, FIGURE = "threat.csv", "worst-cases"
_SHOWN = 6


def write_threat(folder: Path, record: ThreatRecord, about: dict[str, Any]) -> list[str]:
    """Writes everything about a threat, and returns lines for the terminal; see `write_finding`."""
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
        limits = picture_limits(record.before[p])
        old, new = (record.class_names[one] for one in (record.true[record.image[best]], record.new_class[best]))
        for image, title in ((record.before[p], old), (record.after[p], f"{new}\n{spoken(record, best)}")):
            panels.append(picture_panel(title, to_picture(np.nan_to_num(image), record.bands, limits)))
    rows = -(-len(panels) // 4)
    return Drawing(panels, size=(PAGE, 2.1 * rows), height=240 * rows, columns=min(4, len(panels)), legend="none")
