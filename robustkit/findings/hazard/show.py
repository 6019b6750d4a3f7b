"""The hazard drawn: what a run leaves in its folder, and its chapter."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from robustkit.findings.finding import ModelRecords, section_name
from robustkit.findings.hazard.record import RECORD, HazardRecord, record_name
from robustkit.findings.hazard.summary import (
    as_number,
    chance,
    describe,
    per_million,
    sentence,
    summary,
    table,
    total,
)  # fmt: skip
from robustkit.findings.writing import write_finding
from robustkit.report.blocks import PAGE, Axis, Drawing, Panel, Points
from robustkit.report.saving import draw_on
from robustkit.report.section import Chapter, Table
from robustkit.stats import Estimate

TABLE, FIGURE = "hazard.csv", "hazard"


def write_hazard(
    folder: Path, record: HazardRecord, shallower: Sequence[HazardRecord], about: dict[str, Any]
) -> list[str]:
    """Writes everything about a hazard; see `write_finding`.

    Args:
        folder: An existing folder.
        record: Of the images as they are.
        shallower: Of shorter exposures of them, the deepest first.
        about: More for the summary.

    Returns:
        Lines for the terminal.
    """
    records = [record, *shallower]
    where = write_finding(
        folder,
        records={f"{record_name(k, one.depth)}.npz": one for k, one in enumerate(records)},
        texts={TABLE: table(records)},
        summary={**summary(record, shallower), **about},
        drawings={FIGURE: drawing(record, shallower)} if record.looked.any() else {},
        kinds=("png", "svg"),
    )
    return [describe(record, shallower), where]


def read_hazard(folder: Path) -> tuple[HazardRecord, list[HazardRecord]]:
    """The hazard that a run left: of its images as they are, and of shorter exposures, the deepest first."""
    record = HazardRecord.load(folder / RECORD)
    others = [
        HazardRecord.load(folder / f"{record_name(k, depth)}.npz")
        for k, depth in enumerate(record.settings.get("depths", []))
        if k > 0
    ]
    return record, others


def plot(record: HazardRecord, on: Any = None) -> Any:
    """Draws chances and expected changes by fault.

    Args:
        record: The hazard.
        on: A Matplotlib axes or figure; by default a new figure.

    Returns:
        The figure.
    """
    return draw_on(drawing(record), on)


def drawing(record: HazardRecord, shallower: Sequence[HazardRecord] = ()) -> Drawing:
    """For each fault the chance of a change by one event, and the expected changes of a million objects by exposure."""
    chances = [chance(record, k) for k in range(len(record.faults))]
    # What was never seen lies below any place of a logarithmic axis: it stands at the first tick.
    at = [(1e-4, "0"), (1e-3, "0.001"), (0.01, "0.01"), (0.1, "0.1"), (1.0, "1")]
    left = np.array([[one.value, one.low, one.high] if one else [np.nan] * 3 for one in chances])
    panels = [_ranges("chance that one event changes the class", record.faults, [("", left)], at, f"in {record.depth}")]
    rows, series = list[str](), {1.0: list[list[float]](), record.kept: list[list[float]]()}
    for one in (record, *shallower):
        known = np.flatnonzero(~np.isnan(one.rate)).tolist()
        for fault in [None, *known] if known else []:
            rows.append(f"{one.faults[fault] if fault is not None else 'together'}, {one.depth}")
            for kept, values in series.items():
                found = total(one, kept=kept) if fault is None else per_million(one, fault, kept=kept)
                values.append([found[name] for name in ("value", "low", "high")] if found else [np.nan] * 3)
    if rows:
        at = [(0.1, "0"), (1.0, "1"), (100.0, "100"), (1e4, "10,000"), (1e6, "1,000,000")]
        named = [
            ("before masking" if kept == 1 else f"{kept:.3g} of the events kept", np.array(values))
            for kept, values in series.items()
        ]
        panels.append(_ranges("changes of class per million objects", rows, named, at, "faults of known rate"))
    most = max(len(record.faults), len(rows))
    return Drawing(panels, size=(PAGE, 1.0 + 0.28 * most), height=120 + 26 * most, columns=2)


def _ranges(
    title: str, rows: Sequence[str], named: Sequence[tuple[str, np.ndarray]], ticks: list[tuple[float, str]], under: str
) -> Panel:
    """Values with their intervals, a row each, on a logarithmic axis; those without a number have no mark."""
    places, apart = -np.arange(len(rows), dtype=float), 0.16 if len(named) > 1 else 0.0
    blocks: list[Points] = []
    for k, (name, values) in enumerate(named):
        shown = np.maximum(values, ticks[0][0])
        at = np.stack([shown[:, 0], places + (apart if k == 0 else -apart)], 1)
        blocks.append(Points(at, ends=shown[:, 1:].T, size=5, hollow=k > 0, name=name))
    axis = Axis(under, (ticks[0][0] / 1.5, ticks[-1][0] * 1.5), log=True, ticks=ticks)
    names = [(float(place), row) for place, row in zip(places, rows, strict=True)]
    return Panel(blocks, title, axis, Axis(ticks=names, span=(float(places.min()) - 0.6, 0.6)))


@dataclass(frozen=True, eq=False)
class Accidents:
    """What accidents do to the images of a model.

    Attributes:
        record: What they did.
        label: What the model is called.
        name: Of its files.
        shallower: What they do to shorter exposures.
    """

    record: HazardRecord
    label: str
    name: str
    shallower: Sequence[HazardRecord] = ()

    @property
    def title(self) -> str:
        """Its heading."""
        return f"Accidents, {self.label}"

    def summary(self) -> str:
        """How many of a million objects change class, and by which fault most."""
        of_each = {
            fault: one["value"]
            for k, fault in enumerate(self.record.faults)
            if (one := per_million(self.record, k)) is not None
        }
        said = sentence(self.record, self.shallower)
        if not said:
            return "No fault has a known rate here: only the chance that one event changes the class is known."
        worst = max(of_each, key=lambda fault: of_each[fault])
        most = f"Most by {worst}. " if of_each[worst] > 0 else ""
        made = ", ".join(one.depth for one in self.shallower)
        exposed = f"{made}: the same images with the noise of a shorter exposure. " if made else ""
        return (
            f"{said[0].upper()}{said[1:]}. {most}{self.record.events} events of each fault hit each image, one at a "
            f"time, at random places. {exposed}Intervals are 95%."
        )

    def table(self) -> Table:
        """A row for each exposure and fault."""
        rows: list[tuple[object, ...]] = []
        for record in (self.record, *self.shallower):
            for k, fault in enumerate(record.faults):
                one, rate = chance(record, k), float(record.rate[k])
                most = f"unknown: below 1 in 1000 up to {1e-3 / max(float(one.high), 1e-12):.2g}" if one else "unknown"
                rows.append((
                    record.depth, fault, "" if one is None else one.n, *_ends(one),
                    most if np.isnan(rate) else f"{rate:.3g}", _objects(per_million(record, k)),
                    _objects(per_million(record, k, kept=record.kept)), record.source[k],
                ))  # fmt: skip
        columns = ("exposure", "fault", "images", "chance of one event", "low", "high", "events per image",
                   "changes per million", "after masking", "source of the rate")  # fmt: skip
        return Table(columns, rows)

    def drawing(self) -> Drawing:
        """Chances and expected changes, by fault."""
        return drawing(self.record, self.shallower)


def chapter(models: Sequence[ModelRecords]) -> Chapter:
    """What happens by accident, and how often."""
    missing = tuple(one.why_missing("hazard") for one in models if "hazard" not in one.records)
    sections = tuple(
        Accidents(
            one.records["hazard"], one.label, section_name("accidents-by-fault", one, models),
            one.records["shallower_hazards"],
        )
        for one in models
        if "hazard" in one.records and one.records["hazard"].looked.any()
    )  # fmt: skip
    return Chapter("accidents", "By accident", (), sections, missing, tuple(one.name for one in sections[1:]))


def _ends(one: Estimate | None) -> tuple[str, str, str]:
    if one is None:
        return "", "", ""
    value, low, high = (f"{float(end):.3g}" for end in (one.value, one.low, one.high))
    return value, low, high


def _objects(one: dict[str, float] | None) -> str:
    return "" if one is None else as_number(one)
