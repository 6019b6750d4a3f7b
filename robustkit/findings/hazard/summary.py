"""How many of a million objects change class by accident, with intervals: by fault, by class, and for the classes."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from robustkit.findings.hazard.record import HazardRecord, depth_word
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
        shallower: The same of shorter exposures of them.
    """

    record: HazardRecord
    shallower: Sequence[HazardRecord] = ()

    def summary(self) -> dict[str, Any]:
        """The numbers, denominators first."""
        return summary(self.record, self.shallower)

    def describe(self) -> str:
        """The numbers as a few lines."""
        return describe(self.record, self.shallower)

    def table(self) -> str:
        """A line of CSV per exposure, fault and class."""
        return table([self.record, *self.shallower])

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


def per_million(
    record: HazardRecord, fault: int, true: int | None = None, *, kept: float = 1.0
) -> dict[str, float] | None:
    """Expected objects of a million whose class one fault changes, with an interval; `None` without a rate.

    Args:
        record: The record.
        fault: Which fault.
        true: Of objects of one class only.
        kept: The share of events that is neither masked nor rejected.
    """
    return _expected(record, [fault], true, kept)


def total(record: HazardRecord, true: int | None = None, *, kept: float = 1.0) -> dict[str, float] | None:
    """Expected objects of a million whose class the faults with a rate change together; `None` without any.

    Args:
        record: The record.
        true: Of objects of one class only.
        kept: The share of events that is neither masked nor rejected.
    """
    return _expected(record, np.flatnonzero(~np.isnan(record.rate)).tolist(), true, kept)


def rarely(record: HazardRecord, fault: int) -> dict[str, float] | None:
    """The mean chance over the images as splitting estimates it, with its standard error relative to it.

    Each unit of images was estimated several times; the estimates of one unit differ by chance alone.
    """
    found = record.rare[fault][:, record.looked]
    if not found.size or np.isnan(found).any():
        return None
    units, share = np.unique(found, axis=1, return_counts=True)
    mean, weight = units.mean(0), share / share.sum()
    error = np.sqrt((weight**2 * units.var(0, ddof=1) / len(units)).sum())
    value = float((weight * mean).sum())
    return {"value": value, "relative_error": float(error / value) if value > 0 else float("nan")}


def changed(record: HazardRecord, *, kept: float = 1.0) -> tuple[np.ndarray, float] | None:
    """The chance that accidents change the class of each image looked at, shape (M,), and the most that it can be.

    Args:
        record: The record.
        kept: The share of events that is neither masked nor rejected.

    Returns:
        `None` where no fault has a rate, or no image was looked at.
    """
    known = np.flatnonzero(~np.isnan(record.rate)).tolist()
    if not known or not record.looked.any():
        return None
    return _changed(record, known, kept)[record.looked], _most(record, known, kept)


def _most(record: HazardRecord, faults: list[int], kept: float) -> float:
    events = np.full((len(faults), 1), record.events)
    return max(float(_hit(record.rate[faults] * kept, events, record.events)[0]), 1e-300)


def _expected(record: HazardRecord, faults: list[int], true: int | None, kept: float) -> dict[str, float] | None:
    some = record.looked & (True if true is None else record.true == true)
    if not some.any() or not faults or np.isnan(record.rate[faults]).any():
        return None
    found = bounded_mean(_changed(record, faults, kept)[some], high=_most(record, faults, kept), against=0.0)
    return {name: MILLION * float(getattr(found, name)) for name in ("value", "low", "high")}


def _changed(record: HazardRecord, faults: list[int], kept: float) -> np.ndarray:
    """The chance that some event of these faults changes the class of each image, shape (N,)."""
    hits = np.nan_to_num(record.chances()[faults] * record.events).round()
    # No rounding may lift the chance of an image above that of all events.
    return np.minimum(_hit(record.rate[faults] * kept, hits, record.events), _most(record, faults, kept))


def _hit(rates: np.ndarray, hits: np.ndarray, events: int) -> np.ndarray:
    """The chance that some event changes the class, for how many of the events tried did, (F, N) to (N,).

    Events follow a Poisson law, and each changes the class with its chance p, whatever happened before: exp(-rate p).
    For k of E events seen, (1 - rate / E)^k has this mean, which the exponential of -rate k / E has not. Logarithms
    keep chances that are small beside 1.
    """
    with np.errstate(divide="ignore"):
        each = np.log1p(-np.minimum(rates / events, 1))[:, None]
    return -np.expm1(np.where(hits > 0, hits * np.where(hits > 0, each, 0), 0).sum(0))


def drift(record: HazardRecord, *, kept: float = 1.0) -> dict[str, float]:
    """By how many objects of a million accidents change the number in each class.

    Args:
        record: The record.
        kept: The share of events that is neither masked nor rejected.
    """
    known = np.flatnonzero(~np.isnan(record.rate)).tolist()
    clean, classes = record.clean[record.looked], len(record.class_names)
    rates = record.rate[known] * kept
    became = record.became[known][:, record.looked][..., :classes] / record.events  # (F, N, K)
    flow = (rates[:, None, None] * (became - (clean[:, None] == np.arange(classes)))).sum(0)  # were each event counted
    often = (rates[:, None] * record.chances()[known][:, record.looked]).sum(0)
    once = np.where(often > 0, _changed(record, known, kept)[record.looked] / np.where(often > 0, often, 1), 1)
    change = (flow * once[:, None]).mean(0) if len(clean) else np.zeros(classes)
    return {name: float(MILLION * value) for name, value in zip(record.class_names, change, strict=True)}


def summary(record: HazardRecord, shallower: Sequence[HazardRecord] = ()) -> dict[str, Any]:
    """The numbers of a record as JSON values, denominators first.

    Args:
        record: Of the images as they are.
        shallower: Of shorter exposures of them.
    """
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
            "chance_by_splitting": rarely(record, k),
            "changes_per_million": per_million(record, k),
            "changes_per_million_after_masking": per_million(record, k, kept=record.kept),
            "by_class": {label: per_million(record, k, c) for c, label in classes},
            "most_events_per_image_for_1_in_1000": None if found is None else _TOLERATED / max(found.high, 1e-12),
        }
    numbers = {
        "drawn": len(record.ids),
        "looked_at": int(record.looked.sum()),
        "events_per_fault_and_image": record.events,
        "depth": record.depth,
        "kept": record.kept,
        "changes_per_million": total(record),
        "changes_per_million_after_masking": total(record, kept=record.kept),
        "by_class": {label: total(record, c) for c, label in classes},
        "drift_of_classes_per_million": drift(record),
        "drift_of_classes_per_million_after_masking": drift(record, kept=record.kept),
        "faults": faults,
    }
    return numbers | ({"shallower": {one.depth: summary(one) for one in shallower}} if shallower else {})


def sentence(record: HazardRecord, shallower: Sequence[HazardRecord] = ()) -> str:
    """How many of a million change class, at every exposure, unmasked and masked; empty where no fault has a rate.

    Args:
        record: Of the images as they are.
        shallower: Of shorter exposures of them.
    """
    records = [one for one in (record, *shallower) if total(one) is not None]
    if not records:
        return ""
    unmasked, masked = (
        " and ".join(
            f"{as_number(found)} in {depth_word(one.depth)}" for one in records if (found := total(one, kept=kept))
        )
        for kept in (1.0, record.kept)
    )
    return (
        f"of a million objects {unmasked} change class because of the detector, by faults of known rate and before "
        f"any is masked; {masked} where masking leaves {record.kept:.3g} of the events"
    )


def describe(record: HazardRecord, shallower: Sequence[HazardRecord] = ()) -> str:
    """The table for the terminal.

    Args:
        record: Of the images as they are.
        shallower: Of shorter exposures of them.
    """
    numbers = summary(record)
    everything = sentence(record, shallower)
    lines = [f"{numbers['drawn']} images drawn, {numbers['looked_at']} with a class to change, {record.depth}"]
    lines.append(
        everything or "no fault has a rate, so nothing can be said of a million objects; give rates with --rate"
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
            if rare := one["chance_by_splitting"]:
                said += f"; by splitting {rare['value']:.2g} with a relative error of {rare['relative_error']:.0%}"
            lines.append(f"{said}; {one['rate']:.3g} events per image; {made} of a million before masking")
    if everything:
        for one in (record, *shallower):
            moved = ", ".join(f"{label} {value:+.3g}" for label, value in drift(one).items())
            lines.append(f"  {depth_word(one.depth)}: gains and losses per million, before masking: {moved}")
    return "\n".join(lines)


def as_number(one: dict[str, float]) -> str:
    """A number of objects with its interval, in words."""
    return f"{one['value']:,.0f} [{one['low']:,.0f}, {one['high']:,.0f}]"


def table(records: Sequence[HazardRecord]) -> str:
    """A line of CSV for each exposure, fault and class."""
    buffer = io.StringIO()
    writer = Writer(buffer)
    names = ("chance", "per_million", "masked_per_million")
    ends = [f"{name}{end}" for name in names for end in ("", "_low", "_high")]
    writer.writerow(["depth", "fault", "class", "images", *ends[:3], "events_per_image", *ends[3:], "source"])
    for record in records:
        for k, name in enumerate(record.faults):
            for true in (None, *range(len(record.class_names))):
                some = record.looked & (True if true is None else record.true == true)
                found = chance(record, k, true)
                chances = ("", "", "") if found is None else (found.value, found.low, found.high)
                made = (per_million(record, k, true), per_million(record, k, true, kept=record.kept))
                numbers = [value for one in made for value in (one.values() if one else ("", "", ""))]
                rate = "" if np.isnan(record.rate[k]) else float(record.rate[k])
                label = "all" if true is None else record.class_names[true]
                writer.writerow(
                    [record.depth, name, label, int(some.sum()), *chances, rate, *numbers, record.source[k]]
                )
    return buffer.getvalue()
