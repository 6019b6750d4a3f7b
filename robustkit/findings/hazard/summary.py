"""How many of a million objects change class by accident, with intervals: by fault, by class, and for the classes."""

from __future__ import annotations

import io
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from robustkit.findings.hazard.record import HazardRecord
from robustkit.runs.result import Result
from robustkit.stats import bounded_mean
from robustkit.stats.estimate import Estimate
from robustkit.tables import Writer

MILLION = 1_000_000
# What a fault of unknown rate is held against: this share of the objects.
_TOLERATED = 1e-3


@dataclass(frozen=True, eq=False, repr=False)
class HazardResult(Result):
    """The hazard of a sample, with its numbers.

    Attributes:
        record: What accidents do to each image.
    """

    record: HazardRecord

    def summary(self) -> dict[str, Any]:
        """The numbers, denominators first."""
        return summary(self.record)

    def describe(self) -> str:
        """The numbers as a few lines."""
        return describe(self.record)

    def table(self) -> str:
        """A line of CSV per fault and class."""
        return table(self.record)

    def plot(self, ax: Any = None) -> Any:
        """Draws the expected changes of class by fault.

        Args:
            ax: A Matplotlib axes or figure to draw on; by default a new figure.
        """
        from robustkit.findings.hazard.show import plot

        return plot(self.record, ax)


def chance(record: HazardRecord, fault: int, true: int | None = None) -> Estimate | None:
    """The chance that one event changes the class of an object, over images; `None` where there are none.

    Args:
        record: The record.
        fault: Which fault.
        true: Of objects of one class only.
    """
    some = record.looked & (True if true is None else record.true == true)
    return bounded_mean(record.chances()[fault, some], against=0.0) if some.any() else None


def per_million(record: HazardRecord, fault: int, true: int | None = None) -> dict[str, float] | None:
    """Expected objects of a million whose class one fault changes, with an interval; `None` without a rate."""
    return _expected(record, [fault], true)


def total(record: HazardRecord, true: int | None = None) -> dict[str, float] | None:
    """Expected objects of a million whose class the faults with a rate change together; `None` without any."""
    return _expected(record, np.flatnonzero(~np.isnan(record.rate)).tolist(), true)


def _expected(record: HazardRecord, faults: list[int], true: int | None) -> dict[str, float] | None:
    some = record.looked & (True if true is None else record.true == true)
    rates = record.rate[faults] * record.kept
    if not some.any() or not faults or np.isnan(rates).any():
        return None
    most = 1 - float(_kept(rates, np.full((len(faults), 1), record.events), record.events)[0])
    found = bounded_mean(_changed(record, faults)[some], high=max(most, 1e-300), against=0.0)
    return {name: MILLION * float(getattr(found, name)) for name in ("value", "low", "high")}


def _changed(record: HazardRecord, faults: list[int]) -> np.ndarray:
    """The chance that some event of these faults changes the class of each image, shape (N,)."""
    hits = np.nan_to_num(record.chances()[faults] * record.events).round()
    return 1 - _kept(record.rate[faults] * record.kept, hits, record.events)


def _kept(rates: np.ndarray, hits: np.ndarray, events: int) -> np.ndarray:
    """The chance that no event changes the class, for how many of the events tried did, (F, N) to (N,).

    Events follow a Poisson law, and each changes the class with its chance p, whatever happened before: exp(-rate p).
    For k of E events seen, (1 - rate / E)^k has this mean, which the exponential of -rate k / E has not.
    """
    return np.prod(np.maximum(1 - rates / events, 0)[:, None] ** hits, 0)


def drift(record: HazardRecord) -> dict[str, float]:
    """By how many objects of a million accidents change the number in each class."""
    known = np.flatnonzero(~np.isnan(record.rate)).tolist()
    clean, classes = record.clean[record.looked], len(record.class_names)
    rates = record.rate[known] * record.kept
    became = record.became[known][:, record.looked][..., :classes] / record.events  # (F, N, K)
    flow = (rates[:, None, None] * (became - (clean[:, None] == np.arange(classes)))).sum(0)  # were each event counted
    often = (rates[:, None] * record.chances()[known][:, record.looked]).sum(0)
    once = np.where(often > 0, _changed(record, known)[record.looked] / np.where(often > 0, often, 1), 1)
    change = (flow * once[:, None]).mean(0) if len(clean) else np.zeros(classes)
    return {name: float(MILLION * value) for name, value in zip(record.class_names, change, strict=True)}


def summary(record: HazardRecord) -> dict[str, Any]:
    """The numbers of a record as JSON values, denominators first."""
    classes = list(enumerate(record.class_names))
    faults: dict[str, Any] = {}
    for k, name in enumerate(record.faults):
        found, rate = chance(record, k), float(record.rate[k])
        faults[name] = {
            "rate": None if np.isnan(rate) else rate,
            "source": record.source[k],
            "severity": [float(record.level[k].min()), float(record.level[k].max())],
            "unit": record.units[k],
            "chance_of_a_change_by_one_event": None if found is None else asdict(found),
            "changes_per_million": per_million(record, k),
            "by_class": {label: per_million(record, k, c) for c, label in classes},
            "most_events_per_image_for_1_in_1000": None if found is None else _TOLERATED / max(found.high, 1e-12),
        }
    return {
        "drawn": len(record.ids),
        "looked_at": int(record.looked.sum()),
        "events_per_fault_and_image": record.events,
        "depth": record.depth,
        "kept": record.kept,
        "changes_per_million": total(record),
        "by_class": {label: total(record, c) for c, label in classes},
        "drift_of_classes_per_million": drift(record),
        "faults": faults,
    }


def describe(record: HazardRecord) -> str:
    """The table for the terminal."""
    numbers = summary(record)
    everything = numbers["changes_per_million"]
    before = "before any is masked or rejected" if record.kept == 1 else f"{record.kept:.3g} of the events being kept"
    lines = [f"{numbers['drawn']} images drawn, {numbers['looked_at']} with a class to change, {record.depth}"]
    if everything is None:
        lines.append("no fault has a rate, so nothing can be said of a million objects; give rates with --rate")
    else:
        lines.append(
            f"of a million objects, {as_number(everything)} change class because of the faults with a rate, {before}"
        )
    for name, one in numbers["faults"].items():
        found = one["chance_of_a_change_by_one_event"]
        if found is None:
            continue
        interval = f"[{found['low']:.2g}, {found['high']:.2g}]"
        said = f"  {name}: one event changes the class with chance {found['value']:.3g} {interval}"
        if one["changes_per_million"] is None:
            most = one["most_events_per_image_for_1_in_1000"]
            lines.append(f"{said}; unknown rate: at most {most:.2g} events per image keep it below 1 in 1000")
        else:
            made = as_number(one["changes_per_million"])
            lines.append(f"{said}; {one['rate']:.3g} events per image; {made} of a million")
    moved = ", ".join(f"{label} {value:+.3g}" for label, value in numbers["drift_of_classes_per_million"].items())
    if everything is not None:
        lines.append(f"  the classes gain and lose, of a million: {moved}")
    return "\n".join(lines)


def as_number(one: dict[str, float]) -> str:
    """A number of objects with its interval, in words."""
    return f"{one['value']:,.0f} [{one['low']:,.0f}, {one['high']:,.0f}]"


def table(record: HazardRecord) -> str:
    """A line of CSV for each fault and class."""
    buffer = io.StringIO()
    writer = Writer(buffer)
    chances, numbers = ("chance", "chance_low", "chance_high"), ("per_million", "per_million_low", "per_million_high")
    writer.writerow(["fault", "class", "images", *chances, "events_per_image", *numbers, "source"])
    for k, name in enumerate(record.faults):
        for true in (None, *range(len(record.class_names))):
            some = record.looked & (True if true is None else record.true == true)
            found, made = chance(record, k, true), per_million(record, k, true)
            chances = ("", "", "") if found is None else (found.value, found.low, found.high)
            numbers = ("", "", "") if made is None else (made["value"], made["low"], made["high"])
            rate = "" if np.isnan(record.rate[k]) else float(record.rate[k])
            label = "all" if true is None else record.class_names[true]
            writer.writerow([name, label, int(some.sum()), *chances, rate, *numbers, record.source[k]])
    return buffer.getvalue()
