"""The numbers of lines that were followed, denominators first."""

from __future__ import annotations

import io
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from robustkit.findings.amplitudes.record import AmplitudeRecord
from robustkit.runs.result import Result
from robustkit.stats import wilson
from robustkit.tables import Writer

# Brightnesses a decade, of the table and the figure.
_PER_DECADE = 8


@dataclass(frozen=True, eq=False, repr=False)
class AmplitudeResult(Result):
    """The lines of a sample, with their numbers.

    Attributes:
        record: What every amplitude of every pixel does.
    """

    record: AmplitudeRecord

    def summary(self) -> dict[str, Any]:
        """The numbers, denominators first."""
        return summary(self.record)

    def describe(self) -> str:
        """The numbers as a few lines."""
        return describe(self.record)

    def table(self) -> str:
        """A line of CSV per image."""
        return table(self.record)

    def plot(self, ax: Any = None) -> Any:
        """Draws the flip rate against the brightness of the pixel.

        Args:
            ax: A Matplotlib axes or figure to draw on; by default a new figure.
        """
        from robustkit.findings.amplitudes.show import plot

        return plot(self.record, ax)


def summary(record: AmplitudeRecord) -> dict[str, Any]:
    """The numbers of a record as JSON values, denominators first."""
    correct = int(record.correct.sum())
    flippable = int(record.flippable.sum())
    return {
        "drawn": len(record.ids),
        "correct": correct,
        "complete": int(record.complete.sum()),
        "exact": record.exact,
        "how": record.why,
        "certified": int(record.certified.sum()),
        "too_near_to_certify": int(record.too_near.sum()),
        "flippable": flippable,
        "flippable_rate": asdict(wilson(flippable, correct)),
        "out_of_memory": int(record.out_of_memory.sum()),
        "half_lines": record.lines,
        "steps_per_half_line": float(record.pieces.sum() / max(1, record.tried.sum())),
        "stretches_that_flip": len(record.span_image),
        "flip_rate_against_brightness": _by_brightness(record),
        "least_change": {name: _least(record, k) for k, name in enumerate(record.kinds)},
        "error_bound": float(np.nanmax(record.error_bound)) if correct else None,
        "units": record.units,
        "seconds": record.seconds,
    }


def _least(record: AmplitudeRecord, kind: int) -> dict[str, Any]:
    """The least change that flips, over the images that flip on a line."""
    found: dict[str, Any] = {}
    for side, name in enumerate(("down", "up")):
        values = record.least[:, kind, side]
        values = values[~np.isnan(values)]
        median = float(np.median(values)) if len(values) else None
        finite = median if median is not None and np.isfinite(median) else None
        found[name] = {
            "images": len(values),
            "median": finite,
            "nearest": float(values[np.abs(values).argmin()]) if len(values) else None,
            "median_electrons": _per(finite, record.scale[kind]),
            "median_sky_sigmas": _per(finite, record.sigma[kind]),
        }
    return found


def _by_brightness(record: AmplitudeRecord) -> dict[str, Any]:
    """What real artefacts do, at both ends of their brightness; any band for the images, one at random for pixels."""
    if not record.correct.any():
        return {}
    found: dict[str, Any] = {}
    for name, ends in record.marks.items():
        some, chance = flip_rates(record, np.array(ends))
        found[name] = {"electrons": ends, "images": some[:, -1].tolist(), "pixels": chance[:, -1].tolist()}
    return found


def _per(value: float | None, unit: float) -> float | None:
    return None if value is None or np.isnan(unit) else float(value / unit)


def describe(record: AmplitudeRecord) -> str:
    """The table for the terminal."""
    numbers = summary(record)
    correct = numbers["correct"]
    what = "amplitude" if record.exact else "value of the grid"
    alone = "in one band" if len(record.kinds) > 1 else "in all bands together"
    lines = []
    if numbers["out_of_memory"]:
        lines.append(f"WARNING: memory ran out for {numbers['out_of_memory']} images, and nothing is known of them")
    lines += [
        f"{numbers['drawn']} images drawn, {correct} classified correctly, {numbers['complete']} of these with every "
        f"line looked at from end to end",
        f"  flippable  {numbers['flippable']} of {correct}: {wilson(numbers['flippable'], correct)}",
    ]
    if record.exact:
        lines.append(
            f"  certified  {numbers['certified']} of {correct}: no single bad pixel of any brightness {alone} flips "
            "them"
        )
    else:
        lines.append(
            f"  nothing is certified: lines were looked at on a grid of 1/{round(1 / float(record.resolution[0]))} of "
            f"their length, because {record.why}"
        )
    if numbers["too_near_to_certify"]:
        lines.append(
            f"  too near   {numbers['too_near_to_certify']} of {correct}: some {what} comes nearer to the boundary "
            "than rounding can resolve"
        )
    for name, found in numbers["least_change"].items():
        for side in ("up", "down"):
            one = found[side]
            if one["images"]:
                lines.append(f"  {name}, {side}: {one['images']} of {correct} flip, {_in_words(one, record.units)}")
    steps = "breakpoints walked, of those that bounds leave open," if record.exact else "values"
    lines.append(f"  {numbers['steps_per_half_line']:.3g} {steps} per half line, {numbers['seconds']:.1f} s")
    return "\n".join(lines)


def _in_words(one: dict[str, Any], units: str) -> str:
    if one["median"] is None:
        return "half of them only where the pixel is as bright or dark as its input can be"
    text = f"half of them by a change of {one['median']:.4g} {units}"
    if one["median_electrons"] is not None:
        text = f"half of them by a change of {one['median_electrons']:.4g} electrons"
    if one["median_sky_sigmas"] is not None:
        text += f", {one['median_sky_sigmas']:.3g} sky sigmas"
    return text


def table(record: AmplitudeRecord) -> str:
    """A line of CSV for each image: the least change of each line, and where."""
    buffer = io.StringIO()
    writer = Writer(buffer)
    sides = [(k, s) for k in range(len(record.kinds)) for s in (0, 1)]
    names = [f"{record.kinds[k]} {('down', 'up')[s]}" for k, s in sides]
    writer.writerow(
        ["id", "true", "correct", "complete", "certified", "too_near", "flippable", "peak_margin", "error_bound"]
        + [f"{name}{what}" for name in names for what in ("", " row", " column")]
    )
    for i, (image_id, label) in enumerate(zip(record.ids, record.labels, strict=True)):
        flags = [
            int(one[i])
            for one in (record.correct, record.complete, record.certified, record.too_near, record.flippable)
        ]
        found = [one[i, k, s] for k, s in sides for one in (record.least, record.least_row, record.least_column)]
        writer.writerow([image_id, record.class_names[label], *flags, record.peak[i], record.error_bound[i], *found])
    return buffer.getvalue()


def brightnesses(record: AmplitudeRecord) -> np.ndarray:
    """Brightnesses at which the flip rate is told, rising: electrons that a pixel gains, else the record's units."""
    scale = _scale(record)[record.span_kind]
    ends = np.concatenate([record.span_low / scale, record.span_high / scale])
    ends = ends[np.isfinite(ends) & (ends > 0)]
    marks = [end for mark in record.marks.values() for end in mark]
    if len(ends) == 0 and not marks:
        return np.empty(0)
    low, high = min([*ends, *marks]) / 2, 3 * max([*ends, *marks])
    low = max(low, high * 1e-7)
    return np.geomspace(low, high, max(2, round(_PER_DECADE * float(np.log10(high / low))) + 1))


def flip_rates(record: AmplitudeRecord, brightness: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The share of correct images that some pixel of a brightness flips, and the chance that a pixel at random does.

    Args:
        record: The record.
        brightness: As `brightnesses` gives them, shape (Q,).

    Returns:
        Shape (Q, B + 1) each: for each kind of line, and last for any of them and for one at random.
    """
    found = [record.flipping(q * _scale(record)) for q in brightness]
    some = [[*hit[record.correct].mean(0), hit[record.correct].any(1).mean()] for hit, _ in found]
    chance = [[*share[record.correct].mean(0), share[record.correct].mean()] for _, share in found]
    return np.array(some).reshape(len(brightness), -1), np.array(chance).reshape(len(brightness), -1)


def _scale(record: AmplitudeRecord) -> np.ndarray:
    return np.where(np.isnan(record.scale), 1.0, record.scale)
