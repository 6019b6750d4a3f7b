"""The hazard drawn: what a run leaves in its folder, and its chapter."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from robustkit.findings.finding import ModelRecords, section_name
from robustkit.findings.hazard.record import RECORD, HazardRecord
from robustkit.findings.hazard.summary import as_number, chance, describe, per_million, summary, table, total
from robustkit.findings.writing import write_finding
from robustkit.report.blocks import PAGE, Axis, Drawing, Panel, Points
from robustkit.report.saving import draw_on
from robustkit.report.section import Chapter, Table
from robustkit.stats import Estimate

TABLE, FIGURE = "hazard.csv", "hazard"


def write_hazard(folder: Path, record: HazardRecord, about: dict[str, Any]) -> list[str]:
    """Writes everything about a hazard, and returns lines for the terminal; see `write_finding`."""
    where = write_finding(
        folder,
        records={RECORD: record},
        texts={TABLE: table(record)},
        summary={**summary(record), **about},
        drawings={FIGURE: drawing(record)} if record.looked.any() else {},
        kinds=("png", "svg"),
    )
    return [describe(record), where]


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


@dataclass(frozen=True, eq=False)
class Accidents:
    """What accidents do to the images of a model.

    Attributes:
        record: What they did.
        label: What the model is called.
        name: Of its files.
    """

    record: HazardRecord
    label: str
    name: str

    @property
    def title(self) -> str:
        """Its heading."""
        return f"Accidents, {self.label}"

    def summary(self) -> str:
        """How many of a million objects change class, and by which fault most."""
        every, of_each = total(self.record), {}
        for k, fault in enumerate(self.record.faults):
            if (one := per_million(self.record, k)) is not None:
                of_each[fault] = one["value"]
        if every is None:
            return "No fault has a known rate for this survey: only the chance of a change by one event can be said."
        most = f"; most by {max(of_each, key=lambda fault: of_each[fault])}" if every["value"] > 0 else ""
        kept = "before any event is masked or rejected" if self.record.kept == 1 else f"{self.record.kept:.0%} kept"
        return (
            f"Of a million objects {as_number(every)} change class because of the faults with a rate, {kept}"
            f"{most}. {self.record.events} events of each fault hit each image, one at a time, at random places; "
            "intervals are 95%."
        )

    def table(self) -> Table:
        """A row for each fault."""
        rows: list[tuple[object, ...]] = []
        for k, fault in enumerate(self.record.faults):
            one, changes = chance(self.record, k), per_million(self.record, k)
            rate = float(self.record.rate[k])
            rows.append((
                fault, "" if one is None else one.n, *_ends(one), "unknown" if np.isnan(rate) else f"{rate:.3g}",
                *("" if changes is None else f"{changes[name]:.4g}" for name in ("value", "low", "high")),
                self.record.source[k],
            ))  # fmt: skip
        columns = ("fault", "images", "chance of one event", "low", "high", "events per image", "changes per million",
                   "low of changes", "high of changes", "source of the rate")  # fmt: skip
        return Table(columns, rows)

    def drawing(self) -> Drawing:
        """Chances and expected changes, by fault."""
        return drawing(self.record)


def chapter(models: Sequence[ModelRecords]) -> Chapter:
    """What happens by accident, and how often."""
    missing = tuple(one.why_missing("hazard") for one in models if "hazard" not in one.records)
    have = [(one, one.records["hazard"]) for one in models if "hazard" in one.records]
    sections = tuple(
        Accidents(record, one.label, section_name("accidents-by-fault", one, models))
        for one, record in have
        if record.looked.any()
    )
    return Chapter("accidents", "By accident", (), sections, missing, tuple(one.name for one in sections[1:]))


def _ends(one: Estimate | None) -> tuple[str, str, str]:
    if one is None:
        return "", "", ""
    value, low, high = (f"{float(end):.3g}" for end in (one.value, one.low, one.high))
    return value, low, high
