"""The numbers of a fault that a search places: how many images it flips, and which share of all places does."""

from __future__ import annotations

import io
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from robustkit.findings.threats.record import ThreatRecord
from robustkit.runs.result import Result
from robustkit.stats import bounded_mean, wilson
from robustkit.tables import Writer


@dataclass(frozen=True, eq=False, repr=False)
class ThreatResult(Result):
    """A fault as a threat, with its numbers.

    Attributes:
        record: What the searches found.
    """

    record: ThreatRecord

    def summary(self) -> dict[str, Any]:
        """The numbers, denominators first."""
        return summary(self.record)

    def describe(self) -> str:
        """The numbers as a few lines."""
        return describe(self.record)

    def table(self) -> str:
        """A line of CSV for each attempt."""
        return table(self.record)

    def plot(self, ax: Any = None) -> Any:
        """Draws images before and after the worst fault.

        Args:
            ax: A Matplotlib axes or figure to draw on; by default a new figure.
        """
        from robustkit.findings.threats.show import plot

        return plot(self.record, ax)


def summary(record: ThreatRecord) -> dict[str, Any]:
    """The numbers of a record as JSON values, denominators first."""
    correct = int(record.correct.sum())
    searches: dict[str, Any] = {}
    for k, name in enumerate(record.searches):
        mine = record.search == k
        flips = mine & record.flipped
        searches[name] = {
            "flipped": int(flips.sum()),
            "flip_rate": asdict(wilson(int(flips.sum()), correct)) if correct else None,
            "median_queries_to_flip": float(np.median(record.queries[flips])) if flips.any() else None,
            "unproved": int(record.unproved[mine].sum()),
        }
        if name == "complete" and mine.any():
            share = record.reached[mine] / np.maximum(record.queries[mine], 1)
            searches[name]["share_of_places_that_flip"] = asdict(bounded_mean(share, against=0.0))
    flipped = int(record.flipped_images().sum())
    return {
        "drawn": len(record.ids), "correct": correct, "threat": record.settings["threat"],
        "flipped": flipped, "flip_rate": asdict(wilson(flipped, correct)) if correct else None,
        "searches": searches,
    }  # fmt: skip


def describe(record: ThreatRecord) -> str:
    """The numbers as lines for the terminal."""
    numbers = summary(record)
    fault, correct = record.settings["threat"], numbers["correct"]
    lines = [f"{fault}: {numbers['flipped']} of {correct} correct images are flipped by some such fault, each proved"]
    for name, found in numbers["searches"].items():
        text = f"  {name:12s} {found['flipped']} of {correct}"
        if found["median_queries_to_flip"] is not None and name != "complete":
            text += f", half of them within {found['median_queries_to_flip']:.0f} queries"
        if (share := found.get("share_of_places_that_flip")) is not None:
            ends = f"[{100 * share['low']:.2g}, {100 * share['high']:.2g}]"
            text += f"; {100 * share['value']:.3g} % {ends} of all places and footprints tried flip an image"
        lines.append(text)
    best = worst(record)
    if best is not None:
        lines.append(f"  most certain: {record.ids[record.image[best]]}, {spoken(record, best)}")
    return "\n".join(lines)


def spoken(record: ThreatRecord, attempt: int) -> str:
    """The fault that an attempt found, in its own units."""
    parts: list[str] = []
    for name, value in zip(record.names, record.values[attempt], strict=True):
        what, _, unit = name.rstrip(")").partition(" (")
        shown = record.bands[int(value)] if what == "band" else f"{value:.4g}"
        parts.append(f"{'' if what == 'level' else what + ' '}{shown}{' ' + unit if what == 'level' else ''}")
    return ", ".join(parts)


def worst(record: ThreatRecord) -> int | None:
    """The attempt that flipped by the largest margin; `None` if none did."""
    where = np.flatnonzero(record.flipped)
    return int(where[record.margin[where].argmax()]) if len(where) else None


def table(record: ThreatRecord) -> str:
    """A line of CSV for each attempt: what the search found, and the fault in its own units."""
    out = io.StringIO()
    writer = Writer(out)
    head = ["id", "true", "search", "flipped", "new_class", "margin", "queries", "flip_in_a_batch", "unproved"]
    writer.writerow([*head, *record.names])
    for a in range(len(record.image)):
        image, new = record.image[a], record.new_class[a]
        writer.writerow([
            record.ids[image], record.class_names[record.true[image]], record.searches[record.search[a]],
            bool(record.flipped[a]), record.class_names[new] if new >= 0 else "", record.margin[a], record.queries[a],
            record.reached[a], record.unproved[a], *record.values[a],
        ])  # fmt: skip
    return out.getvalue()
