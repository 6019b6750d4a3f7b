"""The hazard drawn, and what a run leaves in its folder."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from robustkit.files import jsonable, write_json, write_text
from robustkit.findings.hazard.record import RECORD, HazardRecord
from robustkit.findings.hazard.summary import chance, describe, per_million, summary, table
from robustkit.report.blocks import PAGE, Axis, Drawing, Panel, Points
from robustkit.report.saving import draw_on, save_drawing

TABLE, SUMMARY, FIGURE = "hazard.csv", "summary.json", "hazard"


def write_hazard(folder: Path, record: HazardRecord, about: dict[str, Any]) -> list[str]:
    """Writes everything about a hazard; `summary.json` comes last, so where it is the rest is whole.

    Args:
        folder: An existing folder.
        record: What was found.
        about: What else the summary says, as JSON values.

    Returns:
        Lines for the terminal.
    """
    record.save(folder / RECORD)
    write_text(folder / TABLE, table(record))
    if record.looked.any():
        save_drawing(drawing(record), folder, FIGURE, kinds=("png", "svg"))
    write_json(folder / SUMMARY, {**jsonable(summary(record)), **about})
    return [describe(record), f"everything is in {folder}, the numbers in {folder / SUMMARY}"]


def plot(record: HazardRecord, on: Any = None) -> Any:
    """Draws chances and expected changes by fault.

    Args:
        record: The hazard.
        on: A Matplotlib axes or figure; by default a new figure.

    Returns:
        The figure.
    """
    return draw_on(drawing(record), on)


def drawing(record: HazardRecord) -> Drawing:
    """For each fault the chance of a change by one event, and the expected changes of a million objects."""
    places = range(len(record.faults))
    names = [(float(-k), name) for k, name in zip(places, record.faults, strict=True)]
    chances = [chance(record, k) for k in places]
    every = [per_million(record, k) for k in places]
    left = np.array([[one.value, one.low, one.high] if one else [np.nan] * 3 for one in chances])
    right = np.array([[one["value"], one["low"], one["high"]] if one else [np.nan] * 3 for one in every])
    panels: list[Panel] = []
    rows = np.array([-float(k) for k in places])
    # What was never seen lies below any place of a logarithmic axis: it stands at the first tick.
    chances_at = [(1e-4, "0"), (1e-3, "0.001"), (0.01, "0.01"), (0.1, "0.1"), (1.0, "1")]
    changes_at = [(1.0, "0"), (100.0, "100"), (1e4, "10,000"), (1e6, "1,000,000")]
    sides = (
        ("chance that one event changes the class", left, chances_at),
        ("expected changes of class per million objects", right, changes_at),
    )
    for title, values, ticks in sides:
        shown = np.maximum(values, ticks[0][0])
        points = Points(np.stack([shown[:, 0], rows], 1), ends=shown[:, 1:].T, size=5)
        axis = Axis(
            "no mark: unknown rate" if values is right else "",
            (ticks[0][0] / 1.5, ticks[-1][0] * 1.5),
            log=True,
            ticks=ticks,
        )
        panels.append(Panel([points], title, axis, Axis(ticks=names, span=(rows.min() - 0.6, 0.6))))
    return Drawing(panels, size=(PAGE, 0.8 + 0.35 * len(rows)), height=140 + 40 * len(rows), columns=2, legend="none")
